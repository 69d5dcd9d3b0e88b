//! Graph surgery: channels leave a network for good, and a smaller one remains.
//!
//! A [`Cut`] says which units go; [`apply`] takes their rows and columns out of every parameter and adjusts the operators
//! that hold counts. The small network computes what the whole one computes when every value of every removed channel is
//! forced to 0, whatever its bias or batch-norm shift would have made of it. Masking the weights alone does less: it leaves the
//! shift β to feed the next layer.
//!
//! # Source
//! Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, §3.1: "a new kernel matrix is
//! created for both the ith and i+1th layers, and the remaining kernel weights are copied to the new model".

use std::collections::HashMap;

use nnc_core::candle::{Device, Tensor};
use nnc_core::network::{Network, Node, Op};
use nnc_core::params::Params;
use nnc_core::source::Step;
use nnc_core::tap::{Site, Taps, Transform};
use nnc_core::{Error, Result};

use crate::group::Cut;

/// The network and parameters without the channels of `cut`.
///
/// Names and order stay, so the small network saves, loads and trains like any other. Parameters that the network does not
/// read are passed on.
///
/// # Errors
/// [`Error::InvalidArgument`] when a value would keep no channel, naming its node; [`Error::ShapeMismatch`] when `params` are
/// not of the shapes for which the groups were found; and as [`Network::infer_shapes`].
pub fn apply(cut: &Cut<'_>, params: &Params) -> Result<(Network, Params)> {
    let network = cut.groups().network();
    check(cut, params)?;
    let mut nodes = Vec::with_capacity(network.nodes().len());
    let mut axes = HashMap::new();
    for (node_idx, node) in network.nodes().iter().enumerate() {
        let input = network.reads(node_idx)[0];
        let (from, to) = (cut.kept(input), cut.kept(network.value_of_node(node_idx)));
        let n_in = cut.groups().shapes()[input][0];
        let n_out = cut.groups().shapes()[network.value_of_node(node_idx)][0];
        for (suffix, _) in node.op.params() {
            let name = node.param(suffix);
            let columns = columns(&node.op, suffix, n_in, &from);
            let rows = (to.len() < n_out).then(|| to.clone());
            axes.insert(name, [rows, columns]);
        }
        nodes.push(Node { op: adjusted(&node.op, n_in, &from, &to), ..node.clone() });
    }
    let mut small = Params::new();
    for param in params {
        let mut tensor = param.tensor.clone();
        for (axis, kept) in axes.get(&param.name).into_iter().flatten().enumerate() {
            // One prelu slope for all channels has no row to lose.
            if let Some(kept) = kept.as_ref().filter(|_| tensor.dim(axis).is_ok_and(|n| n > 1)) {
                tensor = select(&tensor, axis, kept)?;
            }
        }
        small.insert(&param.name, param.kind, tensor);
    }
    let network = Network::new(network.inputs().to_vec(), nodes, network.outputs().to_vec())?;
    network.infer_shapes(&small)?;
    Ok((network, small))
}

/// Taps that force every value of every removed channel to 0: with them, the whole network computes what the small one does.
///
/// They show what a cut costs before it is made, and define what [`apply`] must compute.
///
/// # Errors
/// Those of making a tensor.
pub fn forced(cut: &Cut<'_>) -> Result<Taps> {
    let mut taps = Taps::new();
    for (value, shape) in cut.groups().shapes().iter().enumerate() {
        let kept = cut.kept(value);
        if kept.len() < shape[0] {
            let mut mask = vec![0_f32; shape[0]];
            kept.iter().for_each(|&channel| mask[channel] = 1.0);
            let mut dims = vec![1; shape.len() + 1];
            dims[1] = shape[0];
            let mask = Tensor::from_vec(mask, dims, &Device::Cpu)?;
            taps.transform(Site::output(cut.groups().network().value_name(value)), Box::new(Force(mask)));
        }
    }
    Ok(taps)
}

/// Multiplies the channels of a value by 0 or 1.
#[derive(Debug)]
struct Force(Tensor);

impl Transform for Force {
    fn transform(&self, value: &Tensor, _step: &Step) -> Result<Tensor> {
        Ok(value.broadcast_mul(&self.0.to_device(value.device())?)?)
    }
}

/// Refuses parameters of other shapes than the groups', and values that would vanish.
fn check(cut: &Cut<'_>, params: &Params) -> Result<()> {
    let (groups, network) = (cut.groups(), cut.groups().network());
    let shapes = network.infer_shapes(params)?;
    for (value, (found, expected)) in shapes.iter().zip(groups.shapes()).enumerate() {
        let name = network.value_name(value);
        if found != expected {
            return Err(Error::shape(format!("value of `{name}`"), expected, found));
        }
        if cut.kept(value).is_empty() {
            let got = format!("a cut of all {}", expected[0]);
            return Err(Error::invalid(format!("cut of `{name}`"), "at least one channel kept", got));
        }
    }
    Ok(())
}

/// Which entries of axis 1 of a parameter stay, when some go: only weights of layers have an axis for their inputs.
fn columns(op: &Op, suffix: &str, n_in: usize, from: &[usize]) -> Option<Vec<usize>> {
    let groups = match op {
        Op::Conv2d { config, .. } => config.groups,
        Op::Linear { .. } => 1,
        _ => return None,
    };
    let in_group = n_in / groups;
    // Each group keeps the same places; the first tells which.
    let columns: Vec<usize> = from.iter().copied().take_while(|&channel| channel < in_group).collect();
    (suffix == "weight" && in_group > 1 && columns.len() < in_group).then_some(columns)
}

/// The operator for `from` of `n_in` input channels and the output channels `to`.
fn adjusted(op: &Op, n_in: usize, from: &[usize], to: &[usize]) -> Op {
    let count = |kept: &[usize], range: std::ops::Range<usize>| {
        kept.iter().filter(|channel| range.contains(channel)).count()
    };
    let mut op = op.clone();
    match &mut op {
        Op::Conv2d { config, .. } if config.groups > 1 && config.groups == n_in => config.groups = from.len(),
        Op::Reshape { shape } => shape[0] = to.len(),
        Op::Pad { channels: (before, after), .. } => {
            let behind = *before + n_in..usize::MAX;
            (*before, *after) = (count(to, 0..*before), count(to, behind));
        }
        Op::SliceChannels { start, len } => (*start, *len) = (count(from, 0..*start), to.len()),
        _ => {}
    }
    op
}

/// The entries `kept` of one axis.
fn select(tensor: &Tensor, axis: usize, kept: &[usize]) -> Result<Tensor> {
    let index = |&channel| {
        u32::try_from(channel)
            .map_err(|_| Error::invalid("channel", format!("at most {}", u32::MAX), channel))
    };
    let kept = kept.iter().map(index).collect::<Result<Vec<u32>>>()?;
    let n = kept.len();
    Ok(tensor.contiguous()?.index_select(&Tensor::from_vec(kept, n, tensor.device())?, axis)?)
}

#[cfg(test)]
mod tests;
