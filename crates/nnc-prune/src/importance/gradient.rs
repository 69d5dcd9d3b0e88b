//! First-order Taylor: how much the loss would change, to first order, without an entry.

use nnc_core::candle::Tensor;
use nnc_core::ops;
use nnc_core::source::{ParamSource, Trainable};
use nnc_core::{Error, Result};

use crate::read::with_values;

/// Adds up `|w · ∂L/∂w|` of some weights over the losses of batches.
///
/// # Source
/// Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017, eq. 7. We differ: it
/// is taken of weights, not of activations, and the mean is one over batches, not over samples.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::params::{ParamKind, Params};
/// use nnc_core::source::{ParamSource, Step, VarSource};
/// use nnc_prune::importance::gradient::Taylor;
/// let mut params = Params::new();
/// params.insert("w", ParamKind::Weight, Tensor::new(&[2_f32, -1.0], &Device::Cpu)?);
/// let source = VarSource::new(&params)?;
/// let mut taylor = Taylor::new(&source, &["w"])?;
/// let batch = Tensor::new(&[1_f32, 5.0], &Device::Cpu)?;
/// taylor.add(&(source.get("w", &Step::eval())? * batch)?.sum_all()?)?;
/// assert_eq!(taylor.scores("w")?, [2.0, 5.0]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Taylor {
    weights: Vec<(Trainable, Vec<f32>)>,
    n_batches: usize,
}

impl Taylor {
    /// Will score the trainables `names` of `source`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `source` has no trainable of one of the names.
    pub fn new(source: &dyn ParamSource, names: &[&str]) -> Result<Self> {
        let trainables = source.trainables();
        let find = |name: &&str| {
            let known = || trainables.iter().map(|trainable| &trainable.name);
            let found = trainables.iter().find(|trainable| trainable.name == **name);
            let trainable = found.ok_or_else(|| Error::not_found("trainable", *name, known()))?.clone();
            let zeros = vec![0.0; trainable.var.elem_count()];
            Ok((trainable, zeros))
        };
        Ok(Self { weights: names.iter().map(find).collect::<Result<_>>()?, n_batches: 0 })
    }

    /// Adds the loss of a batch, a scalar that depends on the weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the loss does not depend on one of them, and those of the backward pass.
    pub fn add(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = ops::backward(loss)?;
        for (trainable, sums) in &mut self.weights {
            let Some(gradient) = gradients.get(&trainable.var) else {
                let expected = format!("one that depends on `{}`", trainable.name);
                return Err(Error::invalid("loss", expected, "one that does not"));
            };
            with_values(gradient, |gradient| {
                with_values(&trainable.var, |weight| {
                    for ((sum, w), g) in sums.iter_mut().zip(weight).zip(gradient) {
                        *sum += (w * g).abs();
                    }
                })
            })??;
        }
        self.n_batches += 1;
        Ok(())
    }

    /// The mean over the batches for each entry of `name`, in row-major order.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a name that is not scored, [`Error::InvalidArgument`] before the first batch.
    pub fn scores(&self, name: &str) -> Result<Vec<f32>> {
        if self.n_batches == 0 {
            return Err(Error::invalid("batches", "at least one", 0));
        }
        let known = || self.weights.iter().map(|(trainable, _)| &trainable.name);
        let (_, sums) = self
            .weights
            .iter()
            .find(|(trainable, _)| trainable.name == name)
            .ok_or_else(|| Error::not_found("scored weight", name, known()))?;
        Ok(sums.iter().map(|sum| sum / self.n_batches as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::Device;
    use nnc_core::params::{ParamKind, Params};
    use nnc_core::source::{Step, VarSource};

    use super::*;

    fn source() -> VarSource {
        let mut params = Params::new();
        for name in ["a", "b"] {
            params.insert(name, ParamKind::Weight, Tensor::new(&[1_f32, -2.0, 3.0], &Device::Cpu).unwrap());
        }
        VarSource::new(&params).unwrap()
    }

    #[test]
    fn magnitudes_are_averaged_over_batches() {
        let source = source();
        let mut taylor = Taylor::new(&source, &["a"]).unwrap();
        // L = Σ s · w², so that w · g = 2 s w²; signs of s must not cancel.
        for s in [1.0, -3.0] {
            let w = source.get("a", &Step::eval()).unwrap();
            taylor.add(&(w.sqr().unwrap() * s).unwrap().sum_all().unwrap()).unwrap();
        }
        assert_eq!(taylor.scores("a").unwrap(), [4.0, 16.0, 36.0]);
    }

    #[test]
    fn wrong_names_and_losses_are_refused() {
        let source = source();
        assert!(Taylor::new(&source, &["c"]).unwrap_err().to_string().contains("no trainable named `c`"));
        let mut taylor = Taylor::new(&source, &["a"]).unwrap();
        assert!(taylor.scores("a").unwrap_err().to_string().contains("batches"));
        let other = source.get("b", &Step::eval()).unwrap().sum_all().unwrap();
        assert!(taylor.add(&other).unwrap_err().to_string().contains("depends on `a`"));
        taylor.add(&source.get("a", &Step::eval()).unwrap().sum_all().unwrap()).unwrap();
        assert!(taylor.scores("b").unwrap_err().to_string().contains("scored weight"));
    }
}
