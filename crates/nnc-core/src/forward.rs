//! Runs a network on candle with a source and taps.

use candle_core::{D, Tensor};

use crate::model::Outputs;
use crate::network::{Network, Node, Op};
use crate::ops::{self, Activation};
use crate::source::{ParamSource, Step};
use crate::tap::{Port, Taps};
use crate::{Error, Result};

/// The outputs of `network` named in `want`, for one input of shape `(B, …)`.
///
/// Only nodes that a wanted output depends on are run. A relu whose only input is a linear or convolution node that nothing
/// else reads or taps runs inside that node's operator.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) when the network has several inputs, [`NotFound`](Error::NotFound) for an
/// unknown output or parameter, and those of operators and taps; messages of shape errors name the node.
pub fn run(
    network: &Network,
    source: &dyn ParamSource,
    taps: &Taps,
    input: &Tensor,
    want: &[&str],
    step: &Step,
) -> Result<Outputs> {
    run_many(network, source, taps, &[input], want, step)
}

/// As [`run`], for a network with any number of inputs, given in the network's order.
///
/// # Errors
/// As [`run`].
pub fn run_many(
    network: &Network,
    source: &dyn ParamSource,
    taps: &Taps,
    inputs: &[&Tensor],
    want: &[&str],
    step: &Step,
) -> Result<Outputs> {
    if inputs.len() != network.inputs().len() {
        let expected = format!("{}", network.inputs().len());
        return Err(Error::invalid("number of inputs", expected, inputs.len()));
    }
    for site in taps.sites() {
        network.value(&site.node)?;
    }
    let wanted = want.iter().map(|name| network.output(name)).collect::<Result<Vec<_>>>()?;
    let needed = needed_values(network, &wanted);
    let mut values: Vec<Option<Tensor>> = vec![None; network.n_values()];
    for (value, (input, declared)) in inputs.iter().zip(network.inputs()).enumerate() {
        values[value] = Some(taps.apply(&declared.name, Port::Output, (*input).clone(), step)?);
    }
    let forward = Forward { network, source, taps, wanted: &wanted, needed: &needed, step };
    for node_idx in 0..network.nodes().len() {
        forward.node(node_idx, &mut values)?;
    }
    let mut outputs = Outputs::new();
    for (name, &value) in want.iter().zip(&wanted) {
        outputs.push(*name, values[value].clone().expect("a wanted value is needed, so it was computed"));
    }
    Ok(outputs)
}

/// Marks the values that the wanted ones depend on.
fn needed_values(network: &Network, wanted: &[usize]) -> Vec<bool> {
    let mut needed = vec![false; network.n_values()];
    for &value in wanted {
        needed[value] = true;
    }
    for node_idx in (0..network.nodes().len()).rev() {
        if needed[network.value_of_node(node_idx)] {
            for &read in network.reads(node_idx) {
                needed[read] = true;
            }
        }
    }
    needed
}

struct Forward<'a> {
    network: &'a Network,
    source: &'a dyn ParamSource,
    taps: &'a Taps,
    wanted: &'a [usize],
    needed: &'a [bool],
    step: &'a Step,
}

impl Forward<'_> {
    /// Computes the value of a node, unless nothing needs it or the node before it already did.
    fn node(&self, node_idx: usize, values: &mut [Option<Tensor>]) -> Result<()> {
        let value = self.network.value_of_node(node_idx);
        if !self.needed[value] {
            return Ok(());
        }
        if values[value].is_some() {
            self.forget(node_idx, values);
            return Ok(());
        }
        let node = &self.network.nodes()[node_idx];
        let mut read = Vec::with_capacity(node.inputs.len());
        for (i, &input) in self.network.reads(node_idx).iter().enumerate() {
            let tensor = values[input].clone().expect("nodes are in order and needed inputs are computed");
            read.push(self.taps.apply(&node.name, Port::Input(i), tensor, self.step)?);
        }
        let relu = self.relu_behind(node_idx);
        let activation = if relu.is_some() { Activation::Relu } else { Activation::None };
        let output = self.apply(node, &read, activation)?;
        if let Some(relu_idx) = relu {
            let relu_value = self.network.value_of_node(relu_idx);
            let name = &self.network.nodes()[relu_idx].name;
            values[relu_value] = Some(self.taps.apply(name, Port::Output, output.clone(), self.step)?);
            // Nothing reads the value before the relu; it only has to count as done.
            values[value] = Some(output);
        } else {
            values[value] = Some(self.taps.apply(&node.name, Port::Output, output, self.step)?);
        }
        self.forget(node_idx, values);
        Ok(())
    }

    /// The relu that can run inside this node's operator, if there is one.
    fn relu_behind(&self, node_idx: usize) -> Option<usize> {
        let node = &self.network.nodes()[node_idx];
        if !matches!(node.op, Op::Linear { .. } | Op::Conv2d { .. }) {
            return None;
        }
        let value = self.network.value_of_node(node_idx);
        let mut readers = self.network.readers(value);
        let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
        let relu = &self.network.nodes()[reader];
        let free = relu.op == Op::Relu
            && self.needed[self.network.value_of_node(reader)]
            && !self.wanted.contains(&value)
            && !self.taps.touches(&node.name, Port::Output)
            && !self.taps.touches(&relu.name, Port::Input(0));
        free.then_some(reader)
    }

    /// Drops the values whose last reader was this node: evaluation needs them no more (training keeps them in its graph).
    fn forget(&self, node_idx: usize, values: &mut [Option<Tensor>]) {
        for &input in self.network.reads(node_idx) {
            let last = self.network.readers(input).filter(|&r| self.needed[self.network.value_of_node(r)]).last();
            if last == Some(node_idx) && !self.wanted.contains(&input) {
                values[input] = None;
            }
        }
    }

    fn param(&self, node: &Node, suffix: &str) -> Result<Tensor> {
        self.source.get(&node.param(suffix), self.step)
    }

    fn bias(&self, node: &Node, has_bias: bool) -> Result<Option<Tensor>> {
        has_bias.then(|| self.param(node, "bias")).transpose()
    }

    fn apply(&self, node: &Node, read: &[Tensor], activation: Activation) -> Result<Tensor> {
        let x = &read[0];
        match &node.op {
            Op::Conv2d { config, bias } => {
                let (weight, bias) = (self.param(node, "weight")?, self.bias(node, *bias)?);
                ops::conv2d(x, &weight, bias.as_ref(), config, activation)
            }
            Op::Linear { bias } => {
                let (weight, bias) = (self.param(node, "weight")?, self.bias(node, *bias)?);
                ops::linear(x, &weight, bias.as_ref(), activation)
            }
            Op::BatchNorm { eps, momentum } => self.batch_norm(node, x, *eps, *momentum),
            Op::Lrn { size, alpha, beta, k } => ops::local_response_norm(x, *size, *alpha, *beta, *k),
            Op::Relu => ops::relu(x),
            Op::Relu6 => ops::clip(x, 0.0, 6.0),
            Op::Clip { min, max } => ops::clip(x, *min, *max),
            Op::Prelu => ops::prelu(x, &self.param(node, "weight")?),
            Op::Abs => ops::abs(x),
            Op::Tanh => ops::tanh(x),
            Op::Sigmoid => ops::sigmoid(x),
            Op::HardSwish => ops::hard_swish(x),
            Op::MaxPool2d { config } => ops::max_pool2d(x, config),
            Op::AvgPool2d { config } => ops::avg_pool2d(x, config),
            Op::GlobalAvgPool2d => Ok(x.mean_keepdim(D::Minus1)?.mean_keepdim(D::Minus2)?),
            Op::Dropout { ratio } if self.step.is_train() && *ratio > 0.0 => {
                ops::dropout(x, *ratio, self.step.rng(&node.name))
            }
            Op::Dropout { .. } => Ok(x.clone()),
            Op::Softmax => ops::softmax(x),
            _ => structural(node, read),
        }
    }

    fn batch_norm(&self, node: &Node, x: &Tensor, eps: f32, momentum: f32) -> Result<Tensor> {
        let (weight, bias) = (self.param(node, "weight")?, self.param(node, "bias")?);
        let (mean, var) = (self.param(node, "running_mean")?, self.param(node, "running_var")?);
        if !self.step.is_train() {
            return ops::batch_norm_eval(x, &weight, &bias, &mean, &var, eps);
        }
        let normed = ops::batch_norm_train(x, &weight, &bias, eps)?;
        for (suffix, running, batch) in [("running_mean", mean, normed.mean), ("running_var", var, normed.var)] {
            let moved = ((running * f64::from(1.0 - momentum))? + (batch * f64::from(momentum))?)?;
            self.source.set_buffer(&node.param(suffix), &moved)?;
        }
        Ok(normed.output)
    }
}

/// The operators that only move numbers.
fn structural(node: &Node, read: &[Tensor]) -> Result<Tensor> {
    let x = &read[0];
    match &node.op {
        Op::Add => read[1..].iter().try_fold(x.clone(), |sum, other| Ok((sum + other)?)),
        Op::Mul => Ok(x.broadcast_mul(&read[1])?),
        Op::Concat => Ok(Tensor::cat(read, 1)?),
        Op::Flatten => Ok(x.flatten_from(1)?),
        Op::Reshape { shape } => {
            let mut dims = vec![x.dim(0)?];
            dims.extend(shape);
            Ok(x.reshape(dims)?)
        }
        Op::Pad { channels, height, width } => {
            let mut padded = x.clone();
            for (dim, &(before, after)) in [channels, height, width].into_iter().enumerate() {
                if (before, after) != (0, 0) {
                    padded = padded.pad_with_zeros(dim + 1, before, after)?;
                }
            }
            Ok(padded)
        }
        Op::SliceChannels { start, len } => Ok(x.narrow(1, *start, *len)?),
        other => unreachable!("`{}` is not structural", other.name()),
    }
}
