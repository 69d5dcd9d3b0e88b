//! A source that folds batch norms whenever it is asked.

use nnc_core::candle::Tensor;
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::{ParamSource, Step, Trainable};
use nnc_core::weight::{StoredWeight, Values, WeightTensor as _};
use nnc_core::{Error, Result};

use super::Fold;

/// Serves the parameters of the folded network from those of the network with batch norms.
///
/// The optimizer goes on moving w, b, γ and β; gradients reach them through the fold, so that the training sees the weights
/// that will be stored, and a fake quantizer around this source rounds exactly those. Statistics are the running ones, which
/// no step changes.
///
/// # Source
/// Jacob and others, CVPR 2018, §3.2, folds the weights by running statistics too (figure C.8), but normalizes by the
/// batch's in training, which costs a second convolution. We differ: the statistics are frozen, as Krishnamoorthi
/// ("Quantizing deep convolutional networks for efficient inference", 2018, §3.2.2) does after the first steps.
#[derive(Debug)]
pub struct FoldedSource<S> {
    inner: S,
    folds: Vec<Fold>,
}

impl<S: ParamSource> FoldedSource<S> {
    /// Wraps `inner`, which serves the network before it was folded.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `inner` lacks a parameter of a fold.
    pub fn new(inner: S, folds: Vec<Fold>) -> Result<Self> {
        for Fold { batch_norm, into, had_bias, .. } in &folds {
            let mut needed = vec![format!("{into}.weight")];
            needed.extend(had_bias.then(|| format!("{into}.bias")));
            needed.extend(BATCH_NORM.map(|suffix| format!("{batch_norm}.{suffix}")));
            // A second batch norm finds the bias that the first one made.
            let made = |name: &String| folds.iter().any(|fold| *name == format!("{}.bias", fold.into));
            if let Some(missing) = needed.iter().find(|name| !inner.contains(name) && !made(name)) {
                let known = inner.names().into_iter().map(|(name, _)| name);
                return Err(Error::not_found("parameter", missing, known));
            }
        }
        Ok(Self { inner, folds })
    }

    /// The source below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The folds of the node that `name` is a parameter of, with the parameter's suffix.
    fn folds_of<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let (node, suffix) = name.rsplit_once('.')?;
        self.folds.iter().any(|fold| fold.into == node).then_some((node, suffix))
    }

    fn is_folded_away(&self, name: &str) -> bool {
        let node = name.rsplit_once('.').map(|(node, _)| node);
        self.folds.iter().any(|fold| Some(fold.batch_norm.as_str()) == node)
    }

    /// A parameter of the batch norm, one number for each channel of the node that it folds into.
    fn per_channel(&self, fold: &Fold, suffix: &str, step: &Step) -> Result<Tensor> {
        let name = format!("{}.{suffix}", fold.batch_norm);
        let values = self.inner.get(&name, step)?;
        let weight = self.inner.get(&format!("{}.weight", fold.into), step)?;
        let n_channels = weight.dims().first().copied().unwrap_or(0);
        if values.dims() == [n_channels] {
            Ok(values)
        } else {
            Err(Error::shape(name, &[n_channels], values.dims()))
        }
    }

    /// γ / √(σ² + ε), of shape `(C,)`.
    fn factor(&self, fold: &Fold, step: &Step) -> Result<Tensor> {
        let variance = self.per_channel(fold, "running_var", step)?;
        let deviation = (variance + f64::from(fold.eps))?.sqrt()?;
        Ok((self.per_channel(fold, "weight", step)? / deviation)?)
    }

    fn weight(&self, node: &str, step: &Step) -> Result<Tensor> {
        let mut weight = self.inner.get(&format!("{node}.weight"), step)?;
        let mut per_channel = vec![1; weight.rank()];
        for fold in self.folds.iter().filter(|fold| fold.into == node) {
            let factor = self.factor(fold, step)?;
            per_channel[0] = factor.elem_count();
            weight = weight.broadcast_mul(&factor.reshape(per_channel.as_slice())?)?;
        }
        Ok(weight)
    }

    /// The folded weight where the source below stores one; a mask stays a mask.
    fn stored_weight(&self, node: &str) -> Result<StoredWeight> {
        let stored = self.inner.freeze(&format!("{node}.weight"))?;
        if !matches!(stored.values(), Values::F32(_) | Values::Half(_)) {
            let got = "codes, which a factor per channel would undo";
            return Err(Error::invalid(
                format!("stored form of `{node}.weight`"),
                "floats to fold into",
                got,
            ));
        }
        let folded = self.weight(node, &Step::eval())?.detach().flatten_all()?.to_vec1::<f32>()?;
        // A pruned 0 times a negative factor is −0, which is no filler.
        let value = |flat: Result<usize>| flat.map(|flat| folded[flat] + 0.0);
        let values = stored.indices().map(value).collect::<Result<_>>()?;
        let (shape, positions) = (stored.shape().to_vec(), stored.positions().clone());
        StoredWeight::new(shape, positions, Values::F32(values), stored.order())
    }

    fn bias(&self, node: &str, step: &Step) -> Result<Tensor> {
        let mut bias: Option<Tensor> = None;
        for fold in self.folds.iter().filter(|fold| fold.into == node) {
            if bias.is_none() && fold.had_bias {
                bias = Some(self.inner.get(&format!("{node}.bias"), step)?);
            }
            let mean = self.per_channel(fold, "running_mean", step)?;
            let centred = match bias {
                Some(bias) => (bias - mean)?,
                None => mean.neg()?,
            };
            bias = Some(((centred * self.factor(fold, step)?)? + self.per_channel(fold, "bias", step)?)?);
        }
        bias.ok_or_else(|| Error::not_found("folded bias", node, self.folds.iter().map(|fold| &fold.into)))
    }
}

/// The suffixes of a batch norm's parameters.
const BATCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

impl<S: ParamSource> ParamSource for FoldedSource<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        match self.folds_of(name) {
            Some((node, "weight")) => self.weight(node, step),
            Some((node, "bias")) => self.bias(node, step),
            _ => self.inner.get(name, step),
        }
    }

    fn contains(&self, name: &str) -> bool {
        match self.folds_of(name) {
            Some((_, "weight" | "bias")) => true,
            _ => self.inner.contains(name) && !self.is_folded_away(name),
        }
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        let mut names = Vec::new();
        for (name, kind) in self.inner.names() {
            match self.folds_of(&name) {
                _ if self.is_folded_away(&name) => {}
                Some((node, "weight")) => {
                    let bias = format!("{node}.bias");
                    names.extend([(name, kind), (bias, ParamKind::Bias)]);
                }
                // Named with its weight, whether it was there before or not.
                Some((_, "bias")) => {}
                _ => names.push((name, kind)),
            }
        }
        names
    }

    fn trainables(&self) -> Vec<Trainable> {
        self.inner.trainables()
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        if self.is_folded_away(name) {
            return Err(Error::invalid("name", "a buffer of the folded network", format!("`{name}`")));
        }
        self.inner.set_buffer(name, value)
    }

    fn state(&self) -> Result<Params> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.inner.load_state(state)
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        match self.folds_of(name) {
            Some((node, "weight")) => self.stored_weight(node),
            Some((node, "bias")) => StoredWeight::dense(&self.bias(node, &Step::eval())?.detach()),
            _ => self.inner.freeze(name),
        }
    }
}

#[cfg(test)]
mod tests;
