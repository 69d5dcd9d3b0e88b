//! Which values of a network have an interval of their own.

use nnc_core::network::{AtInference, Channels, Network, Op};
use nnc_core::{Error, Result, pattern};

use crate::affine::Interval;

/// For each value of the network, the value whose scale it has when the network runs on integers.
///
/// Most values have their own. Those have another's:
/// - what only an activation, a maximum pooling or a foldable batch norm reads, since that runs in the same operator: the
///   scale is that of the end of such a chain, and looking there keeps the float operators fused, too;
/// - what only moves numbers (views, dropout, slices, padding) or picks some (maximum pooling): the scale of what it reads.
///
/// The network's inputs and outputs always have their own, unless the output is a mere view.
pub fn site_of_values(network: &Network) -> Vec<usize> {
    let mut site: Vec<usize> = (0..network.n_values()).collect();
    let n_inputs = network.inputs().len();
    for (node_idx, node) in network.nodes().iter().enumerate() {
        let (value, read) = (network.value_of_node(node_idx), network.reads(node_idx)[0]);
        if moves_numbers(&node.op) && absorber(network, read).is_none() {
            site[value] = site[read];
        }
    }
    for value in (n_inputs..network.n_values()).rev() {
        if let Some(reader) = absorber(network, value) {
            site[value] = site[network.value_of_node(reader)];
        }
    }
    site
}

/// The names of the values that have an interval of their own, in the order of the network.
///
/// # Example
/// ```
/// use nnc_core::network::zoo::{LeNetConfig, lenet_5};
/// let (lenet, _) = lenet_5(&LeNetConfig::default())?;
/// assert_eq!(nnc_quant::calibrate::sites(&lenet), ["image", "pool1", "pool2", "relu1", "ip2"]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn sites(network: &Network) -> Vec<String> {
    let own = site_of_values(network).into_iter().enumerate().filter(|(value, site)| value == site);
    own.map(|(value, _)| network.value_name(value).to_owned()).collect()
}

/// Those of the [`sites`] that one of `patterns` matches, in the order of the network.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches none, with the sites there are.
pub fn select_sites(network: &Network, patterns: &[impl AsRef<str>]) -> Result<Vec<String>> {
    pattern::select(patterns, &sites(network)).map_err(|error| match error {
        Error::NoMatch { pattern, known, .. } => Error::NoMatch { what: "activation", pattern, known },
        error => error,
    })
}

/// The interval that the values of an input or node cannot leave, where its operator bounds them.
///
/// relu6, clip, sigmoid, tanh and softmax do; what only moves or picks numbers has the bound of what it reads.
///
/// # Errors
/// [`Error::NotFound`] for an unknown name.
pub fn bound_of(network: &Network, name: &str) -> Result<Option<Interval>> {
    let mut value = network.value(name)?;
    while let Some(node_idx) = value.checked_sub(network.inputs().len()) {
        let op = &network.nodes()[node_idx].op;
        if !moves_numbers(op) {
            return Ok(bound_of_op(op));
        }
        value = network.reads(node_idx)[0];
    }
    Ok(None)
}

fn bound_of_op(op: &Op) -> Option<Interval> {
    let (min, max) = match *op {
        Op::Relu6 => (0.0, 6.0),
        Op::Clip { min, max } => (min, max),
        Op::Sigmoid | Op::Softmax => (0.0, 1.0),
        Op::Tanh => (-1.0, 1.0),
        _ => return None,
    };
    // A clip may be open at one end.
    Interval::new(min, max).ok()
}

/// Whether every number of the result is one of the operand's, or 0.
fn moves_numbers(op: &Op) -> bool {
    let traits = op.traits();
    matches!(traits.at_inference, AtInference::Views | AtInference::Vanishes)
        || matches!(traits.channels, Channels::Selects { .. } | Channels::Pads { .. })
        || matches!(op, Op::MaxPool2d { .. })
}

/// The one node that reads a value and runs inside the operator that computes it, so that the value never leaves that.
fn absorber(network: &Network, value: usize) -> Option<usize> {
    let node_idx = value.checked_sub(network.inputs().len())?;
    let (op, name) = (&network.nodes()[node_idx].op, network.value_name(value));
    let mut readers = network.readers(value);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
    if network.outputs().iter().any(|output| output.value == name) {
        return None;
    }
    // A pooling is part of such an operator only if what it reads is; all else that moves numbers never is.
    let computes = match op {
        Op::MaxPool2d { .. } => absorber(network, network.reads(node_idx)[0]).is_some(),
        op => !moves_numbers(op),
    };
    let reads = &network.nodes()[reader].op;
    let runs_inside = match reads.traits().at_inference {
        AtInference::Fuses => true,
        AtInference::FoldsAffine => matches!(op.traits().channels, Channels::Mixes { .. }),
        _ => matches!(reads, Op::MaxPool2d { .. }),
    };
    (computes && runs_inside).then_some(reader)
}
