//! Facts about networks: the papers' tables, the graph's rules, and what bytes from outside can do.

use proptest::prelude::*;

use super::zoo::{ImageNetConfig, LeNetConfig, alexnet, cifar_cnn, lenet_5, lenet_300_100, vgg_16};
use super::*;
use crate::ops::{Conv2dConfig, Pool2dConfig};
use crate::params::ParamSpecs;

/// The weights and FLOP of the nodes that hold weights.
fn weights_and_flops((network, specs): &(Network, ParamSpecs)) -> Vec<(String, u64, u64)> {
    let cost = network.cost(specs).unwrap();
    cost.weighted().map(|node| (node.name.clone(), node.weights, node.flops())).collect()
}

fn named(rows: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    rows.iter().map(|&(name, weights, flops)| (name.into(), weights, flops)).collect()
}

#[test]
fn lenet_300_100_has_the_cost_of_han_2015_table_3() {
    let model = lenet_300_100(&LeNetConfig::default()).unwrap();
    let expected = named(&[("ip1", 235_200, 470_400), ("ip2", 30_000, 60_000), ("ip3", 1_000, 2_000)]);
    assert_eq!(weights_and_flops(&model), expected);
    let total = model.0.cost(&model.1).unwrap().total();
    assert_eq!(
        (total.weights, total.biases, total.params(), total.flops()),
        (266_200, 410, 266_610, 532_400)
    );
}

#[test]
fn lenet_5_has_the_cost_of_han_2015_table_4() {
    let model = lenet_5(&LeNetConfig::default()).unwrap();
    let expected = named(&[
        ("conv1", 500, 576_000),
        ("conv2", 25_000, 3_200_000),
        ("ip1", 400_000, 800_000),
        ("ip2", 5_000, 10_000),
    ]);
    assert_eq!(weights_and_flops(&model), expected);
    let cost = model.0.cost(&model.1).unwrap();
    assert_eq!((cost.total().weights, cost.total().biases, cost.total().flops()), (430_500, 580, 4_586_000));
    let activations: Vec<u64> = cost.nodes.iter().map(|node| node.activations).collect();
    assert_eq!(activations, [20 * 24 * 24, 20 * 12 * 12, 50 * 8 * 8, 800, 800, 500, 500, 10]);
}

#[test]
fn alexnet_has_the_weights_of_the_caffe_model() {
    let model = alexnet(&ImageNetConfig::default()).unwrap();
    let rows = weights_and_flops(&model);
    let weights: Vec<u64> = rows.iter().map(|row| row.1).collect();
    assert_eq!(weights, [34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000]);
    // Han et al., NIPS 2015, table 5, in millions, rounded.
    let mflops: Vec<u64> = rows.iter().map(|row| (row.2 + 500_000) / 1_000_000).collect();
    assert_eq!(mflops, [211, 448, 299, 224, 150, 75, 34, 8]);
    assert_eq!(model.0.cost(&model.1).unwrap().total().params(), 60_965_224);
    let shapes = model.0.infer_shapes(&model.1).unwrap();
    let shape = |name| shapes[model.0.value(name).unwrap()].clone();
    assert_eq!(
        (shape("conv1"), shape("pool5"), shape("fc8")),
        (vec![96, 55, 55], vec![256, 6, 6], vec![1000])
    );
}

#[test]
fn the_cifar_cnn_ends_in_one_pixel_of_64_maps() {
    let (network, specs) = cifar_cnn().unwrap();
    let shapes = network.infer_shapes(&specs).unwrap();
    let shape = |name| shapes[network.value(name).unwrap()].clone();
    assert_eq!(
        (shape("pool1"), shape("pool2"), shape("bn6")),
        (vec![64, 14, 14], vec![128, 5, 5], vec![64, 1, 1])
    );
    assert_eq!(specs.iter().map(crate::params::ParamSpec::count).sum::<usize>(), 968_394 + 1_024);
}

#[test]
fn vgg_16_has_the_cost_of_han_2015_table_6() {
    let model = vgg_16(&ImageNetConfig::default()).unwrap();
    let rows = weights_and_flops(&model);
    let thousands: Vec<u64> = rows.iter().take(7).map(|row| (row.1 + 500) / 1000).collect();
    assert_eq!(thousands, [2, 37, 74, 147, 295, 590, 590]);
    assert_eq!(rows[13].1, 512 * 7 * 7 * 4096);
    let total = model.0.cost(&model.1).unwrap().total();
    assert_eq!((total.params(), rows.len()), (138_357_544, 16));
    // 30.9 billion FLOP; the first two convolutions 0.2 and 3.7, the last three 925 million each.
    assert_eq!(total.flops() / 100_000_000, 309);
    assert_eq!((rows[0].2 / 10_000_000, rows[1].2 / 100_000_000, rows[12].2 / 1_000_000), (17, 36, 924));
}

#[test]
fn dropout_stands_behind_each_hidden_layer_and_can_be_adjusted() {
    let (mut network, _) =
        lenet_300_100(&LeNetConfig { dropout: Some(0.5), ..LeNetConfig::default() }).unwrap();
    assert_eq!(network.node("ip2").unwrap().inputs, ["drop1"]);
    assert_eq!(network.node("ip3").unwrap().inputs, ["drop2"]);
    network.replace_op("drop2", Op::Dropout { ratio: 0.25 }).unwrap();
    assert_eq!(network.node("drop2").unwrap().op, Op::Dropout { ratio: 0.25 });
    let before = network.clone();
    for wrong in [Op::Dropout { ratio: 1.0 }, Op::Dropout { ratio: f32::NAN }, Op::Add] {
        assert!(network.replace_op("drop2", wrong).is_err());
    }
    assert_eq!(network, before);
}

#[test]
fn default_first_values_are_bounded_as_in_pytorch() {
    use crate::params::Init;
    let (_, specs) = lenet_5(&LeNetConfig::default()).unwrap();
    let bound = |name: &str| match specs.get(name).unwrap().init {
        Init::Uniform(bound) => bound,
        other => panic!("{other:?}"),
    };
    // fan_in of conv2 is 20·5·5 = 500, of ip1 800.
    assert_eq!((bound("conv2.weight"), bound("conv2.bias")), (1.0 / 500_f32.sqrt(), 1.0 / 500_f32.sqrt()));
    assert_eq!(bound("ip1.bias"), 1.0 / 800_f32.sqrt());
}

#[test]
fn parameters_are_named_after_their_nodes_in_order() {
    let (network, specs) = Network::builder()
        .input("image", &[3, 8, 8])
        .conv2d("conv", Conv::new(4, 3).without_bias())
        .batch_norm("bn")
        .prelu("act")
        .output("features")
        .build()
        .unwrap();
    let expected = ["conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "act.weight"];
    assert_eq!(network.param_names().collect::<Vec<_>>(), expected);
    assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), expected);
    let total = network.cost(&specs).unwrap().total();
    assert_eq!((total.weights, total.biases, total.buffers), (108, 12, 8));
}

fn message(built: Result<(Network, ParamSpecs)>) -> String {
    built.unwrap_err().to_string()
}

#[test]
fn builder_errors_name_the_node_and_both_shapes() {
    let image = || Network::builder().input("image", &[3, 8, 8]);
    let twice = message(image().relu("a").conv2d("a", Conv::new(2, 3)).output("out").build());
    assert!(twice.contains("not taken") && twice.contains("`a`"), "{twice}");
    let unknown = message(image().relu("a").from(&["b"]).relu("c").output("out").build());
    assert_eq!(unknown, "no value named `b`; there are: image, a");
    let unflattened = message(image().linear("ip", 10).output("out").build());
    assert_eq!(
        unflattened,
        "invalid `input of node `ip``: expected a vector (F,): flatten first, got [3, 8, 8]"
    );
    let sum =
        message(image().conv2d("a", Conv::new(3, 3)).from(&["a", "image"]).add("sum").output("out").build());
    assert_eq!(sum, "shape mismatch in input of node `sum`: expected [3, 6, 6], got [3, 8, 8]");
    let large = message(image().conv2d("a", Conv::new(3, 9)).output("out").build());
    assert!(large.contains("node `a`") && large.contains("[3, 8, 8]"), "{large}");
    let groups = message(image().conv2d("a", Conv::new(4, 3).groups(2)).output("out").build());
    assert!(groups.contains("weight of node `a`"), "{groups}");
    assert!(message(image().relu("a").build()).contains("at least one input and one output"));
    let lone = message(image().add("sum").output("out").build());
    assert!(lone.contains("number of inputs of node `sum`"), "{lone}");
}

#[test]
fn the_first_error_of_a_chain_is_the_one_reported() {
    let built =
        Network::builder().input("image", &[3, 8, 8]).conv2d("a", Conv::new(3, 9)).linear("b", 3).build();
    assert!(message(built).contains("node `a`"));
}

#[test]
fn settings_outside_their_range_are_refused() {
    let pool = Pool2dConfig::new((2, 2), (1, 1));
    let conv = Conv2dConfig::default();
    for op in [
        Op::MaxPool2d { config: Pool2dConfig { kernel: (0, 2), ..pool } },
        Op::AvgPool2d { config: Pool2dConfig { stride: (1, 0), ..pool } },
        Op::MaxPool2d { config: Pool2dConfig { padding: (2, 0), ..pool } },
        Op::Conv2d { config: Conv2dConfig { groups: 0, ..conv }, bias: true },
        Op::Conv2d { config: Conv2dConfig { stride: (0, 1), ..conv }, bias: true },
        Op::Conv2d { config: Conv2dConfig { dilation: (1, 0), ..conv }, bias: true },
        Op::BatchNorm { eps: 0.0, momentum: 0.1 },
        Op::BatchNorm { eps: 1e-5, momentum: 1.5 },
        Op::Lrn { size: 4, alpha: 1.0, beta: 1.0, k: 1.0 },
        Op::Clip { min: 1.0, max: 0.0 },
        Op::Clip { min: f32::NAN, max: 0.0 },
        Op::Dropout { ratio: -0.1 },
    ] {
        assert!(op.check("node").is_err(), "{op:?}");
    }
}

/// A residual network with two outputs, the second behind a slice, a pad and a concatenation.
fn branched() -> (Network, ParamSpecs) {
    Network::builder()
        .input("image", &[3, 8, 8])
        .conv2d("stem", Conv::new(4, 3).padding(1))
        .relu("stem_relu")
        .conv2d("a", Conv::new(4, 3).padding(1).without_bias())
        .batch_norm("a_bn")
        .from(&["a_bn", "stem_relu"])
        .add("sum")
        .output("features")
        .op("pooled", Op::GlobalAvgPool2d)
        .op("gate", Op::Sigmoid)
        .from(&["sum", "gate"])
        .op("scaled", Op::Mul)
        .op("first", Op::SliceChannels { start: 1, len: 2 })
        .from(&["first", "scaled"])
        .concat("both")
        .op("padded", Op::Pad { channels: (0, 1), height: (1, 0), width: (0, 2) })
        .op("flat", Op::Reshape { shape: vec![7 * 9 * 10] })
        .linear("head", 5)
        .op("softmax", Op::Softmax)
        .output("probabilities")
        .build()
        .unwrap()
}

#[test]
fn shapes_follow_every_branch() {
    let (network, specs) = branched();
    let shapes = network.infer_shapes(&specs).unwrap();
    let shape = |name: &str| shapes[network.value(name).unwrap()].clone();
    assert_eq!(shape("sum"), [4, 8, 8]);
    assert_eq!(shape("gate"), [4, 1, 1]);
    assert_eq!(shape("scaled"), [4, 8, 8]);
    assert_eq!(shape("both"), [6, 8, 8]);
    assert_eq!(shape("padded"), [7, 9, 10]);
    assert_eq!(shapes[network.output("probabilities").unwrap()], [5]);
    let stem_relu = network.value("stem_relu").unwrap();
    let readers: Vec<&str> = network.readers(stem_relu).map(|i| network.nodes()[i].name.as_str()).collect();
    assert_eq!(readers, ["a", "sum"]);
}

#[test]
fn slices_that_meet_hold_every_node_once() {
    let (network, specs) = branched();
    let front = network.slice(&["image"], &["features"], &specs).unwrap();
    // `features` is the output's name of the value `sum`.
    let back = network.slice(&["sum"], &["probabilities"], &specs).unwrap();
    let names: Vec<&str> = front.nodes().iter().chain(back.nodes()).map(|node| node.name.as_str()).collect();
    assert_eq!(names, network.nodes().iter().map(|node| node.name.as_str()).collect::<Vec<_>>());
    assert_eq!(back.inputs(), [Input { name: "sum".into(), shape: vec![4, 8, 8] }]);
    // The parts read the whole's parameters, and infer the same shapes from them.
    let shapes = back.infer_shapes(&specs).unwrap();
    assert_eq!(shapes[back.output("probabilities").unwrap()], [5]);
    let macs = |part: &Network| part.cost(&specs).unwrap().total().macs;
    assert_eq!(macs(&front) + macs(&back), macs(&network));
}

#[test]
fn a_slice_drops_what_it_does_not_need_and_refuses_an_open_cut() {
    let (network, specs) = branched();
    let head = network.slice(&["flat"], &["head"], &specs).unwrap();
    assert_eq!(head.param_names().collect::<Vec<_>>(), ["head.weight", "head.bias"]);
    let open = network.slice(&["a_bn"], &["sum"], &specs).unwrap_err().to_string();
    assert!(open.contains("input `image`") && open.contains("a_bn"), "{open}");
    let unknown = network.slice(&["image"], &["nowhere"], &specs).unwrap_err().to_string();
    assert!(unknown.contains("nowhere") && unknown.contains("stem_relu"), "{unknown}");
    assert!(network.slice(&["image", "image"], &["sum"], &specs).is_err());
}

#[test]
fn json_is_compact_and_reads_back_equal() {
    for (network, _) in [branched(), lenet_5(&LeNetConfig::default()).unwrap()] {
        let json = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
    }
    let (network, _) =
        Network::builder().input("x", &[4]).linear("ip", 2).relu("r").output("y").build().unwrap();
    assert_eq!(
        serde_json::to_string(&network).unwrap(),
        r#"{"inputs":[{"name":"x","shape":[4]}],"nodes":[{"name":"ip","op":{"linear":{"bias":true}},"inputs":["x"]},{"name":"r","op":"relu","inputs":["ip"]}],"outputs":[{"name":"y","value":"r"}]}"#
    );
}

#[test]
fn json_from_outside_is_checked() {
    let (network, _) = branched();
    let json = serde_json::to_string(&network).unwrap();
    for (from, to) in [
        (r#""name":"stem_relu""#, r#""name":"stem""#),   // a doubled name
        (r#""inputs":["stem"]"#, r#""inputs":["sum"]"#), // a cycle
        (r#""inputs":["stem"]"#, r#""inputs":["stem_relu"]"#), // a node that reads itself
        (r#""inputs":["stem"]"#, r#""inputs":[]"#),      // no input
        (r#""inputs":["stem"]"#, r#""inputs":["stem","stem"]"#), // too many
        (r#""value":"sum""#, r#""value":"nothing""#),    // an output of nothing
        (r#""name":"features""#, r#""name":"probabilities""#), // a doubled output
        (r#""shape":[3,8,8]"#, r#""shape":[3,0,8]"#),    // an empty image
        (r#""shape":[3,8,8]"#, r#""shape":[4294967296,4294967296,3]"#), // more than can be addressed
        (r#""groups":1"#, r#""groups":0"#),
        (r#""op":"sigmoid""#, r#""op":"unheard""#),
    ] {
        assert!(json.contains(from), "{from}");
        let broken = json.replacen(from, to, 1);
        assert!(serde_json::from_str::<Network>(&broken).is_err(), "{from} → {to}");
    }
}

#[test]
fn parameters_of_other_shapes_change_the_channels_or_are_refused() {
    let (network, specs) = lenet_5(&LeNetConfig::default()).unwrap();
    let with = |changes: &[(&str, &[usize])]| {
        let mut changed = ParamSpecs::new();
        for spec in &specs {
            let shape = changes.iter().find(|(name, _)| *name == spec.name).map_or(&spec.shape[..], |c| c.1);
            changed.push(crate::params::ParamSpec { shape: shape.to_vec(), ..spec.clone() }).unwrap();
        }
        network.infer_shapes(&changed)
    };
    let fewer: &[(&str, &[usize])] =
        &[("conv1.weight", &[7, 1, 5, 5]), ("conv1.bias", &[7]), ("conv2.weight", &[50, 7, 5, 5])];
    assert_eq!(with(fewer).unwrap()[network.value("pool1").unwrap()], [7, 12, 12]);
    let error = with(&fewer[..2]).unwrap_err().to_string();
    assert_eq!(error, "shape mismatch in weight of node `conv2`: expected [50, 7, 5, 5], got [50, 20, 5, 5]");
    let error = with(&fewer[..1]).unwrap_err().to_string();
    assert_eq!(error, "shape mismatch in bias of node `conv1`: expected [7], got [20]");
    let missing = network.infer_shapes(&ParamSpecs::new()).unwrap_err().to_string();
    assert!(missing.contains("conv1.weight"), "{missing}");
    assert!(with(&[("conv1.weight", &[20, 1, 5])]).is_err());
    assert!(with(&[("conv1.weight", &[20, 1, 0, 5])]).is_err());
    assert!(with(&[("ip2.weight", &[10, 499])]).is_err());
}

#[test]
fn other_input_sizes_give_other_shapes() {
    let (network, specs) = branched();
    let front = network.slice(&["image"], &["features"], &specs).unwrap();
    let shapes = front.infer_shapes_for(&specs, &[vec![3, 20, 6]]).unwrap();
    assert_eq!(shapes[front.output("features").unwrap()], [4, 20, 6]);
    assert!(front.infer_shapes_for(&specs, &[]).is_err());
    assert!(front.infer_shapes_for(&specs, &[vec![4, 8, 8]]).is_err());
}

/// One drawn layer of a random chain; sizes that do not fit are part of the draw.
#[derive(Debug, Clone)]
enum Layer {
    Conv { channels: usize, kernel: usize, stride: usize, padding: usize },
    Pool { kernel: usize, stride: usize, ceil_mode: bool },
    Residual,
    Norm,
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let conv = (1_usize..6, 1_usize..5, 1_usize..3, 0_usize..3)
        .prop_map(|(channels, kernel, stride, padding)| Layer::Conv { channels, kernel, stride, padding });
    let pool = (1_usize..4, 1_usize..4, any::<bool>()).prop_map(|(kernel, stride, ceil_mode)| Layer::Pool {
        kernel,
        stride,
        ceil_mode,
    });
    prop::collection::vec(
        prop_oneof![3 => conv, 2 => pool, 1 => Just(Layer::Residual), 1 => Just(Layer::Norm)],
        1..8,
    )
}

fn chain(layers: &[Layer]) -> Result<(Network, ParamSpecs)> {
    let mut b = Network::builder().input("image", &[2, 17, 13]);
    let mut last = String::from("image");
    for (i, layer) in layers.iter().enumerate() {
        let name = format!("n{i}");
        b = match *layer {
            Layer::Conv { channels, kernel, stride, padding } => {
                b.conv2d(&name, Conv::new(channels, kernel).stride(stride).padding(padding))
            }
            Layer::Pool { kernel, stride, ceil_mode } => {
                let (kernel, stride) = ((kernel, kernel), (stride, stride));
                let config =
                    Pool2dConfig { kernel, stride, padding: (0, 0), ceil_mode, count_include_pad: true };
                b.max_pool2d(&name, config)
            }
            Layer::Residual => {
                b.relu(&format!("{name}_branch")).from(&[&format!("{name}_branch"), &last]).add(&name)
            }
            Layer::Norm => b.batch_norm(&name),
        };
        last = name;
    }
    b.output("out").build()
}

proptest! {
    #[test]
    fn built_networks_infer_again_read_back_and_slice_anywhere(layers in layers(), cut in 0_usize..8) {
        let built = chain(&layers);
        prop_assume!(built.is_ok());
        let (network, specs) = built.unwrap();
        let shapes = network.infer_shapes(&specs).unwrap();
        prop_assert_eq!(shapes.len(), network.n_values());
        for (node_idx, node) in network.nodes().iter().enumerate() {
            prop_assert_eq!(network.node_idx(&node.name).unwrap(), node_idx);
            prop_assert!(network.reads(node_idx).iter().all(|&value| value < network.value_of_node(node_idx)));
        }
        let json = serde_json::to_string(&network).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Network>(&json).unwrap(), &network);

        let middle = format!("n{}", cut % layers.len());
        let front = network.slice(&["image"], &[&middle], &specs).unwrap();
        let back = network.slice(&[&middle], &["out"], &specs).unwrap();
        prop_assert_eq!(front.nodes().len() + back.nodes().len(), network.nodes().len());
        let total = |part: &Network| part.cost(&specs).unwrap().total();
        prop_assert_eq!(total(&front).macs + total(&back).macs, total(&network).macs);
        prop_assert_eq!(total(&front).activations + total(&back).activations, total(&network).activations);
    }

    #[test]
    fn multiplications_of_a_convolution_equal_counting_them(
        (groups, per_group, out_per_group) in (1_usize..4, 1_usize..4, 1_usize..4),
        (kernel, stride, size) in (1_usize..4, 1_usize..4, 4_usize..12),
    ) {
        let conv = Conv::new(groups * out_per_group, kernel).stride(stride).groups(groups);
        let input = Network::builder().input("x", &[groups * per_group, size, size]);
        let (network, specs) = input.conv2d("c", conv).output("y").build().unwrap();
        let starts = (0..=size - kernel).step_by(stride).count();
        let macs = starts * starts * kernel * kernel * groups * out_per_group * per_group;
        prop_assert_eq!(network.cost(&specs).unwrap().total().macs, macs as u64);
    }

    #[test]
    fn pooled_sizes_equal_counting_windows(
        (size, kernel, stride) in (1_usize..30, 1_usize..7, 1_usize..7),
        (padding, ceil_mode) in (0_usize..4, any::<bool>()),
    ) {
        prop_assume!(padding <= kernel / 2 && size + 2 * padding >= kernel);
        let config = Pool2dConfig { padding: (padding, 0), ceil_mode, ..Pool2dConfig::new((kernel, 1), (stride, 1)) };
        let input = Network::builder().input("x", &[1, size, 1]);
        let (network, specs) = input.avg_pool2d("pool", config).output("y").build().unwrap();
        // A window counts when it lies in the padded image; rounding up, when it starts in the image or the border
        // before it and the one before did not reach the end.
        let padded = size + 2 * padding;
        let counts = |start: usize| {
            let partial = ceil_mode && start < size + padding && start + kernel < padded + stride;
            start + kernel <= padded || partial
        };
        let n_windows = (0..).step_by(stride).take_while(|&start| counts(start)).count();
        prop_assert_eq!(network.infer_shapes(&specs).unwrap()[1][1], n_windows);
    }

    #[test]
    fn damaged_json_never_panics(at in 0_usize..2000, byte in any::<u8>()) {
        let mut json = serde_json::to_vec(&branched().0).unwrap();
        let at = at % json.len();
        json[at] = byte;
        if let Ok(network) = serde_json::from_slice::<Network>(&json) {
            // Whatever still reads is a network whose shapes can be asked for.
            let _ = network.infer_shapes(&branched().1);
        }
    }
}
