//! Sub-networks that share the parameters of the whole: stages, exits, feature extractors.

use super::{Input, Network, Node, Output};
use crate::params::ParamShapes;
use crate::{Error, Result};

impl Network {
    /// The part of the network from the values `from` (its new inputs) to the outputs or values `to` (its new
    /// outputs).
    ///
    /// Nodes keep their names, so the part reads the same parameters. Each name in `to` is an output's, or else
    /// an input's or node's. Each new input is named after its value, so `slice(["image"], ["pool1"])` feeds
    /// `slice(["pool1"], ["logits"])`. `params` gives the shapes of the new inputs.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) for an unknown name; [`InvalidArgument`](Error::InvalidArgument) when `to`
    /// needs an input of the whole network that `from` does not cut off, or when a name is given twice; and as
    /// [`infer_shapes`](Self::infer_shapes).
    pub fn slice(&self, from: &[&str], to: &[&str], params: &dyn ParamShapes) -> Result<Self> {
        let shapes = self.infer_shapes(params)?;
        let starts: Vec<usize> = from.iter().map(|name| self.value(name)).collect::<Result<_>>()?;
        let ends: Vec<usize> =
            to.iter().map(|name| self.output(name).or_else(|_| self.value(name))).collect::<Result<_>>()?;
        let needed = self.needed(&starts, &ends)?;

        let input =
            |&value: &usize| Input { name: self.value_name(value).into(), shape: shapes[value].clone() };
        let output = |(name, &value): (&&str, &usize)| Output {
            name: (*name).into(),
            value: self.value_name(value).into(),
        };
        let kept =
            |(node_idx, node): (usize, &Node)| needed[self.value_of_node(node_idx)].then(|| node.clone());
        Self::new(
            starts.iter().map(input).collect(),
            self.nodes().iter().enumerate().filter_map(kept).collect(),
            to.iter().zip(&ends).map(output).collect(),
        )
    }

    /// Per value, whether it must be computed to get `ends` when `starts` are given.
    fn needed(&self, starts: &[usize], ends: &[usize]) -> Result<Vec<bool>> {
        let mut needed = vec![false; self.n_values()];
        let mut pending: Vec<usize> = ends.to_vec();
        while let Some(value) = pending.pop() {
            if needed[value] || starts.contains(&value) {
                continue;
            }
            needed[value] = true;
            let Some(node_idx) = value.checked_sub(self.inputs().len()) else {
                let from: Vec<&str> = starts.iter().map(|&start| self.value_name(start)).collect();
                let expected =
                    format!("values that every path from input `{}` crosses", self.value_name(value));
                return Err(Error::invalid("start of a slice", expected, from.join(", ")));
            };
            pending.extend(self.reads(node_idx));
        }
        Ok(needed)
    }
}
