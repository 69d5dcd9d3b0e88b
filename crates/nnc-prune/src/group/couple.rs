//! What each operator ties together.

use nnc_core::network::{Channels, Network, Op, Shape};

use super::tied::Tied;

/// Ties all channels of `network` that can only be cut together, and holds those that cannot be cut.
pub(super) fn couple(network: &Network, shapes: &[Shape], first: &[usize], tied: &mut Tied) {
    for value in 0..network.inputs().len() {
        Value { value, first: first[value], shape: &shapes[value] }.hold(
            tied,
            value,
            "an input of the network",
        );
    }
    let value = |value: usize| Value { value, first: first[value], shape: &shapes[value] };
    for (node_idx, node) in network.nodes().iter().enumerate() {
        let inputs: Vec<Value<'_>> = network.reads(node_idx).iter().map(|&read| value(read)).collect();
        couple_node(&node.op, &inputs, &value(network.value_of_node(node_idx)), tied);
    }
    for output in network.outputs() {
        let number = network.value(&output.value).expect("a network's outputs name its values");
        value(number).hold(tied, number, "an output of the network");
    }
}

/// A value's channels: those with the numbers `first .. first + shape[0]`.
struct Value<'a> {
    value: usize,
    first: usize,
    shape: &'a [usize],
}

impl Value<'_> {
    fn len(&self) -> usize {
        self.shape[0]
    }

    fn hold(&self, tied: &mut Tied, by: usize, why: &'static str) {
        (0..self.len()).for_each(|channel| tied.hold(self.first + channel, by, why));
    }

    /// Ties `n` channels from `start` to those of `other` from `other_start`, one to one.
    fn tie_run(&self, start: usize, other: &Self, other_start: usize, n: usize, tied: &mut Tied) {
        (0..n).for_each(|i| tied.tie(self.first + start + i, other.first + other_start + i));
    }

    /// Ties channel c to the `other.len() / self.len()` channels of `other` that it becomes.
    fn tie_spread(&self, other: &Self, tied: &mut Tied) {
        let span = other.len() / self.len();
        (0..other.len()).for_each(|i| tied.tie(self.first + i / span, other.first + i));
    }

    /// Ties the channels at the same place of each of `n` equal parts.
    fn tie_parts(&self, n: usize, tied: &mut Tied) {
        let part = self.len() / n;
        (part..self.len()).for_each(|i| tied.tie(self.first + i % part, self.first + i));
    }
}

fn couple_node(op: &Op, inputs: &[Value<'_>], output: &Value<'_>, tied: &mut Tied) {
    let input = &inputs[0];
    match op.traits().channels {
        // Output channels read every input channel: they are new.
        Channels::Mixes { groups: 1 } => {}
        // One input channel a group: without it the group's outputs would be constants, so they go with it.
        Channels::Mixes { groups } if groups == input.len() => input.tie_spread(output, tied),
        // Groups stay equally wide when each loses the same places.
        Channels::Mixes { groups } => {
            input.tie_parts(groups, tied);
            output.tie_parts(groups, tied);
        }
        Channels::Keeps => inputs.iter().for_each(|input| match input.len() {
            n if n == output.len() => input.tie_run(0, output, 0, n, tied),
            _ => input.hold(tied, output.value, "it multiplies every channel by one"),
        }),
        Channels::Concatenates => {
            let mut start = 0;
            for input in inputs {
                input.tie_run(0, output, start, input.len(), tied);
                start += input.len();
            }
        }
        Channels::Flattens => input.tie_spread(output, tied),
        Channels::Selects { start, len } => input.tie_run(start, output, 0, len, tied),
        Channels::Pads { before, .. } => input.tie_run(0, output, before, input.len(), tied),
        Channels::Couples => hold_both(input, output, "each of its channels depends on the others", tied),
        // A reshape that leaves the channels alone, or flattens them, can be followed.
        _ if matches!(op, Op::Reshape { .. }) && input.len() == output.len() => {
            input.tie_run(0, output, 0, input.len(), tied);
        }
        _ if matches!(op, Op::Reshape { .. }) && output.shape.len() == 1 => input.tie_spread(output, tied),
        _ => hold_both(input, output, "channels cannot be followed through it", tied),
    }
}

fn hold_both(input: &Value<'_>, output: &Value<'_>, why: &'static str, tied: &mut Tied) {
    input.hold(tied, output.value, why);
    output.hold(tied, output.value, why);
}
