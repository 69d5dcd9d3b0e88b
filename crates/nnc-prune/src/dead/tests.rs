//! Removal of dead neurons changes no output, and finds everything at once.

use nnc_core::candle::{Device, Tensor};
use nnc_core::forward;
use nnc_core::network::{Conv, Network};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::{ParamKind, ParamSpecs};
use nnc_core::rng::Rng;
use nnc_core::source::{Step, VarSource};
use nnc_core::tap::Taps;
use proptest::prelude::*;

use super::*;
use crate::{Gradient, MaskedSource};

fn multilayer() -> (Network, ParamSpecs) {
    Network::builder()
        .input("x", &[4])
        .linear("a", 6)
        .relu("relu_a")
        .linear("b", 5)
        .relu("relu_b")
        .linear("c", 3)
        .output("y")
        .build()
        .unwrap()
}

fn convolutional() -> (Network, ParamSpecs) {
    Network::builder()
        .input("x", &[1, 10, 10])
        .conv2d("a", Conv::new(4, 3))
        .relu("relu_a")
        .max_pool2d("pool", Pool2dConfig::square(2))
        .conv2d("b", Conv::new(5, 3))
        .flatten("flatten")
        .linear("c", 3)
        .output("y")
        .build()
        .unwrap()
}

fn random_masks(params: &Params, density: f32, seed: u64) -> Masks {
    let masks = Masks::new();
    for param in params.iter().filter(|param| param.kind == ParamKind::Weight) {
        let mut rng = Rng::keyed(seed, &param.name, &[]);
        masks.set(&param.name, Mask::from_fn(param.tensor.dims(), |_| rng.bernoulli(density))).unwrap();
    }
    masks
}

fn output(network: &Network, params: &Params, masks: &Masks, x: &Tensor) -> Vec<f32> {
    let source = MaskedSource::new(VarSource::new(params).unwrap(), masks.clone(), Gradient::Masked).unwrap();
    let y = forward::run(network, &source, &Taps::new(), x, &["y"], &Step::eval()).unwrap();
    y.get("y").unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Removal changes no output, is idempotent, and leaves no neuron that is cut on one side only.
#[track_caller]
fn check((network, specs): (Network, ParamSpecs), density: f32, seed: u64) -> Removed {
    let mut params = specs.init(seed, &Device::Cpu).unwrap();
    let masks = random_masks(&params, density, seed);
    let shape: Vec<usize> = [2].into_iter().chain(network.inputs()[0].shape.iter().copied()).collect();
    let mut rng = Rng::keyed(seed, "x", &[]);
    let x: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let x = Tensor::from_vec(x, shape, &Device::Cpu).unwrap();
    let before = output(&network, &params, &masks, &x);
    let removed = remove(&network, &mut params, &masks).unwrap();
    let after = output(&network, &params, &masks, &x);
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() < 1e-5, "{before} became {after}");
    }
    assert_eq!(remove(&network, &mut params, &masks).unwrap(), Removed::default());
    removed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn removal_changes_no_output(density in 0.02..0.6_f32, seed in 0..1000_u64) {
        check(multilayer(), density, seed);
        check(convolutional(), density, seed);
    }
}

#[test]
fn a_chain_dies_from_both_ends() {
    let (network, specs) = multilayer();
    let mut params = specs.init(1, &Device::Cpu).unwrap();
    let masks = Masks::new();
    // Neuron 0 of `a` has no inputs; neuron 1 of `b` has no outputs, and it was neuron 2 of `a`'s only reader.
    masks.set("a.weight", Mask::from_fn(&[6, 4], |i| i / 4 != 0)).unwrap();
    masks.set("b.weight", Mask::from_fn(&[5, 6], |i| i % 6 != 2 || i / 6 == 1)).unwrap();
    masks.set("c.weight", Mask::from_fn(&[3, 5], |i| i % 5 != 1)).unwrap();
    let removed = remove(&network, &mut params, &masks).unwrap();
    assert_eq!(removed.n_neurons, 3);
    // Neuron 0 of `a`: five connections to `b`; neuron 1 of `b`: five more inputs (the one from neuron 0 is gone by then);
    // neuron 2 of `a`: its four inputs.
    assert_eq!(removed.n_weights, 5 + 5 + 4);
}

#[test]
fn an_output_keeps_its_neurons() {
    let (network, specs) = Network::builder().input("x", &[2]).linear("a", 2).output("y").build().unwrap();
    let mut params = specs.init(1, &Device::Cpu).unwrap();
    let masks = Masks::new();
    masks.set("a.weight", Mask::from_fn(&[2, 2], |i| i > 1)).unwrap();
    assert_eq!(remove(&network, &mut params, &masks).unwrap(), Removed::default());
}
