//! A network as a graph of named nodes over a closed set of operators.
//!
//! [`Network`] holds structure only: which [`Op`] reads which values. Parameters live elsewhere, under the names
//! `{node}.{suffix}` (`conv1.weight`), and bring the channel counts with them, so that one network serves the dense
//! weights, the pruned ones and the smaller ones after surgery.
//!
//! A **value** is what an input or a node yields. Values are numbered: first the inputs, then the nodes, in
//! order; a node reads only values with smaller numbers than its own, so walking the nodes in order is a valid
//! schedule.

mod builder;
mod cost;
mod layers;
mod node;
mod op;
mod shape;
mod slice;
#[cfg(test)]
mod tests;
pub mod zoo;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use builder::Builder;
pub use cost::{Cost, NodeCost};
pub use layers::{Conv, InitScheme, Linear};
pub use node::{Input, Node, Output};
pub use op::{AtInference, Channels, Op, OpTraits};
pub use shape::Shape;

use crate::{Error, Result};

/// A directed acyclic graph of named nodes with named inputs and outputs.
///
/// Read from bytes it is checked as strictly as when it is built.
///
/// # Example
/// ```
/// use nnc_core::network::Network;
/// let (network, specs) = Network::builder()
///     .input("image", &[1, 28, 28])
///     .flatten("flatten")
///     .linear("ip1", 300)
///     .relu("relu1")
///     .linear("ip2", 10)
///     .output("logits")
///     .build()?;
/// assert_eq!(network.infer_shapes(&specs)?[network.output("logits")?], [10]);
/// assert_eq!(network.cost(&specs)?.total().weights, 784 * 300 + 300 * 10);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub struct Network {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    /// Name → number of the value.
    value_of: HashMap<String, usize>,
    /// Per node, the numbers of the values that it reads.
    reads: Vec<Vec<usize>>,
}

/// A network as it is written; [`Network::new`] is the only way back.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

impl From<Network> for Parts {
    fn from(Network { inputs, nodes, outputs, .. }: Network) -> Self {
        Self { inputs, nodes, outputs }
    }
}

impl TryFrom<Parts> for Network {
    type Error = Error;

    fn try_from(Parts { inputs, nodes, outputs }: Parts) -> Result<Self> {
        Self::new(inputs, nodes, outputs)
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        // The two other fields follow from these.
        self.inputs == other.inputs && self.nodes == other.nodes && self.outputs == other.outputs
    }
}

impl Network {
    /// A [`Builder`] of a network and the parameters it needs.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A network of these parts; each node must stand behind the values that it reads.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for an empty or doubled name, an input shape with a 0 or too
    /// many numbers, a wrong number of inputs, an operator setting outside its range, or no input or output at all;
    /// [`NotFound`](Error::NotFound) for a reference to a value that does not exist or stands further behind.
    pub fn new(inputs: Vec<Input>, nodes: Vec<Node>, outputs: Vec<Output>) -> Result<Self> {
        if inputs.is_empty() || outputs.is_empty() {
            let got = format!("{} and {}", inputs.len(), outputs.len());
            return Err(Error::invalid("network", "at least one input and one output", got));
        }
        let mut value_of = HashMap::with_capacity(inputs.len() + nodes.len());
        for input in &inputs {
            shape::check_size(&format!("input `{}`", input.name), &input.shape)?;
            insert_name(&mut value_of, &input.name)?;
        }
        let mut reads = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let lookup = |name| {
                value_of.get(name).copied().ok_or_else(|| unknown_value(name, &inputs, &nodes, &value_of))
            };
            reads.push(node.inputs.iter().map(|name| lookup(name)).collect::<Result<Vec<_>>>()?);
            if !node.op.takes(node.inputs.len()) {
                let what = format!("number of inputs of node `{}`", node.name);
                return Err(Error::invalid(
                    what,
                    format!("what {} takes", node.op.name()),
                    node.inputs.len(),
                ));
            }
            node.op.check(&node.name)?;
            insert_name(&mut value_of, &node.name)?;
        }
        for (i, output) in outputs.iter().enumerate() {
            if output.name.is_empty() || outputs[..i].iter().any(|other| other.name == output.name) {
                let expected = "a name that is not empty and not taken";
                return Err(Error::invalid("name of an output", expected, format!("`{}`", output.name)));
            }
            if !value_of.contains_key(&output.value) {
                return Err(unknown_value(&output.value, &inputs, &nodes, &value_of));
            }
        }
        Ok(Self { inputs, nodes, outputs, value_of, reads })
    }

    /// The named inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The nodes, each behind the values that it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The named outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// How many values there are: inputs and nodes.
    pub fn n_values(&self) -> usize {
        self.inputs.len() + self.nodes.len()
    }

    /// The number of the value of an input or a node.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), which lists the names there are.
    pub fn value(&self, name: &str) -> Result<usize> {
        let known = || (0..self.n_values()).map(|value| self.value_name(value));
        self.value_of.get(name).copied().ok_or_else(|| Error::not_found("value", name, known()))
    }

    /// The name of the input or the node that yields a value.
    ///
    /// # Panics
    /// When `value` is not below [`n_values`](Self::n_values).
    pub fn value_name(&self, value: usize) -> &str {
        match value.checked_sub(self.inputs.len()) {
            None => &self.inputs[value].name,
            Some(node_idx) => &self.nodes[node_idx].name,
        }
    }

    /// The number of the value of the node with index `node_idx`.
    pub fn value_of_node(&self, node_idx: usize) -> usize {
        self.inputs.len() + node_idx
    }

    /// The numbers of the values that the node with index `node_idx` reads, in the order of its inputs.
    ///
    /// # Panics
    /// When there are not that many nodes.
    pub fn reads(&self, node_idx: usize) -> &[usize] {
        &self.reads[node_idx]
    }

    /// The indices of the nodes that read a value, in order.
    pub fn readers(&self, value: usize) -> impl Iterator<Item = usize> {
        let readers = self.reads.iter().enumerate();
        readers.filter(move |(_, reads)| reads.contains(&value)).map(|(node_idx, _)| node_idx)
    }

    /// The index of a node by its name.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), which lists the names there are.
    pub fn node_idx(&self, name: &str) -> Result<usize> {
        let found = self.value_of.get(name).and_then(|value| value.checked_sub(self.inputs.len()));
        found.ok_or_else(|| Error::not_found("node", name, self.nodes.iter().map(|node| &node.name)))
    }

    /// A node by its name.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), which lists the names there are.
    pub fn node(&self, name: &str) -> Result<&Node> {
        Ok(&self.nodes[self.node_idx(name)?])
    }

    /// The number of the value behind a named output.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound), which lists the names there are.
    pub fn output(&self, name: &str) -> Result<usize> {
        let found = self.outputs.iter().find(|output| output.name == name);
        let known = || self.outputs.iter().map(|output| &output.name);
        Ok(self.value_of[&found.ok_or_else(|| Error::not_found("output", name, known()))?.value])
    }

    /// The names of all parameters and buffers, in the order of the nodes.
    pub fn param_names(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().flat_map(|node| node.op.params().iter().map(|(suffix, _)| node.param(suffix)))
    }

    /// Gives a node another operator, for example a dropout another ratio.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) for an unknown node, [`InvalidArgument`](Error::InvalidArgument) for an
    /// operator that takes another number of inputs or has a setting outside its range. The network is then
    /// unchanged.
    pub fn replace_op(&mut self, node: &str, op: Op) -> Result<()> {
        let node_idx = self.node_idx(node)?;
        op.check(node)?;
        let n_inputs = self.nodes[node_idx].inputs.len();
        if !op.takes(n_inputs) {
            let expected = format!("an operator with {n_inputs} input(s)");
            return Err(Error::invalid(format!("operator of node `{node}`"), expected, op.name()));
        }
        self.nodes[node_idx].op = op;
        Ok(())
    }
}

/// Numbers one more value.
fn insert_name(value_of: &mut HashMap<String, usize>, name: &str) -> Result<()> {
    let number = value_of.len();
    if name.is_empty() || value_of.insert(name.to_owned(), number).is_some() {
        let expected = "a name that is not empty and not taken";
        return Err(Error::invalid("name of a node or input", expected, format!("`{name}`")));
    }
    Ok(())
}

/// The error for a value that is not (yet) known, listing those that are.
fn unknown_value(name: &str, inputs: &[Input], nodes: &[Node], known: &HashMap<String, usize>) -> Error {
    let names = inputs.iter().map(|input| &input.name).chain(nodes.iter().map(|node| &node.name));
    Error::not_found("value", name, names.filter(|name| known.contains_key(*name)))
}
