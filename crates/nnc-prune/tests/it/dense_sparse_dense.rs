//! Dense-sparse-dense training: its order, its zeros, its function.

use nnc_core::candle::{Device, Tensor};
use nnc_core::model::Model;
use nnc_core::source::Step;
use nnc_core::train::{Checkpoint, FitConfig, Learner, OptimizerConfig, Trainee};
use nnc_core::{Error, Result};
use nnc_prune::dense_sparse_dense::{DsdConfig, Phase, PhaseKind, dense_sparse_dense};
use nnc_prune::{Gradient, Mask};

use crate::fixture::{CancelAt, STEPS_PER_EPOCH, bits, config, train, trainee, variable};

fn dsd(sparsity: f64, n_rounds: usize) -> DsdConfig {
    DsdConfig { patterns: vec!["ip*.weight".into()], sparsity, n_rounds }
}

/// SGD whose weight decay and momentum move what is behind a mask.
fn phase_config(phase: &Phase) -> FitConfig {
    let config = config();
    let schedule = config.schedule.scaled(phase.lr_scale());
    FitConfig { n_epochs: 1, optimizer: OptimizerConfig::sgd(0.01), schedule, ..config }
}

fn logits(trainee: &Trainee) -> Vec<u32> {
    let pixels: Vec<f32> = (0..128_u8).map(|i| f32::from(i % 17) / 8.0 - 1.0).collect();
    let images = Tensor::from_vec(pixels, (2, 1, 8, 8), &Device::Cpu).unwrap();
    let outputs = trainee.outputs(&images, &["logits"], &Step::eval()).unwrap();
    let logits = outputs.get("logits").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    logits.into_iter().map(f32::to_bits).collect()
}

#[test]
fn phases_follow_each_other_and_the_last_learns_at_a_tenth() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let mut seen = Vec::new();
    dense_sparse_dense(&mut trainee, &masks, &dsd(0.3, 2), |_, phase| {
        seen.push((phase.name(), phase.lr_scale(), masks.names().len()));
        Ok(())
    })
    .unwrap();
    let expected = [
        ("dense", 1.0, 0),
        ("sparse-1", 1.0, 2),
        ("redense-1", 0.1, 0),
        ("sparse-2", 1.0, 2),
        ("redense-2", 0.1, 0),
    ];
    assert_eq!(seen, expected.map(|(name, lr, n)| (name.to_owned(), lr, n)));
}

#[test]
fn a_sparse_phase_ends_with_exactly_k_zeros_and_the_next_begins_with_the_same_function() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let (mut sparse, mut n_checked) = (None, 0);
    dense_sparse_dense(&mut trainee, &masks, &dsd(0.3, 1), |trainee, phase| {
        if phase.kind == PhaseKind::Redense {
            assert!(sparse.as_ref() == Some(&logits(trainee)), "another function");
            for (name, n) in [("ip1.weight", 24 * 54), ("ip2.weight", 4 * 24)] {
                let zeros = variable(trainee, name).iter().filter(|&&w| w == 0.0).count();
                assert_eq!(zeros, (0.3 * f64::from(n)).floor() as usize, "{name}");
                n_checked += 1;
            }
        }
        train(trainee, phase_config(phase), None, &mut [])?;
        if phase.kind == PhaseKind::Sparse {
            sparse = Some(logits(trainee));
            let behind = variable(trainee, "ip1.weight");
            let mask = masks.get("ip1.weight").unwrap();
            // So that the zeros of the next phase are not there by chance.
            assert!((0..mask.len()).any(|i| !mask.keeps(i) && behind[i] != 0.0));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(n_checked, 2);
    // Every connection is back.
    assert!(masks.names().is_empty());
    let zeros = variable(&trainee, "ip1.weight").iter().filter(|&&w| w == 0.0).count();
    assert!(zeros < 24 * 54 / 20, "{zeros} are still 0");
}

#[test]
fn an_interrupted_and_resumed_sequence_equals_an_uninterrupted_one() {
    let run =
        |dir: Option<&std::path::Path>, cancel: Option<(&str, usize)>| -> Result<Vec<(String, Vec<u32>)>> {
            let (mut trainee, masks) = trainee(Gradient::Masked);
            dense_sparse_dense(&mut trainee, &masks, &dsd(0.4, 1), |trainee, phase| {
                let name = phase.name();
                let checkpoint = dir.map(|dir| Checkpoint::new(dir.join(&name), &*name));
                let at = cancel.and_then(|(phase, step)| (phase == name).then_some(step));
                let config = FitConfig { n_epochs: 2, ..phase_config(phase) };
                train(trainee, config, checkpoint.as_ref(), &mut [&mut CancelAt(at)])
            })?;
            Ok(bits(&trainee.state()?))
        };
    let whole = run(None, None).unwrap();
    for phase in ["dense", "sparse-1", "redense-1"] {
        for step in [1, STEPS_PER_EPOCH + 1] {
            let dir = tempfile::tempdir().unwrap();
            let cancelled = run(Some(dir.path()), Some((phase, step)));
            assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
            assert!(run(Some(dir.path()), None).unwrap() == whole, "{phase}, step {step}");
        }
    }
}

#[test]
fn wrong_configurations_are_named() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let mut message = |config: DsdConfig| {
        dense_sparse_dense(&mut trainee, &masks, &config, |_, _| Ok(())).unwrap_err().to_string()
    };
    assert!(message(dsd(1.0, 1)).contains("`sparsity`"));
    assert!(message(dsd(0.5, 0)).contains("`n_rounds`"));
    assert!(message(DsdConfig { patterns: vec!["fc*".into()], ..dsd(0.5, 1) }).contains("`fc*`"));
    masks.set("ip1.weight", Mask::all(&[24, 54])).unwrap();
    assert!(message(dsd(0.5, 1)).contains("mask of `ip1.weight`"));
}
