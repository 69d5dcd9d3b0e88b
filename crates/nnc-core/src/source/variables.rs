//! The bottom of every stack of sources: variables and buffers held by name.

use candle_core::{Tensor, Var};

use super::{ParamSource, Step, Trainable};
use crate::params::{ParamKind, Params};
use crate::weight::StoredWeight;
use crate::{Error, Result};

/// Parameters as plain variables: trained as they are, stored as dense f32.
#[derive(Debug)]
pub struct VarSource {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    kind: ParamKind,
    var: Var,
}

impl VarSource {
    /// Copies `params` into variables.
    ///
    /// # Errors
    /// Those of copying tensors.
    pub fn new(params: &Params) -> Result<Self> {
        let entries = params
            .iter()
            .map(|param| {
                // A variable of its own storage: `Var::from_tensor` alone may share it with the caller's tensor.
                let var = Var::from_tensor(&param.tensor.detach().copy()?)?;
                Ok(Entry { name: param.name.clone(), kind: param.kind, var })
            })
            .collect::<Result<_>>()?;
        Ok(Self { entries })
    }

    /// The variable behind `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown name.
    pub fn var(&self, name: &str) -> Result<&Var> {
        self.entry(name).map(|entry| &entry.var)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
            Error::not_found("parameter", name, self.entries.iter().map(|entry| entry.name.clone()))
        })
    }

    fn assign(entry: &Entry, value: &Tensor) -> Result<()> {
        if value.dims() != entry.var.dims() {
            return Err(Error::shape(entry.name.clone(), entry.var.dims(), value.dims()));
        }
        // `Var::set` deadlocks on its own storage, and a lazily copied view may be just that.
        Ok(entry.var.set(&value.detach().copy()?)?)
    }
}

impl ParamSource for VarSource {
    fn get(&self, name: &str, _step: &Step) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let tensor = entry.var.as_tensor();
        Ok(if entry.kind == ParamKind::Buffer { tensor.detach() } else { tensor.clone() })
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        self.entries.iter().map(|entry| (entry.name.clone(), entry.kind)).collect()
    }

    fn trainables(&self) -> Vec<Trainable> {
        self.entries
            .iter()
            .filter(|entry| entry.kind != ParamKind::Buffer)
            .map(|entry| Trainable::new(entry.name.clone(), entry.var.clone(), entry.kind))
            .collect()
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        let entry = self.entry(name)?;
        if entry.kind != ParamKind::Buffer {
            return Err(Error::invalid("name", "a buffer", format!("the parameter `{name}`")));
        }
        Self::assign(entry, value)
    }

    fn state(&self) -> Result<Params> {
        self.snapshot()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        for entry in &self.entries {
            Self::assign(entry, state.tensor(&entry.name)?)?;
        }
        Ok(())
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        StoredWeight::dense(self.entry(name)?.var.as_tensor())
    }
}
