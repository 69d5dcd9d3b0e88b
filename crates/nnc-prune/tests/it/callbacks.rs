//! What each callback does, step by step.

use nnc_core::params::Params;
use nnc_core::train::{Learner, Trainee};
use nnc_prune::layers::matching;
use nnc_prune::splicing::{Hysteresis, Splicing, SplicingConfig};
use nnc_prune::{Gradient, Masks, Rewind, ThresholdPruner, Updates};

use crate::fixture::{EachStep, bits, config, train, trainee, variable};

const EVERY_STEP: Updates = Updates { begin: 1, every: 1, last: 100 };

fn kept(masks: &Masks, name: &str) -> Vec<bool> {
    masks.get(name).unwrap().bits().iter().by_vals().collect()
}

#[test]
fn patterns_choose_weights_and_one_that_chooses_none_is_an_error() {
    let (trainee, _) = trainee(Gradient::Masked);
    assert_eq!(matching(&trainee, &["ip*.weight"]).unwrap(), ["ip1.weight", "ip2.weight"]);
    // Neither biases nor the factors of batch norm.
    assert_eq!(matching(&trainee, &["*"]).unwrap(), ["conv.weight", "ip1.weight", "ip2.weight"]);
    let message = matching(&trainee, &["ip1.weight", "fc*"]).unwrap_err().to_string();
    assert_eq!(message, "pattern `fc*` matches no parameter; there are: conv.weight, ip1.weight, ip2.weight");
    assert!(matching(&trainee, &[] as &[&str]).unwrap_err().to_string().contains("patterns"));
}

#[test]
fn masks_that_nothing_looks_at_are_refused() {
    let (trainee, masks) = trainee(Gradient::Masked);
    let elsewhere = Masks::new();
    let threshold = |masks| ThresholdPruner::new(&trainee, masks, &[("*", 1.0)], EVERY_STEP).map(|_| ());
    threshold(&masks).unwrap();
    let message = threshold(&elsewhere).unwrap_err().to_string();
    assert!(message.contains("`masks`") && message.contains("MaskedSource"), "{message}");
    assert!(Rewind::new(&trainee, &elsewhere, 0, vec![]).is_err());
    // Under the masked gradient nothing would ever come back.
    let middle = |_: &str, weight: &_| Hysteresis::guo_2016(weight, 0.0);
    let splicing = Splicing::new(&trainee, &masks, &["*"], middle, SplicingConfig::always(EVERY_STEP));
    assert!(splicing.unwrap_err().to_string().contains("StraightThrough"));
}

#[test]
fn a_threshold_is_that_of_the_dense_weight_and_prunes_ever_more() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let dense = variable(&trainee, "ip1.weight");
    let mut pruner =
        ThresholdPruner::new(&trainee, &masks, &[("ip1.weight", 0.5), ("ip*", 0.25)], EVERY_STEP).unwrap();
    let n = dense.len() as f64;
    let mean = dense.iter().map(|&w| f64::from(w)).sum::<f64>() / n;
    let sigma = (dense.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (name, threshold) = pruner.thresholds()[0].clone();
    assert_eq!(name, "ip1.weight");
    assert!((threshold - 0.5 * sigma).abs() < 1e-12);
    assert_eq!(pruner.thresholds()[1].0, "ip2.weight");

    let mut before = vec![true; dense.len()];
    let mut n_kept = Vec::new();
    let mut watch = EachStep(|trainee: &mut Trainee, _: &mut _, _| {
        let (weight, mask) = (variable(trainee, "ip1.weight"), kept(&masks, "ip1.weight"));
        for i in 0..mask.len() {
            assert_eq!(mask[i], before[i] && f64::from(weight[i].abs()) > threshold, "entry {i}");
        }
        n_kept.push(mask.iter().filter(|&&kept| kept).count());
        before = mask;
    });
    train(&mut trainee, config(), None, &mut [&mut pruner, &mut watch]).unwrap();
    assert!(n_kept[0] < dense.len() && n_kept.last() < n_kept.first(), "{n_kept:?}");
}

#[test]
fn a_weight_takes_the_first_pattern_and_one_that_is_left_without_is_an_error() {
    let (trainee, masks) = trainee(Gradient::Masked);
    let make = |qualities: &[_]| ThresholdPruner::new(&trainee, &masks, qualities, EVERY_STEP);
    let message = make(&[("*", 1.0), ("ip1.weight", 2.0)]).unwrap_err().to_string();
    assert!(message.contains("`ip1.weight` matches no weight that no earlier pattern"), "{message}");
    assert!(make(&[("*", f64::NAN)]).unwrap_err().to_string().contains("quality of `*`"));
    assert!(make(&[]).is_err());
}

#[test]
fn spliced_masks_follow_the_two_thresholds_and_some_connections_come_back() {
    let (mut trainee, masks) = trainee(Gradient::StraightThrough);
    let thresholds = |_: &str, weight: &_| Hysteresis::guo_2016(weight, 0.5);
    let mut splicing =
        Splicing::new(&trainee, &masks, &["ip1.weight"], thresholds, SplicingConfig::always(EVERY_STEP))
            .unwrap();
    let Hysteresis { prune_below, restore_above } = splicing.thresholds()[0].1;
    assert!((restore_above / prune_below - 1.1 / 0.9).abs() < 1e-12);
    let mut before = vec![true; 24 * 54];
    let (mut n_restored, mut n_held) = (0, 0);
    let mut watch = EachStep(|trainee: &mut Trainee, _: &mut _, _| {
        let (weight, mask) = (variable(trainee, "ip1.weight"), kept(&masks, "ip1.weight"));
        for i in 0..mask.len() {
            let magnitude = f64::from(weight[i].abs());
            let between = magnitude >= prune_below && magnitude <= restore_above;
            assert_eq!(mask[i], if between { before[i] } else { magnitude > restore_above }, "entry {i}");
            n_restored += usize::from(mask[i] && !before[i]);
            n_held += usize::from(between && !before[i]);
        }
        before = mask;
    });
    train(&mut trainee, config(), None, &mut [&mut splicing, &mut watch]).unwrap();
    assert!(n_restored > 0 && n_held > 0, "{n_restored} restored, {n_held} held");
}

#[test]
fn updates_of_splicing_become_rare() {
    let (mut trainee, masks) = trainee(Gradient::StraightThrough);
    let config_of = |power| SplicingConfig { gamma: 1e9, power, ..SplicingConfig::always(EVERY_STEP) };
    // The probability is about 1e-9 to the power: none in 18 steps.
    let thresholds = |_: &str, weight: &_| Hysteresis::guo_2016(weight, 0.5);
    let mut never = Splicing::new(&trainee, &masks, &["*"], thresholds, config_of(1.0)).unwrap();
    train(&mut trainee, config(), None, &mut [&mut never]).unwrap();
    assert!(masks.names().is_empty());
    assert!(Splicing::new(&trainee, &masks, &["*"], thresholds, config_of(f64::NAN)).is_err());
}

#[test]
fn thresholds_that_leave_no_middle_are_refused() {
    for (a, b) in [(1.0, 1.0), (-0.1, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(Hysteresis::new(a, b).is_err(), "{a}, {b}");
    }
    let zeros = nnc_core::candle::Tensor::new(&[0_f32; 4], &nnc_core::candle::Device::Cpu).unwrap();
    assert!(Hysteresis::guo_2016(&zeros, 1.0).is_err());
    let nan = nnc_core::candle::Tensor::new(&[1.0, f32::NAN], &nnc_core::candle::Device::Cpu).unwrap();
    let thresholds = Hysteresis::new(0.5, 1.0).unwrap();
    let message = thresholds.splice(&nan, &nnc_prune::Mask::all(&[2])).unwrap_err().to_string();
    assert!(message.contains("NaN at flat index 1"), "{message}");
}

/// The state without masks.
fn values(params: &Params) -> Vec<(String, Vec<u32>)> {
    bits(params).into_iter().filter(|(name, _)| !name.starts_with("source/mask/")).collect()
}

#[test]
fn a_rewind_brings_values_and_moments_back_and_leaves_the_masks() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let at_10 = Updates { begin: 10, every: 1, last: 10 };
    let mut pruner = ThresholdPruner::new(&trainee, &masks, &[("ip*.weight", 0.75)], at_10).unwrap();
    let mut rewind = Rewind::new(&trainee, &masks, 4, vec![10]).unwrap();
    let mut early = None;
    let mut mask_at_10 = Vec::new();
    let mut n_compared = 0;
    let mut watch = EachStep(|trainee: &mut Trainee, optimizer: &mut nnc_core::train::Optimizer, step| {
        let now = (values(&trainee.state().unwrap()), bits_of_moments(optimizer));
        match step {
            4 => early = Some(now),
            9 => assert!(early.as_ref() != Some(&now)),
            10 => {
                assert!(early.as_ref() == Some(&now), "not all went back");
                mask_at_10 = kept(&masks, "ip1.weight");
                n_compared += 1;
            }
            _ => {}
        }
    });
    train(&mut trainee, config(), None, &mut [&mut pruner, &mut rewind, &mut watch]).unwrap();
    assert_eq!((n_compared, kept(&masks, "ip1.weight")), (1, mask_at_10.clone()));
    assert!(mask_at_10.iter().any(|kept| !kept));
}

fn bits_of_moments(optimizer: &nnc_core::train::Optimizer) -> Vec<(String, Vec<u64>)> {
    let state = optimizer.state().unwrap();
    let wide = |param: &nnc_core::params::Param| {
        let values = param.tensor.to_dtype(nnc_core::candle::DType::F64).unwrap();
        values.flatten_all().unwrap().to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
    };
    state.iter().map(|param| (param.name.clone(), wide(param))).collect()
}

#[test]
fn a_ticket_is_trained_again_from_the_start_in_a_run_of_its_own() {
    let (mut trainee, masks) = trainee(Gradient::Masked);
    let start = values(&trainee.state().unwrap());
    let rewind = Rewind::new(&trainee, &masks, 0, vec![]).unwrap();
    train(&mut trainee, config(), None, &mut []).unwrap();
    let pruner = ThresholdPruner::new(&trainee, &masks, &[("ip1.weight", 1.0)], EVERY_STEP).unwrap();
    pruner.prune(&trainee).unwrap();
    let ticket = kept(&masks, "ip1.weight");
    rewind.restore(&mut trainee, None).unwrap();
    assert!(values(&trainee.state().unwrap()) == start);
    train(&mut trainee, config(), None, &mut []).unwrap();
    assert_eq!(kept(&masks, "ip1.weight"), ticket);

    let early = Rewind::new(&trainee, &masks, 5, vec![]).unwrap();
    assert!(early.restore(&mut trainee, None).unwrap_err().to_string().contains("reached step 5"));
    assert!(Rewind::new(&trainee, &masks, 5, vec![5]).unwrap_err().to_string().contains("behind 5"));
}
