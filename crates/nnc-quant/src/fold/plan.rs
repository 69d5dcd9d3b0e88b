//! Which batch norms fold, and the network without them.

use std::collections::HashMap;

use nnc_core::Result;
use nnc_core::network::{AtInference, Channels, Network, Node, Op, Output};

/// A batch norm that becomes part of the node before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The batch norm's name.
    pub batch_norm: String,
    /// The convolution or linear node that takes it in.
    pub into: String,
    /// What is added to the variance.
    pub eps: f32,
    /// Whether that node had a bias before.
    pub had_bias: bool,
}

/// A batch norm that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub batch_norm: String,
    /// What stands in the way.
    pub why: String,
}

/// What folding will do to a network.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The network without the batch norms that fold.
    pub network: Network,
    /// Those, in the order of the network; several may fold into one node, one after the other.
    pub folds: Vec<Fold>,
    /// The others.
    pub kept: Vec<Kept>,
}

/// Finds the batch norms that fold.
///
/// One does where [`Op::traits`] say that it folds and that the node before it mixes channels with weights, and where
/// nothing else sees what that node yields.
///
/// # Errors
/// Those of building the network without them; none in practice.
pub fn plan(network: &Network) -> Result<Plan> {
    let mut nodes: Vec<Node> = Vec::with_capacity(network.nodes().len());
    let (mut folds, mut kept) = (Vec::new(), Vec::new());
    // Old names of values that are now another's.
    let mut renamed: HashMap<&str, String> = HashMap::new();
    for (node_idx, node) in network.nodes().iter().enumerate() {
        let mut node_now = node.clone();
        for input in &mut node_now.inputs {
            if let Some(name) = renamed.get(input.as_str()) {
                input.clone_from(name);
            }
        }
        let Op::BatchNorm { eps, .. } = node.op else {
            nodes.push(node_now);
            continue;
        };
        match obstacle(network, node_idx, &nodes, &node_now.inputs[0]) {
            Ok(producer) => {
                let (into, had_bias) = (nodes[producer].name.clone(), has_bias(&nodes[producer].op));
                nodes[producer].op = with_bias(&nodes[producer].op);
                folds.push(Fold { batch_norm: node.name.clone(), into: into.clone(), eps, had_bias });
                renamed.insert(&node.name, into);
            }
            Err(why) => {
                kept.push(Kept { batch_norm: node.name.clone(), why });
                nodes.push(node_now);
            }
        }
    }
    let outputs = network.outputs().iter().map(|output| Output {
        name: output.name.clone(),
        value: renamed.get(output.value.as_str()).unwrap_or(&output.value).clone(),
    });
    let network = Network::new(network.inputs().to_vec(), nodes, outputs.collect())?;
    Ok(Plan { network, folds, kept })
}

/// The index in `nodes` of the node that the batch norm `node_idx` folds into, or what stands in the way.
///
/// `producer` is the name, in `nodes`, of what it reads.
fn obstacle(network: &Network, node_idx: usize, nodes: &[Node], producer: &str) -> Result<usize, String> {
    let node = &network.nodes()[node_idx];
    if node.op.traits().at_inference != AtInference::FoldsAffine {
        return Err(format!("{} does not fold", node.op.name()));
    }
    let read = network.reads(node_idx)[0];
    if let Some(other) = network.readers(read).find(|&reader| reader != node_idx) {
        return Err(format!("`{}` reads `{producer}`, too", network.nodes()[other].name));
    }
    let name = network.value_name(read);
    if let Some(output) = network.outputs().iter().find(|output| output.value == name) {
        return Err(format!("`{producer}` is the output `{}`, too", output.name));
    }
    let Some(idx) = nodes.iter().position(|node| node.name == producer) else {
        return Err(format!("`{producer}` is an input of the network"));
    };
    let op = &nodes[idx].op;
    if matches!(op.traits().channels, Channels::Mixes { .. }) {
        return Ok(idx);
    }
    Err(format!("`{producer}` is a {}, which has no weight to fold into", op.name()))
}

fn has_bias(op: &Op) -> bool {
    op.params().iter().any(|(suffix, _)| *suffix == "bias")
}

/// The operator with a bias; only called on those that mix channels, which all can have one.
fn with_bias(op: &Op) -> Op {
    match op {
        Op::Conv2d { config, .. } => Op::Conv2d { config: *config, bias: true },
        Op::Linear { .. } => Op::Linear { bias: true },
        other => unreachable!("`{}` mixes channels without a weight", other.name()),
    }
}
