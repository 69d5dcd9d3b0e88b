//! Fake quantization of activations: a transform on a tap.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nnc_core::candle::Tensor;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::Step;
use nnc_core::tap::{Site, Taps, Transform};
use nnc_core::{Error, Result};

use super::fake_quantize;
use crate::affine::{Interval, QuantConfig};
use crate::calibrate::{bound_of, select_sites};
use crate::floats::with_floats;
use crate::observer::{Extremes, MovingAverage};

/// Where the interval of an activation comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ActivationRange {
    /// It is known: by construction, or from a calibration.
    Fixed(Interval),
    /// From each batch's own extremes, in training and in evaluation.
    Online,
    /// Moving averages of the training batches' extremes; evaluation uses them as they are.
    Moving {
        /// The weight of a new batch, in (0, 1].
        momentum: f32,
        /// The training step from which on values are quantized; before it they are only observed.
        quantize_from: u64,
        /// The training step from which on the averages stay as they are.
        freeze_at: u64,
    },
}

/// Fake-quantizes an activation of any shape, with one scale for the whole tensor.
///
/// The state is the averages and whether they are in use, so that a resumed run continues exactly.
///
/// # Source
/// Jacob and others, CVPR 2018, §3.1: moving averages, and quantization of activations begun after the first steps.
#[derive(Debug)]
pub struct FakeQuant {
    config: QuantConfig,
    range: ActivationRange,
    seen: Mutex<Seen>,
}

/// What training steps leave behind.
#[derive(Debug)]
struct Seen {
    average: MovingAverage,
    /// Whether a training step has quantized, so that evaluation does, too.
    in_use: bool,
}

impl FakeQuant {
    /// A transform that has seen nothing.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for bits or a momentum out of range, and when the averages would freeze before a step has
    /// been observed.
    pub fn new(config: QuantConfig, range: ActivationRange) -> Result<Self> {
        config.codes()?;
        let momentum = match range {
            ActivationRange::Moving { freeze_at: 0, .. } => {
                return Err(Error::invalid("freeze_at", "at least 1: one step to observe", 0));
            }
            ActivationRange::Moving { momentum, .. } => momentum,
            ActivationRange::Fixed(_) | ActivationRange::Online => 1.0,
        };
        let seen = Seen { average: MovingAverage::new(momentum)?, in_use: false };
        Ok(Self { config, range, seen: Mutex::new(seen) })
    }

    /// The interval in use: fixed, or the averages; none before a batch was observed, or where each batch has its own.
    pub fn interval(&self) -> Option<Interval> {
        match self.range {
            ActivationRange::Fixed(interval) => Some(interval),
            ActivationRange::Online => None,
            ActivationRange::Moving { .. } => self.seen().average.interval(),
        }
    }

    /// The interval for `value`, unless it is to be left as it is.
    fn interval_for(&self, value: &Tensor, step: &Step) -> Result<Option<Interval>> {
        let extremes = || with_floats("activation", value, Extremes::of);
        match self.range {
            ActivationRange::Fixed(interval) => Ok(Some(interval)),
            ActivationRange::Online => Ok(extremes()?.interval()),
            ActivationRange::Moving { quantize_from, freeze_at, .. } => {
                let mut seen = self.seen();
                if step.is_train() {
                    // A run that starts behind the freeze still needs a range to quantize with.
                    if step.index() < freeze_at || seen.average.interval().is_none() {
                        seen.average.observe(&extremes()?);
                    }
                    seen.in_use = step.index() >= quantize_from;
                }
                Ok(if seen.in_use { seen.average.interval() } else { None })
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Both fields are replaced whole, so a panic elsewhere leaves them whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transform for FakeQuant {
    fn transform(&self, value: &Tensor, step: &Step) -> Result<Tensor> {
        match self.interval_for(value, step)? {
            Some(interval) => fake_quantize(value, &self.config.params(interval)?, &self.config),
            None => Ok(value.clone()),
        }
    }

    fn state(&self) -> Result<Params> {
        let seen = self.seen();
        let mut state = Params::new();
        seen.average.save(&mut state)?;
        state.insert_number("in_use", f64::from(u8::from(seen.in_use)))?;
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        let in_use = state.number("in_use")? != 0.0;
        let mut seen = self.seen();
        seen.average.load(state)?;
        seen.in_use = in_use;
        Ok(())
    }
}

/// Hangs a [`FakeQuant`] on each of the network's [`sites`](crate::calibrate::sites) that one of `patterns` matches; returns their names.
///
/// Where the operator bounds its values, the interval is that bound, whatever `range` says.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches no site, with the sites there are; those of [`FakeQuant::new`].
pub fn hang(
    taps: &mut Taps,
    network: &Network,
    patterns: &[impl AsRef<str>],
    config: QuantConfig,
    range: ActivationRange,
) -> Result<Vec<String>> {
    let names = select_sites(network, patterns)?;
    for name in &names {
        let range = bound_of(network, name)?.map_or(range, ActivationRange::Fixed);
        taps.transform(Site::output(name), Box::new(FakeQuant::new(config, range)?));
    }
    Ok(names)
}

/// Hangs a [`FakeQuant`] with a fixed interval on each site that a calibration found one for.
///
/// # Errors
/// [`Error::InvalidArgument`] for bits out of range.
pub fn hang_calibrated(taps: &mut Taps, intervals: &[(String, Interval)], config: QuantConfig) -> Result<()> {
    for (name, interval) in intervals {
        let transform = FakeQuant::new(config, ActivationRange::Fixed(*interval))?;
        taps.transform(Site::output(name), Box::new(transform));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
