//! Curves of a small network, and allocations held against every possible one.

use nnc_core::candle::Tensor;
use nnc_core::network::{Conv, Network};
use proptest::prelude::*;

use super::*;

fn model() -> (Network, Params) {
    let (network, specs) = Network::builder()
        .input("x", &[1, 4, 4])
        .conv2d("conv", Conv::new(4, 3))
        .flatten("flatten")
        .linear("ip", 5)
        .output("logits")
        .build()
        .unwrap();
    (network, specs.init(1, &Device::Cpu).unwrap())
}

fn config() -> SensitivityConfig {
    SensitivityConfig {
        patterns: vec!["*.weight".into()],
        sparsities: vec![0.25, 0.5, 0.75],
        granularity: Granularity::Element,
        key: "model 1".into(),
    }
}

/// A loss that knows what was pruned: the sum of squares that is gone.
fn evaluate(dense: &Params) -> impl FnMut(&Params) -> Result<Score> + '_ {
    move |params| {
        let mut loss = 1.0;
        for param in dense {
            let gone = (&param.tensor - params.tensor(&param.name)?)?.sqr()?.sum_all()?;
            loss += f64::from(gone.to_scalar::<f32>()?);
        }
        Ok(Score { top1: 100.0 / loss, top5: 100.0, loss })
    }
}

fn zeros(params: &Params, name: &str) -> usize {
    let values = params.tensor(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.iter().filter(|&&w| w == 0.0).count()
}

#[test]
fn each_point_is_the_dense_model_with_one_weight_pruned() {
    let (_, dense) = model();
    let mut seen = Vec::new();
    let mut loss = evaluate(&dense);
    let mut watched = |params: &Params| {
        seen.push((zeros(params, "conv.weight"), zeros(params, "ip.weight")));
        loss(params)
    };
    let rows = analyse(&dense, &config(), None, &mut watched, |_, _| Ok(())).unwrap();
    // The baseline once, then each weight by itself: 36 and 80 entries.
    assert_eq!(seen, [(0, 0), (9, 0), (18, 0), (27, 0), (0, 20), (0, 40), (0, 60)]);
    let names: Vec<&str> = rows.iter().map(|row| row.parameter.as_str()).collect();
    assert_eq!(names, [["conv.weight"; 4], ["ip.weight"; 4]].concat());
    for curve in rows.chunks(4) {
        assert_eq!(curve.iter().map(|row| row.sparsity).collect::<Vec<_>>(), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(curve[0].score, Score { top1: 100.0, top5: 100.0, loss: 1.0 });
        assert!(curve.windows(2).all(|pair| pair[0].score.loss < pair[1].score.loss));
    }
}

#[test]
fn filters_go_by_their_mean_magnitude() {
    let mut dense = Params::new();
    let rows = [[1.0_f32, 1.0], [3.0, -3.0], [0.0, 1.5], [2.0, 2.0]];
    dense.insert("w", ParamKind::Weight, Tensor::new(&rows, &Device::Cpu).unwrap());
    let pruned = pruned(&dense, "w", Granularity::Filter, 0.5).unwrap();
    let expected = [[0.0, 0.0], [3.0, -3.0], [0.0, 0.0], [2.0, 2.0]];
    assert_eq!(pruned.tensor("w").unwrap().to_vec2::<f32>().unwrap(), expected);
}

#[test]
fn an_interrupted_analysis_goes_on_and_comes_to_the_same_rows() {
    let (_, dense) = model();
    let folder = tempfile::tempdir().unwrap();
    let whole = tempfile::tempdir().unwrap();
    let run = |folder: &Path, key: &str, stop_at: Option<usize>, n_evaluated: &mut usize| {
        let mut loss = evaluate(&dense);
        let count = |params: &Params| {
            *n_evaluated += 1;
            loss(params)
        };
        let progress = |done, all| {
            assert_eq!(all, 8);
            if Some(done) == stop_at { Err(Error::Cancelled) } else { Ok(()) }
        };
        analyse(&dense, &SensitivityConfig { key: key.into(), ..config() }, Some(folder), count, progress)
    };
    let mut n = 0;
    assert!(run(folder.path(), "a", Some(3), &mut n).is_err());
    assert_eq!(n, 3);
    let resumed = run(folder.path(), "a", None, &mut n).unwrap();
    // Three that are left of the second weight, one of the first, and the baseline once more.
    assert_eq!(n, 3 + 5);
    let mut n = 0;
    assert_eq!(resumed, run(whole.path(), "a", None, &mut n).unwrap());
    assert_eq!(n, 7);
    // Another model in the same folder.
    run(folder.path(), "b", None, &mut n).unwrap();
    assert_eq!(n, 14);
}

#[test]
fn scores_are_those_of_accuracy_and_cross_entropy() {
    use nnc_core::data::{BatchConfig, Dataset, Normalization};
    use nnc_core::source::VarSource;
    use nnc_core::train::Trainee;
    let (network, params) = model();
    let images: Vec<u8> = (0..7 * 16_u8).collect();
    let data = Dataset::new(images, vec![0, 1, 2, 3, 4, 0, 1], [1, 4, 4], 5).unwrap();
    let normalization = Normalization::of(&data);
    let trainee = Trainee::new(network, VarSource::new(&params).unwrap());
    let of = |batch_size| {
        let batches = Batches::new(&data, &normalization, BatchConfig::evaluation(batch_size)).unwrap();
        score(&trainee, &batches, "logits").unwrap()
    };
    let (whole, parts) = (of(7), of(3));
    assert_eq!((whole.top1, whole.top5), (parts.top1, 100.0));
    assert!((whole.loss - parts.loss).abs() < 1e-6, "{whole:?}, {parts:?}");
    let all = Batches::new(&data, &normalization, BatchConfig::evaluation(7)).unwrap();
    let batch = all.epoch(0).batch(0, &Device::Cpu).unwrap();
    let logits = trainee.outputs(&batch.images, &["logits"], &Step::eval()).unwrap();
    let rows = logits.get("logits").unwrap().to_vec2::<f32>().unwrap();
    let loss = |(row, &label): (&Vec<f32>, &u8)| -> f64 {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        sum.ln() - f64::from(row[usize::from(label)])
    };
    let mean = rows.iter().zip(data.labels()).map(loss).sum::<f64>() / 7.0;
    assert!((whole.loss - mean).abs() < 1e-5, "{} against {mean}", whole.loss);
}

#[test]
fn wrong_arguments_are_named() {
    let (_, dense) = model();
    let message = |config: SensitivityConfig| {
        analyse(&dense, &config, None, evaluate(&dense), |_, _| Ok(())).unwrap_err().to_string()
    };
    assert!(message(SensitivityConfig { patterns: vec!["*.bias".into()], ..config() }).contains("`*.bias`"));
    assert!(message(SensitivityConfig { sparsities: vec![1.0], ..config() }).contains("sparsities"));
    let falling = SensitivityConfig { sparsities: vec![0.5, 0.5], ..config() };
    assert!(message(falling).contains("one above 0.5"));
    let kernels = SensitivityConfig { granularity: Granularity::Kernel, ..config() };
    assert!(message(kernels).contains("ip.weight"));
    let mut broken = dense.clone();
    broken.replace("conv.weight", (dense.tensor("conv.weight").unwrap() * f64::NAN).unwrap()).unwrap();
    let constant = |_: &Params| Ok(Score { top1: 0.0, top5: 0.0, loss: 0.0 });
    let error = analyse(&broken, &config(), None, constant, |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("conv.weight") && error.contains("NaN"), "{error}");
    let endless = |_: &Params| Ok(Score { top1: 0.0, top5: 0.0, loss: f64::INFINITY });
    let error = analyse(&dense, &config(), None, endless, |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("loss with `conv.weight` at sparsity 0"), "{error}");
}

#[test]
fn names_with_commas_are_quoted() {
    let score = Score { top1: 1.0, top5: 2.0, loss: 3.0 };
    let csv = to_csv(&[Row { parameter: "a,\"b\"".into(), sparsity: 0.0, score }]);
    assert_eq!(csv.lines().last(), Some("\"a,\"\"b\"\"\",0,1,2,3"));
}

fn curve(parameter: &str, points: &[(f64, f64)]) -> Vec<Row> {
    let row = |&(sparsity, loss): &(f64, f64)| Row {
        parameter: parameter.into(),
        sparsity,
        score: Score { top1: 0.0, top5: 0.0, loss },
    };
    points.iter().map(row).collect()
}

fn size(parameter: &str, n_weights: u64, macs: u64) -> Size {
    Size { parameter: parameter.into(), n_weights, macs, n_groups: n_weights }
}

#[test]
fn a_budget_is_met_by_the_cheapest_steps() {
    let rows = [
        curve("a", &[(0.0, 1.0), (0.5, 1.01), (0.9, 1.5)]),
        curve("b", &[(0.0, 1.0), (0.5, 1.02), (0.9, 1.03)]),
    ]
    .concat();
    let sizes = [size("a", 100, 10_000), size("b", 900, 900), size("rest", 100, 100)];
    // 1,100 weights: half of `b` costs 0.02 for 450, all but a tenth 0.03 for 810; half of `a` 0.01 for 50.
    let half = allocate(&rows, &sizes, Budget::Sparsity(0.5)).unwrap();
    assert_eq!(half.layers, [("a".to_owned(), 0.0), ("b".to_owned(), 0.9)]);
    assert_eq!((half.macs, half.sparsity), (11_000 - 810, 810.0 / 1100.0));
    assert!((half.loss_increase - 0.03).abs() < 1e-12);
    // Work lies in `a`: half of it is saved there, and `b` is left alone.
    let macs = allocate(&rows, &sizes, Budget::Macs(6_000)).unwrap();
    assert_eq!((macs.layers[0].1, macs.layers[1].1, macs.macs), (0.5, 0.0, 6_000));
    let dense = allocate(&rows, &sizes, Budget::Macs(11_000)).unwrap();
    assert_eq!((dense.loss_increase, dense.sparsity), (0.0, 0.0));
}

#[test]
fn a_budget_that_cannot_be_met_is_an_error() {
    let rows = curve("a", &[(0.0, 1.0), (0.5, 2.0)]);
    let sizes = [size("a", 10, 100)];
    for budget in [Budget::Sparsity(0.51), Budget::Macs(49)] {
        let message = allocate(&rows, &sizes, budget).unwrap_err().to_string();
        assert!(message.contains("`budget`") && message.contains("at most"), "{message}");
    }
    allocate(&rows, &sizes, Budget::Macs(50)).unwrap();
    assert!(allocate(&rows, &sizes, Budget::Sparsity(1.0)).is_err());
    let elsewhere = allocate(&curve("b", &[(0.0, 1.0)]), &sizes, Budget::Macs(100)).unwrap_err();
    assert!(elsewhere.to_string().contains("no size named `b`"), "{elsewhere}");
    let floating = allocate(&rows[1..], &sizes, Budget::Macs(100)).unwrap_err();
    assert!(floating.to_string().contains("sparsity 0"), "{floating}");
}

#[test]
fn sizes_are_those_of_the_network() {
    let (network, params) = model();
    let sizes = sizes(&network, &params, Granularity::Filter).unwrap();
    let conv = Size { parameter: "conv.weight".into(), n_weights: 36, macs: 36 * 4, n_groups: 4 };
    let ip = Size { parameter: "ip.weight".into(), n_weights: 80, macs: 80, n_groups: 5 };
    assert_eq!(sizes, [conv, ip]);
    // Of four filters, two go at 0.6.
    assert_eq!(sizes[0].pruned(0.6), 18);
}

proptest! {
    #[test]
    fn allocations_meet_the_budget_and_lose_little_more_than_the_best(
        losses in prop::collection::vec(prop::collection::vec(-0.1..1.0_f64, 3), 1..5),
        weights in prop::collection::vec(1..200_u64, 5), share in 0.0..0.75_f64,
    ) {
        let levels = [0.0, 0.25, 0.5, 0.75];
        let sizes: Vec<Size> = losses.iter().zip(&weights).enumerate()
            .map(|(i, (_, &n))| size(&format!("w{i}"), 4 * n, 4 * n)).collect();
        let rows: Vec<Row> = losses.iter().enumerate().flat_map(|(i, losses)| {
            let points: Vec<(f64, f64)> =
                levels.iter().copied().zip(std::iter::once(0.0).chain(losses.iter().copied())).collect();
            curve(&format!("w{i}"), &points)
        }).collect();
        let found = allocate(&rows, &sizes, Budget::Sparsity(share)).unwrap();
        prop_assert!(found.sparsity >= share - 1e-12);
        prop_assert_eq!(&found, &allocate(&rows, &sizes, Budget::Sparsity(share)).unwrap());
        let total: u64 = sizes.iter().map(|size| size.n_weights).sum();
        let loss_of = |layer: usize, level: usize| if level == 0 { 0.0 } else { losses[layer][level - 1] };
        let mut best = f64::INFINITY;
        for code in 0..4_usize.pow(u32::try_from(losses.len()).unwrap()) {
            let level = |layer: usize| code / 4_usize.pow(u32::try_from(layer).unwrap()) % 4;
            let saved: u64 = (0..losses.len()).map(|l| sizes[l].pruned(levels[level(l)])).sum();
            if saved as f64 >= share * total as f64 {
                best = best.min((0..losses.len()).map(|l| loss_of(l, level(l))).sum());
            }
        }
        // No step costs more than the widest span of a curve.
        let span = |losses: &Vec<f64>| {
            let (low, high) = losses.iter().fold((0.0_f64, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
            high - low
        };
        let widest = losses.iter().map(span).fold(0.0, f64::max);
        prop_assert!(found.loss_increase >= best - 1e-9);
        prop_assert!(found.loss_increase <= best + widest + 1e-9, "{} against {}", found.loss_increase, best);
    }
}
