//! Named parameters and buffers in insertion order.
//!
//! [`ParamSpecs`] declares parameters (name, shape, kind, first values); [`Params`] holds their tensors. Both keep the
//! order in which parameters came, and files keep it too, so that everything made from them is the same every time.

mod file;
mod spec;
mod state;
mod varmap;

pub use spec::{Init, ParamKind, ParamShapes, ParamSpec, ParamSpecs};

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::rng::Rng;
use crate::{Error, Result};

/// One parameter or buffer with its values.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name, unique in its [`Params`].
    pub name: String,
    /// What it is for.
    pub kind: ParamKind,
    /// Its values.
    pub tensor: Tensor,
}

/// Named parameters and buffers in insertion order.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::params::{ParamKind, Params};
/// let mut params = Params::new();
/// params.insert("ip2.weight", ParamKind::Weight, Tensor::new(&[[1_f32, 2.0]], &Device::Cpu)?);
/// params.insert("ip2.bias", ParamKind::Bias, Tensor::new(&[0.5_f32], &Device::Cpu)?);
/// let read = Params::from_safetensors(&params.to_safetensors()?, &Device::Cpu)?;
/// assert_eq!(read.names().collect::<Vec<_>>(), ["ip2.weight", "ip2.bias"]);
/// assert_eq!((read.count(), read.kind("ip2.bias")), (3, Some(ParamKind::Bias)));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Params {
    params: Vec<Param>,
    index: HashMap<String, usize>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter at the end, or replaces the one of that name in its place; returns what was replaced.
    pub fn insert(&mut self, name: impl Into<String>, kind: ParamKind, tensor: Tensor) -> Option<Param> {
        let param = Param { name: name.into(), kind, tensor };
        if let Some(&i) = self.index.get(&param.name) {
            return Some(std::mem::replace(&mut self.params[i], param));
        }
        self.index.insert(param.name.clone(), self.params.len());
        self.params.push(param);
        None
    }

    /// The tensor of the parameter `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.param(name).map(|param| &param.tensor)
    }

    /// The tensor of the parameter `name`.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) with the names there are.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.get(name).ok_or_else(|| Error::not_found("parameter", name, self.names()))
    }

    /// The kind of the parameter `name`, if there is one.
    pub fn kind(&self, name: &str) -> Option<ParamKind> {
        self.param(name).map(|param| param.kind)
    }

    /// The parameter `name`, if there is one.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.index.get(name).map(|&i| &self.params[i])
    }

    /// Takes the parameter `name` out; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Param> {
        let i = self.index.remove(name)?;
        self.index.values_mut().filter(|j| **j > i).for_each(|j| *j -= 1);
        Some(self.params.remove(i))
    }

    /// In insertion order.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.params.iter()
    }

    /// The names in insertion order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.params.iter().map(|param| param.name.as_str())
    }

    /// How many parameters there are (tensors, not numbers).
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// How many numbers all of them hold, buffers included.
    pub fn count(&self) -> usize {
        self.params.iter().map(|param| param.tensor.elem_count()).sum()
    }

    /// How many numbers the parameters of one kind hold.
    pub fn count_kind(&self, kind: ParamKind) -> usize {
        self.params.iter().filter(|param| param.kind == kind).map(|param| param.tensor.elem_count()).sum()
    }

    /// The same tensors in the declared order and with the declared kinds.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when a declared parameter is missing, [`ShapeMismatch`](Error::ShapeMismatch) when
    /// one has another shape, [`InvalidArgument`](Error::InvalidArgument) when there is one that was not declared.
    pub fn declared(&self, specs: &ParamSpecs) -> Result<Self> {
        let mut declared = Self::new();
        for spec in specs {
            let tensor = self.tensor(&spec.name)?;
            if tensor.dims() != spec.shape {
                return Err(Error::shape(&spec.name, &spec.shape, tensor.dims()));
            }
            declared.insert(&spec.name, spec.kind, tensor.clone());
        }
        if let Some(name) = self.names().find(|name| specs.get(name).is_none()) {
            return Err(Error::invalid(
                "parameters",
                "only those that the network declares",
                format!("`{name}`"),
            ));
        }
        Ok(declared)
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a Param;
    type IntoIter = std::slice::Iter<'a, Param>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Param> for Params {
    fn from_iter<I: IntoIterator<Item = Param>>(iter: I) -> Self {
        let mut params = Self::new();
        for Param { name, kind, tensor } in iter {
            params.insert(name, kind, tensor);
        }
        params
    }
}

impl ParamShapes for Params {
    fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|tensor| tensor.dims().to_vec())
    }
}

impl ParamSpecs {
    /// First values for every declared parameter, as 32-bit floats on `device`.
    ///
    /// Each is drawn from its own stream, `Rng::keyed(seed, "init/<name>", &[])`, so that a parameter added to the
    /// network changes no other.
    ///
    /// # Errors
    /// What candle says of the device.
    pub fn init(&self, seed: u64, device: &Device) -> Result<Params> {
        let mut params = Params::new();
        for spec in self {
            let mut rng = Rng::keyed(seed, &format!("init/{}", spec.name), &[]);
            let tensor =
                Tensor::from_vec(spec.init.draw(spec.count(), &mut rng), spec.shape.as_slice(), device)?;
            params.insert(&spec.name, spec.kind, tensor);
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests;
