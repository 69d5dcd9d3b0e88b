//! Folded networks equal the whole ones, over drawn topologies.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

use nnc_core::candle::{Device, Tensor};
use nnc_core::forward;
use nnc_core::network::{Builder, Conv, Linear, Op};
use nnc_core::params::ParamSpecs;
use nnc_core::rng::Rng;
use nnc_core::tap::Taps;
use proptest::prelude::*;

use super::*;

/// What stands in one place of a drawn network.
#[derive(Debug, Clone)]
struct Block {
    bias: bool,
    groups: usize,
    stride: usize,
    n_norms: usize,
    activation: Option<Op>,
    /// The batch norm's operand is read by a second node.
    forked: bool,
    /// The batch norm's operand is an output.
    seen: bool,
}

fn block() -> impl Strategy<Value = Block> {
    let activation = prop::sample::select(vec![None, Some(Op::Relu), Some(Op::Relu6), Some(Op::Tanh)]);
    let sizes = (prop::sample::select(vec![1, 2, 4]), 1_usize..=2, 0_usize..=2);
    (any::<bool>(), sizes, activation, any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.2))
        .prop_map(|(bias, (groups, stride, n_norms), activation, _, forked, seen)| Block {
            bias,
            groups,
            stride,
            n_norms,
            activation,
            forked,
            seen,
        })
}

fn push(mut b: Builder, i: usize, block: &Block) -> Builder {
    let conv = Conv::new(4, 3).padding(1).groups(block.groups).stride(block.stride);
    let name = format!("conv{i}");
    b = b.conv2d(&name, if block.bias { conv } else { conv.without_bias() });
    if block.seen {
        b = b.output(&format!("seen{i}"));
    }
    for j in 0..block.n_norms {
        b = b.batch_norm(&format!("bn{i}.{j}"));
    }
    if block.forked {
        let last = match block.n_norms {
            0 => name.clone(),
            n => format!("bn{i}.{}", n - 1),
        };
        let twin = format!("tanh{i}");
        b = b.from(&[&name]).op(&twin, Op::Tanh).from(&[&last, &twin]).add(&format!("sum{i}"));
    }
    match &block.activation {
        Some(op) => b.op(&format!("act{i}"), op.clone()),
        None => b,
    }
}

fn network(blocks: &[Block], linear_bias: bool, first_norm: bool) -> (Network, ParamSpecs) {
    let mut b = Network::builder().input("image", &[4, 6, 6]);
    if first_norm {
        b = b.batch_norm("bn_in");
    }
    for (i, block) in blocks.iter().enumerate() {
        b = push(b, i, block);
    }
    let linear = if linear_bias { Linear::new(5) } else { Linear::new(5).without_bias() };
    b.flatten("flat").linear("fc", linear).batch_norm("bn_fc").output("logits").build().unwrap()
}

/// Drawn parameters, with statistics as a training leaves them.
fn drawn(specs: &ParamSpecs, seed: u64) -> Params {
    let mut params = Params::new();
    for spec in specs {
        let mut rng = Rng::keyed(seed, &spec.name, &[]);
        let n: usize = spec.shape.iter().product();
        let positive = spec.name.ends_with("running_var");
        let values: Vec<f32> = (0..n)
            .map(|_| if positive { rng.uniform_in(0.05, 3.0) } else { rng.uniform_in(-1.0, 1.0) })
            .collect();
        params.insert(
            &spec.name,
            spec.kind,
            Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu).unwrap(),
        );
    }
    params
}

fn outputs(network: &Network, params: &Params, seed: u64) -> Vec<(String, Vec<f32>)> {
    let mut rng = Rng::keyed(seed, "image", &[]);
    let image: Vec<f32> = (0..3 * 4 * 36).map(|_| rng.uniform_in(-1.0, 1.0)).collect();
    let image = Tensor::from_vec(image, (3, 4, 6, 6), &Device::Cpu).unwrap();
    let want: Vec<&str> = network.outputs().iter().map(|output| output.name.as_str()).collect();
    let source = VarSource::new(params).unwrap();
    let outputs = forward::run(network, &source, &Taps::new(), &image, &want, &Step::eval()).unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    outputs.iter().map(|(name, tensor)| (name.to_owned(), values(tensor))).collect()
}

proptest! {
    #[test]
    fn a_folded_network_computes_the_same(
        blocks in prop::collection::vec(block(), 1..4), linear_bias in any::<bool>(), first_norm in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (network, specs) = network(&blocks, linear_bias, first_norm);
        let params = drawn(&specs, seed);
        let folded = fold_batch_norms(&network, &params).unwrap();
        for ((name, before), (_, after)) in
            outputs(&network, &params, seed).iter().zip(outputs(&folded.network, &folded.params, seed))
        {
            let scale = before.iter().fold(1e-3_f32, |scale, x| scale.max(x.abs()));
            for (before, after) in before.iter().zip(after) {
                prop_assert!((before - after).abs() <= 1e-5 * scale, "{name}: {before} became {after} of {scale}");
            }
        }
        // Every batch norm is accounted for; those behind a value that others see are kept.
        let n_norms = network.nodes().iter().filter(|node| node.op.name() == "batch_norm").count();
        prop_assert_eq!(folded.folds.len() + folded.kept.len(), n_norms);
        let left = folded.network.nodes().iter().filter(|node| node.op.name() == "batch_norm").count();
        prop_assert_eq!(folded.kept.len(), left);
        for (i, block) in blocks.iter().enumerate() {
            let expected = if block.forked || block.seen { 0 } else { block.n_norms };
            let into = format!("conv{i}");
            prop_assert_eq!(folded.folds.iter().filter(|fold| fold.into == into).count(), expected);
        }
        prop_assert!(folded.folds.iter().any(|fold| fold.batch_norm == "bn_fc" && fold.into == "fc"));
        // The parameters are exactly those that the folded network asks for.
        let names: Vec<String> = folded.network.param_names().collect();
        prop_assert!(folded.params.names().eq(names.iter().map(String::as_str)));
    }
}

#[test]
fn a_batch_norm_that_stays_says_why() {
    let (network, _) = Network::builder()
        .input("image", &[4, 6, 6])
        .batch_norm("bn_in")
        .conv2d("shared", Conv::new(4, 1))
        .batch_norm("bn_shared")
        .from(&["shared", "bn_shared"])
        .add("sum")
        .batch_norm("bn_sum")
        .conv2d("seen", Conv::new(4, 1))
        .output("early")
        .batch_norm("bn_seen")
        .output("late")
        .build()
        .unwrap();
    let plan = plan(&network).unwrap();
    let kept: Vec<(&str, &str)> =
        plan.kept.iter().map(|kept| (kept.batch_norm.as_str(), kept.why.as_str())).collect();
    assert_eq!(
        kept,
        [
            ("bn_in", "`image` is an input of the network"),
            ("bn_shared", "`sum` reads `shared`, too"),
            ("bn_sum", "`sum` is a add, which has no weight to fold into"),
            ("bn_seen", "`seen` is the output `early`, too"),
        ]
    );
    assert_eq!((plan.folds.len(), plan.network), (0, network));
}

/// One number by hand: w = 2, b = 1, γ = 3, β = 0.5, μ = −1, σ² + ε = 4.
#[test]
fn the_fold_is_that_of_the_equation() {
    let (mut network, specs) =
        Network::builder().input("x", &[1]).linear("fc", 1).batch_norm("bn").output("y").build().unwrap();
    network.replace_op("bn", Op::BatchNorm { eps: 1.0, momentum: 0.1 }).unwrap();
    let mut params = specs.init(1, &Device::Cpu).unwrap();
    for (name, value) in [
        ("fc.bias", 1.0),
        ("bn.weight", 3.0),
        ("bn.bias", 0.5),
        ("bn.running_mean", -1.0),
        ("bn.running_var", 3.0),
    ] {
        params.replace(name, Tensor::new(&[value as f32], &Device::Cpu).unwrap()).unwrap();
    }
    params.replace("fc.weight", Tensor::new(&[[2.0_f32]], &Device::Cpu).unwrap()).unwrap();
    let folded = fold_batch_norms(&network, &params).unwrap();
    assert_eq!(folded.params.tensor("fc.weight").unwrap().to_vec2::<f32>().unwrap(), [[3.0]]);
    assert_eq!(folded.params.tensor("fc.bias").unwrap().to_vec1::<f32>().unwrap(), [0.5 + 1.5 * 2.0]);
}

#[test]
fn missing_and_misshapen_parameters_are_errors() {
    let (network, specs) =
        Network::builder().input("x", &[2]).linear("fc", 3).batch_norm("bn").output("y").build().unwrap();
    let mut params = specs.init(1, &Device::Cpu).unwrap();
    params.replace("bn.weight", Tensor::new(&[1.0_f32], &Device::Cpu).unwrap()).unwrap();
    let error = fold_batch_norms(&network, &params).unwrap_err().to_string();
    assert!(error.contains("bn.weight"), "{error}");
    params.remove("bn.running_var");
    let error = fold_batch_norms(&network, &params).unwrap_err().to_string();
    assert!(error.contains("no parameter named `bn.running_var`"), "{error}");
}
