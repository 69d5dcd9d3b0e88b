//! Parameters as saved state: nested by prefixes, with single numbers and text among the tensors.

use candle_core::{Device, Tensor};

use super::{ParamKind, Params};
use crate::{Error, Result};

impl Params {
    /// Adds everything in `other`, each name behind `prefix`.
    pub fn extend_prefixed(&mut self, prefix: &str, other: &Self) {
        for param in other.iter() {
            self.insert(format!("{prefix}{}", param.name), param.kind, param.tensor.clone());
        }
    }

    /// What stands under `prefix`, without it.
    #[must_use]
    pub fn strip_prefix(&self, prefix: &str) -> Self {
        let mut stripped = Self::new();
        for param in self.iter() {
            if let Some(name) = param.name.strip_prefix(prefix) {
                stripped.insert(name, param.kind, param.tensor.clone());
            }
        }
        stripped
    }

    /// Gives the parameter `name` other values; its kind stays.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) with the names there are.
    pub fn replace(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        let kind = self.kind(name).ok_or_else(|| Error::not_found("parameter", name, self.names()))?;
        self.insert(name, kind, tensor);
        Ok(())
    }

    /// Adds one number.
    ///
    /// # Errors
    /// Those of making a tensor.
    pub fn insert_number(&mut self, name: &str, number: f64) -> Result<()> {
        self.insert(name, ParamKind::Buffer, Tensor::new(&[number], &Device::Cpu)?);
        Ok(())
    }

    /// The number added as `name`.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) without it, [`Corrupt`](Error::Corrupt) when it is not one number.
    pub fn number(&self, name: &str) -> Result<f64> {
        match self.tensor(name)?.to_vec1::<f64>().as_deref() {
            Ok(&[number]) => Ok(number),
            _ => Err(Error::corrupt("saved state", format!("`{name}` is not one number"))),
        }
    }

    /// Adds text.
    ///
    /// # Errors
    /// Those of making a tensor.
    pub fn insert_text(&mut self, name: &str, text: &str) -> Result<()> {
        let bytes = Tensor::from_slice(text.as_bytes(), text.len(), &Device::Cpu)?;
        self.insert(name, ParamKind::Buffer, bytes);
        Ok(())
    }

    /// The text added as `name`.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) without it, [`Corrupt`](Error::Corrupt) when it is not text.
    pub fn text(&self, name: &str) -> Result<String> {
        let bytes = self.tensor(name)?.to_vec1::<u8>().ok();
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Error::corrupt("saved state", format!("`{name}` is not text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_state_comes_back_with_numbers_and_text() {
        let mut inner = Params::new();
        inner.insert_number("score", -0.1).unwrap();
        inner.insert_text("key", "ä/b").unwrap();
        let mut outer = Params::new();
        outer.insert_number("score", 7.0).unwrap();
        outer.extend_prefixed("inner/", &inner);
        let read = Params::from_safetensors(&outer.to_safetensors().unwrap(), &Device::Cpu).unwrap();
        let back = read.strip_prefix("inner/");
        assert_eq!((back.number("score").unwrap(), back.text("key").unwrap()), (-0.1, "ä/b".to_owned()));
        assert_eq!((back.len(), read.number("score").unwrap()), (2, 7.0));
        assert!(back.number("key").is_err() && back.text("score").is_err() && back.number("none").is_err());
    }
}
