//! Runs a network on candle with a source and taps.

use candle_core::{D, Tensor};

use crate::model::Outputs;
use crate::network::{Network, Node, Op};
use crate::ops::{self, Activation, LrnConfig, Pool2dConfig};
use crate::source::{ParamSource, Step};
use crate::tap::{Port, Site, Taps};
use crate::{Error, Result};

/// The outputs of `network` named in `want`, for one input of shape `(B, …)`.
///
/// Only nodes that a wanted output depends on are run. A relu behind a linear or convolution node, and a max pooling behind a
/// convolution, run inside that node's operator where nothing else reads or taps the values between.
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
        check_site(network, site)?;
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
        let Some(output) = values[value].clone() else {
            unreachable!("a wanted value is needed, so it was computed")
        };
        outputs.push(*name, output);
    }
    Ok(outputs)
}

/// A tap that no value would ever pass is a mistake of whoever hung it.
fn check_site(network: &Network, site: &Site) -> Result<()> {
    let value = network.value(&site.node)?;
    let Port::Input(index) = site.port else { return Ok(()) };
    let n_inputs = match value.checked_sub(network.inputs().len()) {
        Some(node_idx) => network.reads(node_idx).len(),
        None => 0,
    };
    if index < n_inputs {
        return Ok(());
    }
    Err(Error::invalid(format!("tap on an input of `{}`", site.node), format!("below {n_inputs}"), index))
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

/// A run of nodes that one operator computes.
struct Fused<'a> {
    /// The node whose value the operator yields.
    last: usize,
    relu: Option<usize>,
    pool: Option<&'a Pool2dConfig>,
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
        let fused = self.fuse(node_idx);
        let output = self.apply(node, &read, &fused)?;
        let last = &self.network.nodes()[fused.last];
        let output = self.taps.apply(&last.name, Port::Output, output, self.step)?;
        // Nothing reads the values inside the fused run; they only have to count as done.
        for done in [Some(node_idx), fused.relu, Some(fused.last)].into_iter().flatten() {
            values[self.network.value_of_node(done)] = Some(output.clone());
        }
        self.forget(node_idx, values);
        Ok(())
    }

    /// What of the nodes behind this one can run inside its operator.
    fn fuse(&self, node_idx: usize) -> Fused<'_> {
        let op = |idx: usize| &self.network.nodes()[idx].op;
        let mut fused = Fused { last: node_idx, relu: None, pool: None };
        if matches!(op(node_idx), Op::Linear { .. } | Op::Conv2d { .. }) {
            fused.relu = self.only_reader(node_idx).filter(|&reader| *op(reader) == Op::Relu);
            fused.last = fused.relu.unwrap_or(node_idx);
        }
        if matches!(op(node_idx), Op::Conv2d { .. })
            && let Some(reader) = self.only_reader(fused.last)
            && let Op::MaxPool2d { config } = op(reader)
        {
            fused.pool = Some(config);
            fused.last = reader;
        }
        fused
    }

    /// The one node that reads this node's value, when nothing else looks at that value.
    fn only_reader(&self, node_idx: usize) -> Option<usize> {
        let node = &self.network.nodes()[node_idx];
        let value = self.network.value_of_node(node_idx);
        let mut readers = self.network.readers(value);
        let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
        let unseen = self.needed[self.network.value_of_node(reader)]
            && !self.wanted.contains(&value)
            && !self.taps.touches(&node.name, Port::Output)
            && !self.taps.touches(&self.network.nodes()[reader].name, Port::Input(0));
        unseen.then_some(reader)
    }

    /// Drops the values whose last reader was this node: evaluation needs them no more (training keeps them in its graph).
    fn forget(&self, node_idx: usize, values: &mut [Option<Tensor>]) {
        for &input in self.network.reads(node_idx) {
            let last =
                self.network.readers(input).filter(|&r| self.needed[self.network.value_of_node(r)]).last();
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

    fn apply(&self, node: &Node, read: &[Tensor], fused: &Fused<'_>) -> Result<Tensor> {
        let x = &read[0];
        let activation = if fused.relu.is_some() { Activation::Relu } else { Activation::None };
        match &node.op {
            Op::Conv2d { config, bias } => {
                let (weight, bias) = (self.param(node, "weight")?, self.bias(node, *bias)?);
                match fused.pool {
                    Some(pool) => ops::conv2d_max_pool2d(x, &weight, bias.as_ref(), config, activation, pool),
                    None => ops::conv2d(x, &weight, bias.as_ref(), config, activation),
                }
            }
            Op::Linear { bias } => {
                let (weight, bias) = (self.param(node, "weight")?, self.bias(node, *bias)?);
                ops::linear(x, &weight, bias.as_ref(), activation)
            }
            Op::BatchNorm { eps, momentum } => self.batch_norm(node, x, *eps, *momentum),
            &Op::Lrn { size, alpha, beta, k } => {
                ops::local_response_norm(x, &LrnConfig { size, alpha, beta, k })
            }
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
        let (output, moments) = ops::batch_norm_train(x, &weight, &bias, eps)?;
        let unbiased = moments.unbiased_variance()?;
        for (suffix, running, batch) in [("running_mean", mean, moments.mean), ("running_var", var, unbiased)]
        {
            let moved = ((running * f64::from(1.0 - momentum))? + (batch * f64::from(momentum))?)?;
            self.source.set_buffer(&node.param(suffix), &moved)?;
        }
        Ok(output)
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
