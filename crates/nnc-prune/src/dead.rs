//! Neurons without inputs or outputs, and the connections that die with them.
//!
//! # Source
//! Han et al. 2015, §3.5: a neuron with no inputs or no outputs may be dropped with its remaining connections. We differ:
//! a neuron without inputs still yields `f(bias)`; that constant is moved into the bias of the layer that reads it, so the
//! network's function does not change.

use nnc_core::candle::Tensor;
use nnc_core::network::{Network, Node, Op};
use nnc_core::params::Params;
use nnc_core::{Error, Result};

use crate::mask::Mask;
use crate::masked_source::Masks;

/// What [`remove`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Neurons (or maps) that no longer take part.
    pub n_neurons: usize,
    /// Connections pruned because their neuron was dead.
    pub n_weights: usize,
}

/// Prunes the connections of dead neurons, in both directions, until nothing changes.
///
/// Looks at every linear or convolution node (without groups) whose output reaches exactly one other such node through
/// operators that keep channels apart. Weights without a mask in `masks` count as dense. `params` must hold masked weights
/// as zeros or be read through `masks`; the biases of readers are changed where a constant is moved into them. A map that
/// yields a constant other than 0 into a padded convolution is kept, since its effect is no bias. The biases of dead neurons
/// become 0.
///
/// # Errors
/// [`Error::NotFound`] when a parameter is missing, and shape errors.
pub fn remove(network: &Network, params: &mut Params, masks: &Masks) -> Result<Removed> {
    let links = links(network, params)?;
    let mut removed = Removed::default();
    loop {
        let before = removed;
        for link in &links {
            for channel in 0..link.n_channels {
                link.sweep(channel, params, masks, &mut removed)?;
            }
        }
        if removed == before {
            return Ok(removed);
        }
    }
}

/// Two mixing nodes of which the second alone reads the first.
struct Link<'a> {
    producer: &'a Node,
    consumer: &'a Node,
    between: Vec<&'a Op>,
    n_channels: usize,
    /// Entries of the consumer's weight per output and channel: kernel size times the pixels that flattening put there.
    span: usize,
}

fn links<'a>(network: &'a Network, params: &Params) -> Result<Vec<Link<'a>>> {
    let mut links = Vec::new();
    for (producer_idx, producer) in network.nodes().iter().enumerate() {
        if !mixes(producer) {
            continue;
        }
        let mut between = Vec::new();
        let mut value = network.value_of_node(producer_idx);
        let consumer = loop {
            let is_output =
                network.outputs().iter().any(|output| network.value(&output.value).is_ok_and(|v| v == value));
            let mut readers = network.readers(value);
            let (false, Some(reader), None) = (is_output, readers.next(), readers.next()) else { break None };
            let node = &network.nodes()[reader];
            if mixes(node) {
                break Some(node);
            }
            if !keeps_channels_apart(&node.op) {
                break None;
            }
            between.push(&node.op);
            value = network.value_of_node(reader);
        };
        if let Some(consumer) = consumer {
            let n_channels = params.tensor(&producer.param("weight"))?.dim(0)?;
            let per_output = params.tensor(&consumer.param("weight"))?.elem_count()
                / params.tensor(&consumer.param("weight"))?.dim(0)?;
            links.push(Link { producer, consumer, between, n_channels, span: per_output / n_channels });
        }
    }
    Ok(links)
}

fn mixes(node: &Node) -> bool {
    match &node.op {
        Op::Linear { .. } => true,
        Op::Conv2d { config, .. } => config.groups == 1,
        _ => false,
    }
}

fn keeps_channels_apart(op: &Op) -> bool {
    constant_through(op, 0.0).is_some() || matches!(op, Op::Flatten)
}

/// What an operator makes of a map that is `x` everywhere, if that is again a constant and we know it.
fn constant_through(op: &Op, x: f32) -> Option<f32> {
    match op {
        Op::Relu => Some(x.max(0.0)),
        Op::Relu6 => Some(x.clamp(0.0, 6.0)),
        Op::Clip { min, max } => Some(x.clamp(*min, *max)),
        Op::Abs => Some(x.abs()),
        Op::Tanh => Some(x.tanh()),
        Op::Dropout { .. } | Op::Flatten | Op::GlobalAvgPool2d => Some(x),
        Op::MaxPool2d { .. } => Some(x),
        Op::AvgPool2d { config } => (x == 0.0 || config.padding == (0, 0) && !config.ceil_mode).then_some(x),
        _ => None,
    }
}

impl Link<'_> {
    /// Looks at one channel of the producer from both sides.
    fn sweep(&self, channel: usize, params: &mut Params, masks: &Masks, removed: &mut Removed) -> Result<()> {
        let (producer, consumer) = (self.producer.param("weight"), self.consumer.param("weight"));
        let incoming = mask_of(&producer, params, masks)?;
        let outgoing = mask_of(&consumer, params, masks)?;
        let row = incoming.len() / self.n_channels;
        let into: Vec<usize> = (channel * row..(channel + 1) * row).collect();
        let n_outputs = outgoing.shape()[0];
        let out_of: Vec<usize> = (0..n_outputs)
            .flat_map(|o| {
                let start = (o * self.n_channels + channel) * self.span;
                start..start + self.span
            })
            .collect();
        let has_inputs = into.iter().any(|&i| incoming.keeps(i));
        let has_outputs = out_of.iter().any(|&i| outgoing.keeps(i));
        match (has_inputs, has_outputs) {
            (_, false) => {
                // Nothing reads it, so its bias says nothing either; as a zero it costs no value in a sparse file.
                self.silence(channel, params)?;
                if has_inputs { cut(&producer, incoming, &into, masks, removed) } else { Ok(()) }
            }
            (false, true) => match self.constant(channel, params)? {
                Some(constant) => {
                    self.move_into_bias(constant, &outgoing, &out_of, params)?;
                    self.silence(channel, params)?;
                    cut(&consumer, outgoing, &out_of, masks, removed)
                }
                None => Ok(()),
            },
            (true, true) => Ok(()),
        }
    }

    /// Sets a channel's bias to 0.
    fn silence(&self, channel: usize, params: &mut Params) -> Result<()> {
        let name = self.producer.param("bias");
        let Some(bias) = params.get(&name) else { return Ok(()) };
        let (device, mut values) = (bias.device().clone(), bias.to_vec1::<f32>()?);
        if values[channel] == 0.0 {
            return Ok(());
        }
        values[channel] = 0.0;
        let n = values.len();
        params.replace(&name, Tensor::from_vec(values, n, &device)?)
    }

    /// What the consumer reads of a channel without inputs, if its effect can be a bias.
    fn constant(&self, channel: usize, params: &Params) -> Result<Option<f32>> {
        let mut constant = match params.get(&self.producer.param("bias")) {
            Some(bias) => bias.get(channel)?.to_scalar::<f32>()?,
            None => 0.0,
        };
        for op in &self.between {
            let Some(next) = constant_through(op, constant) else { return Ok(None) };
            constant = next;
        }
        let padded = matches!(&self.consumer.op, Op::Conv2d { config, .. } if config.padding != (0, 0));
        let has_bias = params.get(&self.consumer.param("bias")).is_some();
        Ok((constant == 0.0 || !padded && has_bias).then_some(constant))
    }

    fn move_into_bias(
        &self,
        constant: f32,
        outgoing: &Mask,
        out_of: &[usize],
        params: &mut Params,
    ) -> Result<()> {
        if constant == 0.0 {
            return Ok(());
        }
        let weight = params.tensor(&self.consumer.param("weight"))?.flatten_all()?.to_vec1::<f32>()?;
        let name = self.consumer.param("bias");
        let bias = params.tensor(&name)?;
        let (device, mut values) = (bias.device().clone(), bias.to_vec1::<f32>()?);
        for (value, entries) in values.iter_mut().zip(out_of.chunks(self.span)) {
            let reached: f32 = entries.iter().filter(|&&i| outgoing.keeps(i)).map(|&i| weight[i]).sum();
            *value += constant * reached;
        }
        let n = values.len();
        params.replace(&name, Tensor::from_vec(values, n, &device)?)
    }
}

fn mask_of(name: &str, params: &Params, masks: &Masks) -> Result<Mask> {
    match masks.get(name) {
        Some(mask) if mask.shape() == params.tensor(name)?.dims() => Ok((*mask).clone()),
        Some(mask) => {
            Err(Error::shape(format!("mask of `{name}`"), params.tensor(name)?.dims(), mask.shape()))
        }
        None => Ok(Mask::all(params.tensor(name)?.dims())),
    }
}

fn cut(name: &str, mut mask: Mask, entries: &[usize], masks: &Masks, removed: &mut Removed) -> Result<()> {
    for &i in entries {
        if mask.keeps(i) {
            mask.prune(i);
            removed.n_weights += 1;
        }
    }
    removed.n_neurons += 1;
    masks.set(name, mask)
}

#[cfg(test)]
mod tests;
