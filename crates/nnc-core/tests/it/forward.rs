//! Networks run: fusing changes no number, taps see and change values, nothing needless is computed.

use std::sync::{Arc, Mutex};

use nnc_core::candle::{Device, Tensor};
use nnc_core::forward::run;
use nnc_core::model::Outputs;
use nnc_core::network::{Conv, Network, Op};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{ParamSource, Step, VarSource};
use nnc_core::tap::{Observe, Site, Taps, Transform};
use nnc_core::{Error, Result};
use proptest::prelude::*;

/// Two branches and two outputs; every run of nodes that can be fused is there.
fn network() -> (Network, ParamSpecs) {
    Network::builder()
        .input("x", &[2, 9, 9])
        .conv2d("conv1", Conv::new(4, 3))
        .relu("relu1")
        .max_pool2d("pool1", Pool2dConfig::square(2))
        .conv2d("conv2", Conv::new(4, 2))
        .max_pool2d("pool2", Pool2dConfig::new((2, 2), (1, 1)))
        .flatten("flatten")
        .linear("ip1", 6)
        .relu("relu2")
        .output("feature")
        .linear("ip2", 3)
        .output("logits")
        .from(&["pool1"])
        .flatten("flatten_side")
        .linear("side", 2)
        .output("early")
        .build()
        .unwrap()
}

fn input(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::keyed(seed, "x", &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn source(specs: &ParamSpecs) -> VarSource {
    VarSource::new(&specs.init(1, &Device::Cpu).unwrap()).unwrap()
}

#[track_caller]
fn assert_close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.dims(), b.dims());
    for (a, b) in numbers(a).iter().zip(numbers(b)) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{a} against {b}");
    }
}

/// Keeps what passes.
#[derive(Debug, Default)]
struct Keep(Mutex<Vec<Tensor>>);

impl Observe for Keep {
    fn observe(&self, value: &Tensor, _step: &Step) -> Result<()> {
        self.0.lock().unwrap().push(value.clone());
        Ok(())
    }
}

#[derive(Debug)]
struct Negate;

impl Transform for Negate {
    fn transform(&self, value: &Tensor, _step: &Step) -> Result<Tensor> {
        Ok(value.neg()?)
    }
}

#[test]
fn fusing_changes_no_number() {
    let (network, specs) = network();
    let (source, x) = (source(&specs), input(&[3, 2, 9, 9], 1));
    let want = ["feature", "logits", "early"];
    let fused = run(&network, &source, &Taps::new(), &x, &want, &Step::eval()).unwrap();
    // An observer on every value keeps every node by itself.
    let mut taps = Taps::new();
    let seen = Arc::new(Keep::default());
    for node in network.nodes() {
        taps.observe(Site::output(&node.name), seen.clone());
    }
    let apart = run(&network, &source, &taps, &x, &want, &Step::eval()).unwrap();
    assert_eq!(seen.0.lock().unwrap().len(), network.nodes().len());
    for name in want {
        assert_close(fused.get(name).unwrap(), apart.get(name).unwrap());
    }
}

#[test]
fn taps_see_and_change_values_where_they_hang() {
    let (network, specs) = network();
    let (source, x) = (source(&specs), input(&[1, 2, 9, 9], 2));
    let logits = |taps: &Taps| -> Outputs {
        run(&network, &source, taps, &x, &["feature", "logits"], &Step::eval()).unwrap()
    };
    let plain = logits(&Taps::new());
    // Negating a node's input is negating the output that it alone reads; other readers see it unchanged.
    let seen = Arc::new(Keep::default());
    let mut taps = Taps::new();
    taps.transform(Site::input("ip2", 0), Box::new(Negate));
    taps.observe(Site::input("ip2", 0), seen.clone());
    let changed = logits(&taps);
    assert_close(plain.get("feature").unwrap(), changed.get("feature").unwrap());
    let expected = plain.get("feature").unwrap().neg().unwrap();
    assert_close(&seen.0.lock().unwrap()[0], &expected);
    let weight = source.get("ip2.weight", &Step::eval()).unwrap();
    let product = expected.matmul(&weight.t().unwrap()).unwrap();
    let bias = source.get("ip2.bias", &Step::eval()).unwrap();
    assert_close(changed.get("logits").unwrap(), &product.broadcast_add(&bias).unwrap());
}

#[test]
fn a_tap_on_an_unknown_node_lists_the_known_ones() {
    let (network, specs) = network();
    let mut taps = Taps::new();
    taps.transform(Site::output("conv9"), Box::new(Negate));
    let x = input(&[1, 2, 9, 9], 3);
    let error = run(&network, &source(&specs), &taps, &x, &["logits"], &Step::eval()).unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { name, known, .. } if name == "conv9" && known.contains(&"conv1".into())),
        "{error}"
    );
    let error = run(&network, &source(&specs), &Taps::new(), &x, &["ip2"], &Step::eval()).unwrap_err();
    assert!(matches!(&error, Error::NotFound { known, .. } if known.contains(&"early".into())), "{error}");
}

#[test]
fn a_tap_on_an_input_that_a_node_has_not_is_refused() {
    let (network, specs) = network();
    let x = input(&[1, 2, 9, 9], 3);
    for (node, index) in [("conv1", 1), ("x", 0)] {
        let mut taps = Taps::new();
        taps.transform(Site::input(node, index), Box::new(Negate));
        let error = run(&network, &source(&specs), &taps, &x, &["logits"], &Step::eval()).unwrap_err();
        assert!(error.to_string().contains(&format!("an input of `{node}`")), "{error}");
    }
}

#[test]
fn only_what_an_output_needs_is_run() {
    let (network, specs) = network();
    let mut params = specs.init(1, &Device::Cpu).unwrap();
    for gone in ["conv2.weight", "ip1.weight", "ip2.weight"] {
        params.remove(gone).unwrap();
    }
    let source = VarSource::new(&params).unwrap();
    let x = input(&[1, 2, 9, 9], 4);
    run(&network, &source, &Taps::new(), &x, &["early"], &Step::eval()).unwrap();
    assert!(run(&network, &source, &Taps::new(), &x, &["logits"], &Step::eval()).is_err());
}

#[test]
fn a_slice_computes_what_the_whole_does() {
    let (network, specs) = network();
    let (source, x) = (source(&specs), input(&[2, 2, 9, 9], 5));
    let mut taps = Taps::new();
    let seen = Arc::new(Keep::default());
    taps.observe(Site::output("pool1"), seen.clone());
    let whole = run(&network, &source, &taps, &x, &["logits"], &Step::eval()).unwrap();
    let front = network.slice(&["x"], &["pool1"], &specs).unwrap();
    let back = network.slice(&["pool1"], &["logits"], &specs).unwrap();
    let middle = run(&front, &source, &Taps::new(), &x, &["pool1"], &Step::eval()).unwrap();
    let middle = middle.get("pool1").unwrap();
    assert_close(middle, &seen.0.lock().unwrap()[0]);
    let end = run(&back, &source, &Taps::new(), middle, &["logits"], &Step::eval()).unwrap();
    assert_close(end.get("logits").unwrap(), whole.get("logits").unwrap());
}

#[test]
fn batch_norm_moves_its_statistics_in_training_only() {
    let (network, specs) =
        Network::builder().input("x", &[2, 3, 3]).batch_norm("bn").output("y").build().unwrap();
    let source = source(&specs);
    let x = (input(&[8, 2, 3, 3], 6) + 5.0).unwrap();
    let mean = || numbers(&source.get("bn.running_mean", &Step::eval()).unwrap());
    run(&network, &source, &Taps::new(), &x, &["y"], &Step::eval()).unwrap();
    assert_eq!(mean(), [0.0, 0.0]);
    run(&network, &source, &Taps::new(), &x, &["y"], &Step::train(1, 0)).unwrap();
    // Momentum 0.1 of a batch mean near 5.
    assert!(mean().iter().all(|m| (0.4..0.6).contains(m)), "{:?}", mean());
}

#[test]
fn dropout_depends_on_seed_step_and_node_alone() {
    let build = |extra: bool| {
        let builder = Network::builder().input("x", &[64]);
        let builder = if extra { builder.dropout("before", 0.2) } else { builder };
        builder.from(&["x"]).dropout("drop", 0.5).output("y").build().unwrap().0
    };
    let source = VarSource::new(&Params::new()).unwrap();
    let x = Tensor::ones((2, 64), nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
    let y = |extra, step| {
        numbers(run(&build(extra), &source, &Taps::new(), &x, &["y"], &step).unwrap().get("y").unwrap())
    };
    assert_eq!(y(false, Step::train(1, 7)), y(true, Step::train(1, 7)));
    assert_ne!(y(false, Step::train(1, 7)), y(false, Step::train(1, 8)));
    assert_ne!(y(false, Step::train(1, 7)), y(false, Step::train(2, 7)));
    assert_eq!(y(false, Step::eval()), vec![1.0; 128]);
}

/// One operator as a network, with its parameters.
fn single(op: Op, shape: &[usize]) -> (Network, VarSource) {
    let op_is = |name: &str| op.name() == name;
    let builder = Network::builder().input("x", shape);
    let built = match &op {
        Op::Prelu => builder.prelu("op").output("y").build(),
        _ if op_is("conv2d") => {
            let conv = Conv::new(3, 2);
            builder
                .conv2d(
                    "op",
                    if matches!(op, Op::Conv2d { bias: false, .. }) { conv.without_bias() } else { conv },
                )
                .output("y")
                .build()
        }
        _ => builder.op("op", op).output("y").build(),
    };
    let (network, specs) = built.unwrap();
    let source = source(&specs);
    (network, source)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn operators_that_claim_to_be_homogeneous_are(seed in any::<u64>(), scale in 0.1..8.0_f32) {
        let pool = Pool2dConfig::square(2);
        let operators = [
            Op::Relu, Op::Relu6, Op::Clip { min: -1.0, max: 1.0 }, Op::Prelu, Op::Abs, Op::Tanh, Op::Sigmoid, Op::HardSwish,
            Op::MaxPool2d { config: pool }, Op::AvgPool2d { config: pool }, Op::GlobalAvgPool2d, Op::Flatten,
            Op::Dropout { ratio: 0.5 }, Op::Softmax,
            Op::Pad { channels: (1, 0), height: (0, 1), width: (1, 1) }, Op::SliceChannels { start: 1, len: 1 },
        ];
        let x = input(&[2, 2, 4, 4], seed);
        for op in operators {
            if !op.traits().homogeneous {
                continue;
            }
            let (network, source) = single(op.clone(), &[2, 4, 4]);
            let y = |x: &Tensor| run(&network, &source, &Taps::new(), x, &["y"], &Step::eval()).unwrap().get("y").unwrap().clone();
            let scaled_first = y(&(&x * f64::from(scale)).unwrap());
            let scaled_last = (y(&x) * f64::from(scale)).unwrap();
            for (a, b) in numbers(&scaled_first).iter().zip(numbers(&scaled_last)) {
                prop_assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{}: {} against {}", op.name(), a, b);
            }
        }
    }
}
