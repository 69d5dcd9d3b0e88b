//! What holds for every archive: names are unique, and the weights are those that the network needs.

use std::collections::HashMap;

use nnc_core::params::ParamShapes;
use nnc_core::weight::{StoredWeight, WeightTensor as _};
use nnc_core::{Error, Result};

use super::Archive;

struct Shapes<'a>(HashMap<&'a str, &'a StoredWeight>);

impl ParamShapes for Shapes<'_> {
    fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|weight| weight.shape().to_vec())
    }
}

/// Checks what a writer must not write and a reader must not accept.
pub(super) fn check(archive: &Archive) -> Result<()> {
    let mut shapes = Shapes(HashMap::with_capacity(archive.weights.len()));
    for (name, _, weight) in &archive.weights {
        if shapes.0.insert(name, weight).is_some() {
            return Err(Error::invalid("names of weights", "each once", format!("`{name}` twice")));
        }
    }
    let Some(network) = &archive.network else { return Ok(()) };
    for name in network.param_names() {
        if !shapes.0.contains_key(name.as_str()) {
            let known = archive.weights.iter().map(|(known, _, _)| known.clone());
            return Err(Error::not_found("parameter", name, known));
        }
    }
    network.infer_shapes(&shapes)?;
    if let Some(normalization) = &archive.meta.normalization {
        let (n_channels, input) = (normalization.mean().len(), &network.inputs()[0]);
        if input.shape[0] != n_channels {
            let what = format!("channels of the normalization for input `{}`", input.name);
            return Err(Error::invalid(what, input.shape[0].to_string(), n_channels));
        }
    }
    Ok(())
}
