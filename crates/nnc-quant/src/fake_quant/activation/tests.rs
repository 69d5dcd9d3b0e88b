//! Activations rounded in training: ranges that move, freeze and resume.

use nnc_core::candle::{Device, Var};
use nnc_core::network::Op;

use super::*;

fn tensor(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn moving() -> ActivationRange {
    ActivationRange::Moving { momentum: 0.5, quantize_from: 1, freeze_at: 3 }
}

fn run(tap: &FakeQuant, values: &[f32], step: &Step) -> Vec<f32> {
    tap.transform(&tensor(values), step).unwrap().to_vec1().unwrap()
}

fn ends(tap: &FakeQuant) -> Option<[f32; 2]> {
    tap.interval().map(Into::into)
}

#[test]
fn averages_are_observed_used_and_frozen_at_their_steps() {
    let tap = FakeQuant::new(QuantConfig::affine(2), moving()).unwrap();
    assert_eq!((run(&tap, &[0.4], &Step::eval()), ends(&tap)), (vec![0.4], None));
    // Step 0 observes only, and so does an evaluation after it.
    assert_eq!(run(&tap, &[0.0, 3.0, 1.4], &Step::train(1, 0)), [0.0, 3.0, 1.4]);
    assert_eq!(ends(&tap), Some([0.0, 3.0]));
    assert_eq!(run(&tap, &[1.4], &Step::eval()), [1.4]);
    // From step 1 on values are quantized: up to (3 + 9) / 2 in steps of 2.
    assert_eq!(run(&tap, &[0.0, 9.0, 1.4], &Step::train(1, 1)), [0.0, 6.0, 2.0]);
    assert_eq!(run(&tap, &[100.0], &Step::eval()), [6.0], "evaluation does not observe");
    assert_eq!(run(&tap, &[0.0, 12.0], &Step::train(1, 2)), [0.0, 9.0]);
    assert_eq!(run(&tap, &[0.0, 100.0], &Step::train(1, 3)), [0.0, 9.0]);
    assert_eq!(ends(&tap), Some([0.0, 9.0]), "frozen");
}

#[test]
fn a_resumed_tap_goes_on_exactly() {
    let batches = [[0.0_f32, 3.0], [-1.0, 2.5], [0.0, 8.0], [5.0, 6.0]];
    let step = |i: usize| Step::train(9, i as u64);
    let whole = FakeQuant::new(QuantConfig::U8, moving()).unwrap();
    let outputs: Vec<Vec<f32>> =
        batches.iter().enumerate().map(|(i, batch)| run(&whole, batch, &step(i))).collect();
    for cut in 0..batches.len() {
        let first = FakeQuant::new(QuantConfig::U8, moving()).unwrap();
        for (i, batch) in batches.iter().enumerate().take(cut) {
            run(&first, batch, &step(i));
        }
        let file = first.state().unwrap().to_safetensors().unwrap();
        let mut second = FakeQuant::new(QuantConfig::U8, moving()).unwrap();
        second.load_state(&Params::from_safetensors(&file, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(run(&second, &[0.7], &Step::eval()), run(&first, &[0.7], &Step::eval()));
        for (i, batch) in batches.iter().enumerate().skip(cut) {
            assert_eq!(run(&second, batch, &step(i)), outputs[i], "cut at {cut}, step {i}");
        }
    }
}

#[test]
fn fixed_and_online_ranges_keep_no_state() {
    let interval = Interval::new(0.0, 6.0).unwrap();
    let fixed = FakeQuant::new(QuantConfig::affine(2), ActivationRange::Fixed(interval)).unwrap();
    assert_eq!(run(&fixed, &[-1.0, 1.1, 9.0], &Step::eval()), [0.0, 2.0, 6.0]);
    let online = FakeQuant::new(QuantConfig::affine(2), ActivationRange::Online).unwrap();
    assert_eq!(run(&online, &[0.0, 1.4, 3.0], &Step::eval()), [0.0, 1.0, 3.0]);
    assert_eq!(run(&online, &[0.0, 14.0, 30.0], &Step::eval()), [0.0, 10.0, 30.0]);
    assert_eq!(run(&online, &[], &Step::eval()), [0.0_f32; 0]);
    assert_eq!(ends(&online), None);
    let error = online.transform(&tensor(&[f32::NAN]), &Step::eval()).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
}

#[test]
fn gradients_pass_inside_the_range_only() {
    let tap =
        FakeQuant::new(QuantConfig::U8, ActivationRange::Fixed(Interval::new(0.0, 6.0).unwrap())).unwrap();
    let x = Var::new(&[-1.0_f32, 0.5, 6.5], &Device::Cpu).unwrap();
    let y = tap.transform(x.as_tensor(), &Step::train(1, 0)).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0]);
}

#[test]
fn wrong_settings_are_refused() {
    let moving = |momentum, freeze_at| ActivationRange::Moving { momentum, quantize_from: 0, freeze_at };
    assert!(FakeQuant::new(QuantConfig::U8, moving(0.0, 5)).is_err());
    assert!(FakeQuant::new(QuantConfig::U8, moving(0.1, 0)).is_err());
    assert!(FakeQuant::new(QuantConfig::affine(1), moving(0.1, 5)).is_err());
}

#[test]
fn a_bounded_site_has_its_bound() {
    let (network, _) = Network::builder()
        .input("x", &[3])
        .linear("fc", 2)
        .op("relu6", Op::Relu6)
        .output("y")
        .build()
        .unwrap();
    let mut taps = Taps::new();
    let hung = hang(&mut taps, &network, &["*"], QuantConfig::U8, moving()).unwrap();
    assert_eq!(hung, ["x", "relu6"]);
    // Only the input's averages have a state that changes.
    let y = taps.apply("relu6", nnc_core::tap::Port::Output, tensor(&[0.01, 7.0]), &Step::eval()).unwrap();
    assert_eq!(y.to_vec1::<f32>().unwrap(), [0.0, 6.0]);
    assert!(hang(&mut taps, &network, &["fc"], QuantConfig::U8, moving()).is_err());
    let mut calibrated = Taps::new();
    hang_calibrated(&mut calibrated, &[("x".into(), Interval::new(-1.0, 1.0).unwrap())], QuantConfig::U8)
        .unwrap();
    assert_eq!(calibrated.sites().count(), 1);
}
