//! The small network computes what the whole one does when the removed maps are forced to zero.

mod dag;

use nnc_core::forward;
use nnc_core::network::{Conv, Linear};
use nnc_core::params::{ParamKind, ParamSpecs};
use nnc_core::rng::Rng;
use nnc_core::source::VarSource;
use proptest::prelude::*;

use super::*;
use crate::group::Groups;

/// All outputs of a network for one batch, one after the other.
fn outputs(network: &Network, params: &Params, taps: &Taps, x: &Tensor) -> Vec<f32> {
    let source = VarSource::new(params).unwrap();
    let names: Vec<&str> = network.outputs().iter().map(|output| output.name.as_str()).collect();
    let outputs = forward::run(network, &source, taps, x, &names, &Step::eval()).unwrap();
    outputs.iter().flat_map(|(_, y)| y.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn input(network: &Network, seed: u64) -> Tensor {
    let shape: Vec<usize> = [2].into_iter().chain(network.inputs()[0].shape.iter().copied()).collect();
    let mut rng = Rng::keyed(seed, "x", &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The largest difference, over the largest number of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |max: f32, b| max.max(b.abs()));
    a.iter().zip(b).fold(0.0, |max: f32, (a, b)| max.max((a - b).abs())) / largest.max(f32::MIN_POSITIVE)
}

/// A cut of about `share` of what can be cut, that leaves every value a channel.
fn random_cut<'a>(groups: &'a Groups<'a>, share: f32, seed: u64) -> Cut<'a> {
    let mut rng = Rng::keyed(seed, "cut", &[]);
    let mut chosen: Vec<bool> = (0..groups.units().len())
        .map(|unit| rng.bernoulli(share) && groups.group_of(unit).held().is_none())
        .collect();
    for value in 0..groups.shapes().len() {
        let units = groups.units_of(value);
        if units.iter().all(|&unit| chosen[unit]) {
            chosen[units[0]] = false;
        }
    }
    let mut cut = groups.cut();
    (0..chosen.len()).filter(|&unit| chosen[unit]).for_each(|unit| cut.unit(unit));
    cut
}

/// Cuts, and compares outputs and counts; how many units went.
fn check(network: &Network, specs: &ParamSpecs, share: f32, seed: u64) -> usize {
    let params = dag::params(specs, seed);
    let groups = Groups::of(network, &params).unwrap();
    let cut = random_cut(&groups, share, seed);
    let (small, small_params) = apply(&cut, &params).unwrap();
    let x = input(network, seed);
    let expected = outputs(network, &params, &forced(&cut).unwrap(), &x);
    let got = outputs(&small, &small_params, &Taps::new(), &x);
    let distance = distance(&got, &expected);
    assert!(distance <= 1e-5, "{distance}: {:?}", network.nodes());
    for (value, shape) in small.infer_shapes(&small_params).unwrap().iter().enumerate() {
        let n_kept = cut.kept(value).len();
        // Flattened channels are counted one by one as well.
        assert_eq!(shape[0], n_kept, "{}", network.value_name(value));
    }
    cut.n_cut()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if nnc_testing::slow_tests() { 4000 } else { 200 }))]
    #[test]
    fn the_small_network_equals_the_one_with_those_maps_forced_to_zero(
        steps in prop::collection::vec((0..dag::N_KINDS, 0_usize..100), 0..9),
        end in 0_u8..4,
        share in 0.1_f32..0.8,
        seed in 0_u64..1000,
    ) {
        let (network, specs) = dag::network(&steps, end);
        check(&network, &specs, share, seed);
    }
}

#[test]
fn every_kind_of_step_is_cut_and_checked() {
    // So that the property above cannot pass because nothing could be cut; LRN holds what it touches.
    for kind in (0..dag::N_KINDS).filter(|&kind| kind != 19) {
        let cuts = (0..4).map(|end| {
            let (network, specs) = dag::network(&[(kind, 5), (0, 3)], end);
            let (plain, _) = dag::network(&[(0, 3)], end);
            assert!(network.nodes().len() > plain.nodes().len(), "step {kind} does nothing");
            check(&network, &specs, 0.5, 3)
        });
        assert!(cuts.sum::<usize>() > 8, "step {kind}");
    }
}

/// A convolution with batch norm and relu, read by another and by a linear layer.
fn two_readers() -> (Network, ParamSpecs) {
    Network::builder()
        .input("x", &[2, 6, 6])
        .conv2d("a", Conv::new(5, 3).padding(1))
        .batch_norm("bn")
        .relu("relu")
        .conv2d("b", Conv::new(3, 3).padding(1).without_bias())
        .output("map")
        .from(&["relu"])
        .flatten("flatten")
        .linear("c", Linear::new(4).without_bias())
        .output("vector")
        .build()
        .unwrap()
}

#[test]
fn masked_weights_alone_leave_the_shift_behind() {
    let (network, specs) = two_readers();
    let mut params = dag::params(&specs, 7);
    // A shift that passes relu.
    params.replace("bn.bias", Tensor::new(&[3_f32; 5], &Device::Cpu).unwrap()).unwrap();
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    cut.channels("a", &[1, 4]).unwrap();
    let (small, small_params) = apply(&cut, &params).unwrap();
    let x = input(&network, 1);
    let thin = outputs(&small, &small_params, &Taps::new(), &x);

    let masked = |names: &[&str]| {
        let mut masked = params.clone();
        let keep = Tensor::new(&[1_f32, 0.0, 1.0, 1.0, 0.0], &Device::Cpu).unwrap();
        for name in names {
            let tensor = params.tensor(name).unwrap();
            let dims: Vec<usize> = std::iter::once(5).chain(tensor.dims()[1..].iter().map(|_| 1)).collect();
            masked.replace(name, tensor.broadcast_mul(&keep.reshape(dims).unwrap()).unwrap()).unwrap();
        }
        outputs(&network, &masked, &Taps::new(), &x)
    };
    let (weights, all) = (["a.weight", "a.bias"], ["a.weight", "a.bias", "bn.bias", "bn.running_mean"]);
    assert!(distance(&thin, &masked(&weights)) > 0.01, "the shift of channels 1 and 4 reaches the readers");
    assert!(distance(&thin, &masked(&all)) <= 1e-5);
}

#[test]
fn counts_are_exact_and_names_and_order_stay() {
    let (network, specs) = two_readers();
    let mut params = dag::params(&specs, 7);
    params.insert("step", ParamKind::Buffer, Tensor::new(&[3_f32], &Device::Cpu).unwrap());
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    cut.channels("relu", &[0, 2]).unwrap();
    let (small, small_params) = apply(&cut, &params).unwrap();
    let shapes: Vec<(&str, Vec<usize>)> =
        small_params.iter().map(|param| (param.name.as_str(), param.tensor.dims().to_vec())).collect();
    assert_eq!(
        shapes,
        [
            ("a.weight", vec![3, 2, 3, 3]),
            ("a.bias", vec![3]),
            ("bn.weight", vec![3]),
            ("bn.bias", vec![3]),
            ("bn.running_mean", vec![3]),
            ("bn.running_var", vec![3]),
            ("b.weight", vec![3, 3, 3, 3]),
            ("c.weight", vec![4, 3 * 36]),
            ("step", vec![1]),
        ]
    );
    // Channels 1, 3 and 4 stay, with their 36 columns each.
    let columns = |tensor: &Tensor, start| tensor.narrow(1, start, 36).unwrap().to_vec2::<f32>().unwrap();
    let (whole, thin) = (params.tensor("c.weight").unwrap(), small_params.tensor("c.weight").unwrap());
    assert_eq!(columns(thin, 36), columns(whole, 3 * 36));
    assert_eq!(small.nodes().len(), network.nodes().len());
}

#[test]
fn counts_in_operators_are_adjusted() {
    let (network, specs) = Network::builder()
        .input("x", &[3, 4, 4])
        .conv2d("a", Conv::new(6, 1))
        .conv2d("depthwise", Conv::new(12, 3).padding(1).groups(6))
        .op("pad", Op::Pad { channels: (2, 1), height: (0, 0), width: (0, 0) })
        .op("slice", Op::SliceChannels { start: 4, len: 9 })
        .op("reshape", Op::Reshape { shape: vec![9, 16, 1] })
        .conv2d("b", Conv::new(2, 1))
        .output("y")
        .build()
        .unwrap();
    let params = dag::params(&specs, 1);
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    // Channel c of `a` is 2c and 2c + 1 of `depthwise`, and 2 more of `pad`; the slice begins behind channel 0 of `a`.
    cut.channels("a", &[0, 3]).unwrap();
    cut.channels("pad", &[1]).unwrap();
    let (small, _) = apply(&cut, &params).unwrap();
    let op = |name: &str| small.node(name).unwrap().op.clone();
    assert!(matches!(op("depthwise"), Op::Conv2d { config, .. } if config.groups == 4));
    assert_eq!(op("pad"), Op::Pad { channels: (1, 1), height: (0, 0), width: (0, 0) });
    assert_eq!(op("slice"), Op::SliceChannels { start: 1, len: 7 });
    assert_eq!(op("reshape"), Op::Reshape { shape: vec![7, 16, 1] });
}

#[test]
fn the_small_network_saves_loads_and_trains() {
    use nnc_core::candle::backprop::GradStore;
    let (network, specs) = two_readers();
    let params = dag::params(&specs, 7);
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    cut.channels("a", &[0]).unwrap();
    let (small, small_params) = apply(&cut, &params).unwrap();
    let bytes = small_params.to_safetensors().unwrap();
    let loaded = Params::from_safetensors(&bytes, &Device::Cpu).unwrap();
    let x = input(&network, 2);
    let run = |params| outputs(&small, params, &Taps::new(), &x);
    assert_eq!(run(&loaded), run(&small_params));

    let source = VarSource::new(&loaded).unwrap();
    let step = Step::train(1, 0);
    let y = forward::run(&small, &source, &Taps::new(), &x, &["vector"], &step).unwrap();
    let gradients: GradStore = y.get("vector").unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for trainable in nnc_core::source::ParamSource::trainables(&source) {
        let reached = gradients.get(&trainable.var).is_some();
        assert_eq!(reached, trainable.name != "b.weight", "{}", trainable.name);
    }
}

#[test]
fn what_cannot_be_cut_is_an_error_that_names_the_node() {
    let (network, specs) = two_readers();
    let params = dag::params(&specs, 7);
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    let message = cut.channels("b", &[0]).unwrap_err().to_string();
    assert!(message.contains("cut of `b`") && message.contains("an output of the network"), "{message}");
    let message = cut.channels("x", &[0]).unwrap_err().to_string();
    assert!(message.contains("an input of the network"), "{message}");
    let message = cut.channels("a", &[1, 5]).unwrap_err().to_string();
    assert!(message.contains("`a`") && message.contains("below 5, got 5"), "{message}");
    assert!(cut.channels("nowhere", &[0]).unwrap_err().to_string().contains("flatten"));
    assert_eq!(cut.n_cut(), 0);

    cut.channels("a", &[0, 1, 2, 3, 4]).unwrap();
    let message = apply(&cut, &params).unwrap_err().to_string();
    assert!(message.contains("`a`") && message.contains("at least one channel"), "{message}");

    let mut other = groups.cut();
    other.channels("a", &[0]).unwrap();
    let (_, small) = apply(&other, &params).unwrap();
    let message = apply(&other, &small).unwrap_err().to_string();
    assert!(message.contains("`a`") && message.contains("[5, 6, 6]"), "{message}");
}

#[test]
fn one_slope_for_all_channels_stays() {
    let (mut network, mut specs) = two_readers();
    network.replace_op("relu", Op::Prelu).unwrap();
    let slope = nnc_core::params::ParamSpec {
        name: "relu.weight".into(),
        shape: vec![1],
        kind: ParamKind::Bias,
        init: nnc_core::params::Init::Constant(0.25),
    };
    specs.push(slope).unwrap();
    assert!(check(&network, &specs, 0.5, 1) > 0);
    let params = dag::params(&specs, 1);
    let groups = Groups::of(&network, &params).unwrap();
    let mut cut = groups.cut();
    cut.channels("a", &[2]).unwrap();
    let (_, small) = apply(&cut, &params).unwrap();
    assert_eq!(small.tensor("relu.weight").unwrap().dims(), [1]);
}
