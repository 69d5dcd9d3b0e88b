//! Masks along a schedule.

use nnc_core::candle::Tensor;
use nnc_core::train::Trainee;
use nnc_prune::granularity::Reduction;
use nnc_prune::importance::magnitude::magnitude;
use nnc_prune::{Gradient, Granularity, Mask, Masks, Pruner, PrunerConfig, Scope, SparsitySchedule};

use crate::fixture::{EachStep, config, train, trainee, variable};

const AGP: SparsitySchedule =
    SparsitySchedule::Cubic { initial: 0.1, end: 0.9, begin: 2, every: 3, n_updates: 4 };

fn n_kept(masks: &Masks, name: &str) -> usize {
    masks.get(name).unwrap().n_kept()
}

#[test]
fn every_update_has_the_exact_count_and_prunes_more_of_the_same() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let mut pruner = Pruner::new(&trainee, &masks, PrunerConfig::new(&["ip*.weight"], AGP)).unwrap();
    assert_eq!(pruner.names().collect::<Vec<_>>(), ["ip1.weight", "ip2.weight"]);
    let mut before: Option<Mask> = None;
    let mut n_updates = 0;
    let mut watch = EachStep(|trainee: &mut Trainee, _: &mut _, step| {
        let Some(mask) = masks.get("ip1.weight") else { return assert!(step < 2, "step {step}") };
        for (name, n) in [("ip1.weight", 24 * 54), ("ip2.weight", 4 * 24)] {
            let n_pruned = (AGP.sparsity(step) * f64::from(n)).floor() as usize;
            assert_eq!(n_kept(&masks, name), n as usize - n_pruned, "{name}, step {step}");
        }
        if AGP.is_update(step) {
            n_updates += 1;
            // By magnitude: what was pruned just now was no larger than anything that stays.
            let weight = variable(trainee, "ip1.weight");
            let was_kept = |i: usize| before.as_ref().is_none_or(|before| before.keeps(i));
            let gone = (0..mask.len()).filter(|&i| was_kept(i) && !mask.keeps(i)).map(|i| weight[i].abs());
            let stays = (0..mask.len()).filter(|&i| mask.keeps(i)).map(|i| weight[i].abs());
            assert!(gone.fold(0.0, f32::max) <= stays.fold(f32::INFINITY, f32::min), "step {step}");
        }
        if let Some(before) = &before {
            assert_eq!(mask.and(before).unwrap(), *mask, "something came back at step {step}");
            assert!(AGP.is_update(step) || *before == *mask, "step {step} is no update");
        }
        before = Some((*mask).clone());
    });
    train(&mut trainee, config(), None, &mut [&mut pruner, &mut watch]).unwrap();
    assert_eq!(n_updates, 5);
}

#[test]
fn layers_share_one_sparsity_when_compared_globally() {
    let (trainee, masks) = trainee(Gradient::Masked);
    let shot = SparsitySchedule::OneShot { sparsity: 0.5, at: 0 };
    let config = PrunerConfig { scope: Scope::Global, ..PrunerConfig::new(&["*.weight"], shot) };
    let pruner = Pruner::new(&trainee, &masks, config.clone()).unwrap();
    pruner.prune(&trainee, 0).unwrap();
    let kept = ["conv.weight", "ip1.weight", "ip2.weight"].map(|name| n_kept(&masks, name));
    let n = 54 + 24 * 54 + 96;
    assert_eq!(kept.iter().sum::<usize>(), n - n / 2);
    // Xavier-like starts: the layer with the widest inputs has the smallest weights.
    assert!(kept[1] * 2 < 24 * 54 && kept[0] * 2 > 54, "{kept:?}");

    // A layer that scores far below the others would lose everything: that is said, not done.
    masks.clear();
    let low = |name: &str, weight: &Tensor| {
        let scale = if name == "conv.weight" { 1e-9 } else { 1.0 };
        Ok(magnitude(weight)?.into_iter().map(|score| score * scale).collect())
    };
    let message =
        Pruner::new(&trainee, &masks, config).unwrap().with_scores(low).prune(&trainee, 0).unwrap_err();
    assert!(message.to_string().contains("leaves something of `conv.weight`"), "{message}");
}

#[test]
fn filters_go_whole_and_gradually() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let config_of = |granularity| PrunerConfig {
        granularity,
        reduction: Reduction::Sum,
        ..PrunerConfig::new(
            &["conv.weight"],
            SparsitySchedule::Linear { initial: 0.0, end: 0.5, begin: 1, every: 4, n_updates: 3 },
        )
    };
    let mut pruner = Pruner::new(&trainee, &masks, config_of(Granularity::Filter)).unwrap();
    let mut counts = Vec::new();
    let mut watch = EachStep(|_: &mut Trainee, _: &mut _, step| {
        let mask = masks.get("conv.weight").unwrap();
        let filters: Vec<usize> = (0..6).map(|f| (0..9).filter(|i| mask.keeps(9 * f + i)).count()).collect();
        assert!(filters.iter().all(|&n| n == 0 || n == 9), "step {step}: {filters:?}");
        counts.push(filters.iter().filter(|&&n| n == 9).count());
    });
    train(&mut trainee, config(), None, &mut [&mut pruner, &mut watch]).unwrap();
    assert_eq!(counts, [6, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3]);
    let strided = Pruner::new(&trainee, &masks, config_of(Granularity::Strided { stride: 2 })).unwrap_err();
    assert!(strided.to_string().contains("granularity"), "{strided}");
    let kernels = PrunerConfig { patterns: vec!["ip1.weight".into()], ..config_of(Granularity::Kernel) };
    assert!(Pruner::new(&trainee, &masks, kernels).unwrap_err().to_string().contains("ip1.weight"));
}

#[test]
fn scores_that_are_no_numbers_name_the_weight() {
    let (trainee, masks) = trainee(Gradient::Masked);
    let pruner = Pruner::new(&trainee, &masks, PrunerConfig::new(&["ip2.weight"], AGP)).unwrap();
    let nan = |_: &str, weight: &Tensor| Ok(vec![f32::NAN; weight.elem_count()]);
    let message = pruner.with_scores(nan).prune(&trainee, 2).unwrap_err().to_string();
    assert!(message.contains("ip2.weight") && message.contains("NaN at flat index 0"), "{message}");
    let pruner = Pruner::new(&trainee, &masks, PrunerConfig::new(&["ip2.weight"], AGP)).unwrap();
    let short = |_: &str, _: &Tensor| Ok(vec![1.0; 3]);
    assert!(pruner.with_scores(short).prune(&trainee, 2).is_err());
    let steep = SparsitySchedule::OneShot { sparsity: 1.0, at: 0 };
    assert!(Pruner::new(&trainee, &masks, PrunerConfig::new(&["*"], steep)).is_err());
}
