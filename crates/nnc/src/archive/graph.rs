//! A network as bytes: names once, one byte an operator, references as distances.

mod op;

use nnc_core::Result;
use nnc_core::network::{Input, Network, Node, Output};

use super::bytes::{Cursor, put_count, put_dims, put_name, put_varint};

/// The top bit of an operator's byte: the values it reads are listed.
const LISTED: u8 = 0x80;

/// How many bytes of names a reader copies for each byte of the network, and for none.
///
/// Nodes refer to names by number, so a short file could ask for many copies of a long name. Real networks stay below 10.
const NAME_COPIES: (usize, usize) = (32, 1 << 16);

/// Appends `network`.
pub(super) fn put_network(out: &mut Vec<u8>, network: &Network) -> Result<()> {
    put_count(out, "network inputs", network.inputs().len())?;
    for input in network.inputs() {
        put_name(out, &input.name)?;
        put_dims(out, &input.shape)?;
    }
    put_varint(out, network.nodes().len());
    for (node_idx, node) in network.nodes().iter().enumerate() {
        put_name(out, &node.name)?;
        let (byte, settings) = op::encode(&node.op)?;
        let (value, reads) = (network.value_of_node(node_idx), network.reads(node_idx));
        if reads == [value - 1] {
            out.push(byte);
        } else {
            out.push(byte | LISTED);
            put_varint(out, reads.len());
            reads.iter().for_each(|read| put_varint(out, value - read));
        }
        out.extend_from_slice(&settings);
    }
    put_count(out, "network outputs", network.outputs().len())?;
    for output in network.outputs() {
        put_name(out, &output.name)?;
        put_varint(out, network.value(&output.value)?);
    }
    Ok(())
}

/// Reads what [`put_network`] wrote, and checks it as strictly as a network that is built.
pub(super) fn take_network(cursor: &mut Cursor<'_>) -> Result<Network> {
    let mut values = Values { names: Vec::new(), budget: NAME_COPIES.0 * cursor.left() + NAME_COPIES.1 };
    let mut inputs = Vec::new();
    for _ in 0..cursor.byte()? {
        inputs.push(Input { name: values.push(cursor)?, shape: cursor.dims()? });
    }
    let mut nodes = Vec::new();
    for _ in 0..cursor.varint()? {
        nodes.push(take_node(cursor, &mut values)?);
    }
    let mut outputs = Vec::new();
    for _ in 0..cursor.byte()? {
        let name = cursor.name()?;
        let value = cursor.varint()?;
        outputs.push(Output { name, value: values.get(cursor, Some(value))? });
    }
    cursor.blame(Network::new(inputs, nodes, outputs))
}

fn take_node(cursor: &mut Cursor<'_>, values: &mut Values) -> Result<Node> {
    let number = values.names.len();
    let name = cursor.name()?;
    let byte = cursor.byte()?;
    let mut inputs = Vec::new();
    if byte & LISTED == 0 {
        inputs.push(values.get(cursor, number.checked_sub(1))?);
    } else {
        for _ in 0..cursor.varint()? {
            let distance = cursor.varint()?;
            inputs.push(values.get(cursor, number.checked_sub(distance))?);
        }
    }
    let op = op::decode(byte & !LISTED, cursor)?;
    values.names.push(name.clone());
    Ok(Node { name, op, inputs })
}

/// The names of the values read so far, by number.
struct Values {
    names: Vec<String>,
    /// Bytes of names that may still be copied.
    budget: usize,
}

impl Values {
    fn push(&mut self, cursor: &mut Cursor<'_>) -> Result<String> {
        let name = cursor.name()?;
        self.names.push(name.clone());
        Ok(name)
    }

    /// A copy of the name of value `number`.
    fn get(&mut self, cursor: &Cursor<'_>, number: Option<usize>) -> Result<String> {
        let name = number.and_then(|number| self.names.get(number));
        let name =
            name.ok_or_else(|| cursor.corrupt("a reference to a value that does not stand before it"))?;
        // A vector's share counts as well, for names of no byte.
        let cost = name.len() + size_of::<String>();
        self.budget = self
            .budget
            .checked_sub(cost)
            .ok_or_else(|| cursor.corrupt("more references than its length allows"))?;
        Ok(name.clone())
    }
}

#[cfg(test)]
mod tests;
