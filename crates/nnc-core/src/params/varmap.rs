//! candle's `VarMap` in and out, so that a hand-written candle model can be compressed too.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use candle_core::Var;
use candle_nn::VarMap;

use super::{ParamKind, Params};
use crate::{Error, Result};

impl Params {
    /// Copies of the variables of `map`, sorted by name because the map has no order of its own; kinds by
    /// [`ParamKind::guess`].
    ///
    /// # Errors
    /// What candle says of the copies.
    pub fn from_varmap(map: &VarMap) -> Result<Self> {
        let vars = lock(map);
        let mut names: Vec<&String> = vars.keys().collect();
        names.sort_unstable();
        let mut params = Self::new();
        for name in names {
            let tensor = vars[name].as_tensor();
            params.insert(name, ParamKind::guess(name, tensor.dims()), tensor.detach().copy()?);
        }
        Ok(params)
    }

    /// A map of variables with copies of these values, buffers included.
    ///
    /// # Errors
    /// What candle says of the copies.
    pub fn to_varmap(&self) -> Result<VarMap> {
        let map = VarMap::new();
        let mut vars = lock(&map);
        for param in self {
            vars.insert(param.name.clone(), Var::from_tensor(&param.tensor.detach().copy()?)?);
        }
        drop(vars);
        Ok(map)
    }

    /// Writes these values into the variables of those names, which a model may hold; other variables stay.
    ///
    /// Nothing is written unless every name and shape fits.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when the map lacks a name, [`ShapeMismatch`](Error::ShapeMismatch) when a shape
    /// differs, and what candle says of the copies.
    pub fn assign_to(&self, map: &VarMap) -> Result<()> {
        let vars = lock(map);
        for param in self {
            let Some(var) = vars.get(&param.name) else {
                let mut known: Vec<&String> = vars.keys().collect();
                known.sort_unstable();
                return Err(Error::not_found("variable", &param.name, known));
            };
            if var.dims() != param.tensor.dims() {
                return Err(Error::shape(&param.name, var.dims(), param.tensor.dims()));
            }
        }
        for param in self {
            let var = &vars[&param.name];
            // A copy: writing a variable into itself would wait for its own lock.
            var.set(&param.tensor.detach().to_dtype(var.dtype())?.to_device(var.device())?.copy()?)?;
        }
        Ok(())
    }
}

/// The map's variables; a panic elsewhere while they were locked leaves them whole.
fn lock(map: &VarMap) -> MutexGuard<'_, HashMap<String, Var>> {
    map.data().lock().unwrap_or_else(PoisonError::into_inner)
}
