//! The parts of a network: inputs, nodes, outputs.

use serde::{Deserialize, Serialize};

use super::{Op, Shape};

/// A named input of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name, unique among inputs and nodes.
    pub name: String,
    /// The shape of one sample, without the batch: `(C, H, W)` or `(F,)`.
    pub shape: Shape,
}

/// One operator in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, unique among inputs and nodes; its parameters are named after it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The inputs and nodes that it reads, in the operator's order.
    pub inputs: Vec<String>,
}

impl Node {
    /// The name of one of its parameters: `conv1.weight` for the suffix `weight`.
    pub fn param(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name)
    }
}

/// A named output of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name, unique among the outputs.
    pub name: String,
    /// The input or node whose value it is.
    pub value: String,
}
