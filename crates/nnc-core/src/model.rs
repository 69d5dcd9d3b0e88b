//! Anything that yields named outputs: a network with its source, a hand-written candle model, a compiled plan.

use std::fmt::Debug;

use candle_core::Tensor;

use crate::source::Step;
use crate::{Error, Result};

/// A function from one input to named outputs.
///
/// Training, distillation and cascades take `&dyn Model`, so a teacher may be anything that implements this.
///
/// # Example
/// A hand-written candle model with one named feature:
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::model::{Model, Outputs};
/// use nnc_core::source::Step;
///
/// #[derive(Debug)]
/// struct Doubler;
/// impl Model for Doubler {
///     fn outputs(&self, input: &Tensor, want: &[&str], _step: &Step) -> nnc_core::Result<Outputs> {
///         let mut all = Outputs::new();
///         all.push("twice", (input * 2.0)?);
///         all.select(want)
///     }
/// }
/// let x = Tensor::new(&[1_f32, 2.0], &Device::Cpu)?;
/// let y = Doubler.outputs(&x, &["twice"], &Step::eval())?;
/// assert_eq!(y.get("twice")?.to_vec1::<f32>()?, [2.0, 4.0]);
/// assert!(Doubler.outputs(&x, &["thrice"], &Step::eval()).is_err());
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub trait Model: Debug {
    /// The outputs named in `want`, in that order, for `input` of shape `(B, …)`.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) for an unknown output (the known ones are listed), and shape errors.
    fn outputs(&self, input: &Tensor, want: &[&str], step: &Step) -> Result<Outputs>;
}

/// Named tensors in order.
#[derive(Debug, Clone, Default)]
pub struct Outputs(Vec<(String, Tensor)>);

impl Outputs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an output.
    pub fn push(&mut self, name: impl Into<String>, value: Tensor) {
        self.0.push((name.into(), value));
    }

    /// The output `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the names there are.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .ok_or_else(|| Error::not_found("output", name, self.iter().map(|(known, _)| known)))
    }

    /// Only the outputs named in `want`, in that order.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the names there are.
    pub fn select(&self, want: &[&str]) -> Result<Self> {
        want.iter()
            .map(|&name| Ok((name.to_owned(), self.get(name)?.clone())))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The outputs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}
