//! Networks as bytes: what comes back, what it costs, what hostile bytes do.

use nnc_core::Error;
use nnc_core::network::Op;
use nnc_core::network::zoo::{self, ImageNetConfig, LeNetConfig};
use nnc_core::ops::{Conv2dConfig, Pool2dConfig};
use proptest::prelude::*;

use super::*;

fn bytes_of(network: &Network) -> Vec<u8> {
    let mut out = Vec::new();
    put_network(&mut out, network).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Network> {
    let mut cursor = Cursor::new("network", bytes);
    let network = take_network(&mut cursor)?;
    cursor.mark(crate::archive::Part::Network);
    cursor.finish()?;
    Ok(network)
}

/// A network in which each operator occurs, with settings that differ from each other.
fn with_every_operator() -> Network {
    let conv = Conv2dConfig { stride: (1, 2), padding: (3, 4), dilation: (5, 6), groups: 700 };
    let pool = Pool2dConfig {
        kernel: (5, 6),
        stride: (300, 4),
        padding: (2, 1),
        ceil_mode: true,
        count_include_pad: false,
    };
    let include = Pool2dConfig { ceil_mode: false, count_include_pad: true, ..pool };
    let ops = [
        Op::Conv2d { config: conv, bias: true },
        Op::Conv2d { config: conv, bias: false },
        Op::Linear { bias: true },
        Op::Linear { bias: false },
        Op::BatchNorm { eps: 1e-5, momentum: 0.25 },
        Op::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 },
        Op::Relu,
        Op::Relu6,
        Op::Clip { min: -1.5, max: 7.0 },
        Op::Prelu,
        Op::Abs,
        Op::Tanh,
        Op::Sigmoid,
        Op::HardSwish,
        Op::MaxPool2d { config: pool },
        Op::AvgPool2d { config: include },
        Op::GlobalAvgPool2d,
        Op::Flatten,
        Op::Reshape { shape: vec![2, 1000, 1] },
        Op::Dropout { ratio: 0.5 },
        Op::Softmax,
        Op::Pad { channels: (1, 2), height: (3, 4), width: (5, 6) },
        Op::SliceChannels { start: 9, len: 130 },
    ];
    let mut nodes: Vec<Node> = Vec::new();
    for (i, op) in ops.into_iter().enumerate() {
        let before = nodes.last().map_or("b".to_owned(), |node| node.name.clone());
        nodes.push(Node { name: format!("n{i}"), op, inputs: vec![before] });
    }
    let three = || vec!["a".to_owned(), "n0".to_owned(), "n7".to_owned()];
    nodes.push(Node { name: "sum".into(), op: Op::Add, inputs: three() });
    nodes.push(Node { name: "both".into(), op: Op::Concat, inputs: three() });
    nodes.push(Node { name: "product".into(), op: Op::Mul, inputs: vec!["both".into(), "b".into()] });
    nodes.push(Node { name: "far".into(), op: Op::Relu, inputs: vec!["a".into()] });
    let inputs = [("a", vec![3, 224, 224]), ("b", vec![70_000])];
    let inputs = inputs.map(|(name, shape)| Input { name: name.into(), shape }).to_vec();
    let output = |name: &str, value: &str| Output { name: name.into(), value: value.into() };
    Network::new(inputs, nodes, vec![output("ends", "far"), output("input", "a"), output("Größe", "sum")])
        .unwrap()
}

fn zoo() -> Vec<Network> {
    let dropout = LeNetConfig { dropout: Some(0.5), ..LeNetConfig::default() };
    let image_net = ImageNetConfig::default();
    let all = [
        zoo::lenet_300_100(&dropout),
        zoo::lenet_5(&dropout),
        zoo::alexnet(&image_net),
        zoo::vgg_16(&image_net),
    ];
    all.map(|built| built.unwrap().0).to_vec()
}

#[test]
fn every_operator_and_every_network_of_the_zoo_comes_back() {
    for network in zoo().into_iter().chain([with_every_operator()]) {
        assert_eq!(read(&bytes_of(&network)).unwrap(), network);
    }
    let known: std::collections::BTreeSet<_> =
        with_every_operator().nodes().iter().map(|node| node.op.name()).collect();
    assert_eq!(known.len(), 24, "the network above has each operator: {known:?}");
}

#[test]
fn lenets_cost_about_a_hundred_bytes() {
    let sizes: Vec<usize> = zoo().iter().map(|network| bytes_of(network).len()).collect();
    assert!(sizes[0] < 100 && sizes[1] < 150, "LeNet-300-100 and LeNet-5: {sizes:?}");
    assert!(sizes[2] < 500 && sizes[3] < 700, "AlexNet and VGG-16: {sizes:?}");
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = bytes_of(&with_every_operator());
    for end in 0..bytes.len() {
        assert!(
            matches!(read(&bytes[..end]), Err(Error::UnexpectedEnd { .. } | Error::Corrupt { .. })),
            "{end}"
        );
    }
}

#[test]
fn short_bytes_cannot_ask_for_many_copies_of_a_long_name() {
    let mut bytes = vec![1, 255];
    bytes.extend([b'x'; 255]);
    // One node that reads the input 60,000 times: a byte each.
    bytes.extend([1, 1, 1, 1, b'y', 15 | LISTED, 0xe0, 0xd4, 0x03]);
    bytes.extend(vec![1; 60_000]);
    bytes.extend([1, 1, b'z', 1]);
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("more references than its length allows"), "{error}");
}

proptest! {
    #[test]
    fn changed_bytes_give_a_network_or_an_error(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = bytes_of(&with_every_operator());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        match read(&bytes) {
            Ok(network) => prop_assert_eq!(read(&bytes_of(&network)).unwrap(), network),
            Err(error) => prop_assert!(matches!(error, Error::UnexpectedEnd { .. } | Error::Corrupt { .. }), "{}", error),
        }
    }
}
