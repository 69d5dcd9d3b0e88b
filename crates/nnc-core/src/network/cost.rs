//! What a network costs: multiplications, parameters and activations, per node and in total.

use super::{Network, Node, Op, Shape};
use crate::Result;
use crate::params::{ParamKind, ParamShapes};

/// The cost of one node, for one sample.
///
/// # Source
/// Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015,
/// tables 2 to 5: one multiply-accumulate is two operations ([`flops`](Self::flops)); only convolution and
/// linear count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeCost {
    /// The node's name; `total` for a sum.
    pub name: String,
    /// Multiply-accumulates of convolution and linear; 0 for every other operator.
    pub macs: u64,
    /// Numbers in parameters of kind [`Weight`](ParamKind::Weight).
    pub weights: u64,
    /// Numbers in parameters of kind [`Bias`](ParamKind::Bias): biases and per-channel factors.
    pub biases: u64,
    /// Numbers in parameters of kind [`Buffer`](ParamKind::Buffer).
    pub buffers: u64,
    /// Numbers that the node yields.
    pub activations: u64,
}

impl NodeCost {
    /// Operations where a multiply-accumulate counts as two.
    pub fn flops(&self) -> u64 {
        self.macs.saturating_mul(2)
    }

    /// Weights and biases.
    pub fn params(&self) -> u64 {
        self.weights.saturating_add(self.biases)
    }
}

/// The cost of each node of a network, in the order of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// One entry per node.
    pub nodes: Vec<NodeCost>,
}

impl Cost {
    /// The sum over the nodes.
    pub fn total(&self) -> NodeCost {
        let start = NodeCost { name: "total".into(), ..NodeCost::default() };
        self.nodes.iter().fold(start, |sum, node| NodeCost {
            name: sum.name,
            macs: sum.macs.saturating_add(node.macs),
            weights: sum.weights.saturating_add(node.weights),
            biases: sum.biases.saturating_add(node.biases),
            buffers: sum.buffers.saturating_add(node.buffers),
            activations: sum.activations.saturating_add(node.activations),
        })
    }

    /// The nodes that hold weights, in order.
    pub fn weighted(&self) -> impl Iterator<Item = &NodeCost> {
        self.nodes.iter().filter(|node| node.weights > 0)
    }
}

impl Network {
    /// The cost of each node for one sample of the declared input shapes, with parameters of the shapes in
    /// `params`.
    ///
    /// Sums that pass `u64::MAX` stay there.
    ///
    /// # Errors
    /// As [`infer_shapes`](Self::infer_shapes).
    pub fn cost(&self, params: &dyn ParamShapes) -> Result<Cost> {
        let shapes = self.infer_shapes(params)?;
        let shape_of = |node_idx| &shapes[self.value_of_node(node_idx)];
        let nodes = self.nodes().iter().enumerate();
        Ok(Cost {
            nodes: nodes.map(|(node_idx, node)| node_cost(node, shape_of(node_idx), params)).collect(),
        })
    }
}

fn node_cost(node: &Node, output: &Shape, params: &dyn ParamShapes) -> NodeCost {
    let mut cost = NodeCost { name: node.name.clone(), activations: count(output), ..NodeCost::default() };
    for (suffix, kind) in node.op.params() {
        let n = params.shape_of(&node.param(suffix)).map_or(0, |shape| count(&shape));
        match kind {
            ParamKind::Weight => cost.weights += n,
            ParamKind::Bias => cost.biases += n,
            ParamKind::Buffer => cost.buffers += n,
        }
    }
    cost.macs = match node.op {
        // Each weight is used once per position of the output map.
        Op::Conv2d { .. } => cost.weights.saturating_mul(count(&output[1..])),
        Op::Linear { .. } => cost.weights,
        _ => 0,
    };
    cost
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |n: u64, &dim| n.saturating_mul(dim as u64))
}
