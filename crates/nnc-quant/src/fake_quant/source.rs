//! A source whose weights are seen as their codes stand for them.

use nnc_core::candle::Tensor;
use nnc_core::params::{ParamKind, Params};
use nnc_core::pattern;
use nnc_core::source::{ParamSource, Step, Trainable};
use nnc_core::weight::{Granularity, StoredWeight};
use nnc_core::{Error, Result};

use super::fake_quantize_weight;
use crate::affine::{QuantConfig, WeightGrid};
use crate::observer::RangeMethod;

/// How a weight is quantized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightQuant {
    /// Bits and scheme of the codes.
    pub config: QuantConfig,
    /// Which entries share a scale.
    pub granularity: Granularity,
    /// How the interval of those entries is found, anew whenever the weight is asked for.
    pub method: RangeMethod,
}

impl WeightQuant {
    /// Zero point 0, as many codes below 0 as above it, a scale per output channel, from the largest absolute value.
    pub fn per_channel(bits: u32) -> Self {
        let granularity = Granularity::PerAxis { axis: 0 };
        Self { config: QuantConfig::restricted(bits), granularity, method: RangeMethod::MinMax }
    }
}

/// Serves weights as their codes stand for them, and everything else from the source below.
///
/// The optimizer moves the floats below. Their gradient is that of the rounded weight where the float is within its interval,
/// and 0 outside. Ranges follow the weight, step by step, so there is no state besides that of the source below.
///
/// # Source
/// Jacob and others, CVPR 2018, §3: weights' ranges are their extremes.
#[derive(Debug)]
pub struct FakeQuantSource<S> {
    inner: S,
    quantized: Vec<(String, WeightQuant)>,
}

impl<S: ParamSource> FakeQuantSource<S> {
    /// Wraps `inner`; the parameters that `quantized` names are served as their codes stand for them.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `inner` does not serve a name; [`Error::InvalidArgument`] for bits or a method's setting out of
    /// range.
    pub fn new(inner: S, quantized: Vec<(String, WeightQuant)>) -> Result<Self> {
        for (name, quant) in &quantized {
            if !inner.contains(name) {
                let known = inner.names().into_iter().map(|(name, _)| name);
                return Err(Error::not_found("parameter", name, known));
            }
            quant.config.codes()?;
            quant.method.check()?;
        }
        Ok(Self { inner, quantized })
    }

    /// Wraps `inner`; the weights (not biases, not buffers) that one of `patterns` matches are quantized as `quant` says.
    ///
    /// # Errors
    /// [`Error::NoMatch`] for a pattern that matches no weight, and those of [`new`](Self::new).
    pub fn matching(inner: S, patterns: &[impl AsRef<str>], quant: WeightQuant) -> Result<Self> {
        let names = inner.names().into_iter().filter(|(_, kind)| *kind == ParamKind::Weight);
        let names: Vec<String> = names.map(|(name, _)| name).collect();
        let selected = pattern::select(patterns, &names)?;
        Self::new(inner, selected.into_iter().map(|name| (name, quant)).collect())
    }

    /// The source below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How `name` is quantized, if it is.
    pub fn quantized(&self, name: &str) -> Option<&WeightQuant> {
        self.quantized.iter().find(|(known, _)| known == name).map(|(_, quant)| quant)
    }

    fn grid(name: &str, weight: &Tensor, quant: &WeightQuant) -> Result<WeightGrid> {
        let grid = WeightGrid::fit(weight, quant.config, quant.granularity, quant.method);
        grid.map_err(|error| match error {
            Error::InvalidArgument { what, expected, got } => {
                Error::InvalidArgument { what: format!("{what} of `{name}`"), expected, got }
            }
            error => error,
        })
    }
}

impl<S: ParamSource> ParamSource for FakeQuantSource<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        let weight = self.inner.get(name, step)?;
        match self.quantized(name) {
            Some(quant) => fake_quantize_weight(&weight, &Self::grid(name, &weight, quant)?),
            None => Ok(weight),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        self.inner.names()
    }

    fn trainables(&self) -> Vec<Trainable> {
        self.inner.trainables()
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        self.inner.set_buffer(name, value)
    }

    fn state(&self) -> Result<Params> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.inner.load_state(state)
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        let stored = self.inner.freeze(name)?;
        let Some(quant) = self.quantized(name) else { return Ok(stored) };
        // The grid is that of the weight as evaluation sees it below, masks and all.
        let weight = self.inner.get(name, &Step::eval())?;
        Self::grid(name, &weight, quant)?.quantize_stored(&stored)
    }
}

#[cfg(test)]
mod tests;
