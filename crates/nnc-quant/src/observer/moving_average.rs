//! Averages of each batch's extremes, the latest batches with the most weight.

use nnc_core::params::Params;
use nnc_core::{Error, Result};

use super::Extremes;
use crate::affine::Interval;

/// Moving averages of the least and the greatest number of a batch.
///
/// m ← m + momentum · (batch − m); the first batch is taken as it is.
///
/// # Source
/// Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, §3.1: exponential moving averages with a smoothing parameter close to 1, which is our 1 − momentum.
#[derive(Debug, Clone, PartialEq)]
pub struct MovingAverage {
    momentum: f32,
    average: Extremes,
}

impl MovingAverage {
    /// Averages that give a new batch the weight `momentum`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `momentum` is not in (0, 1].
    pub fn new(momentum: f32) -> Result<Self> {
        if momentum > 0.0 && momentum <= 1.0 {
            return Ok(Self { momentum, average: Extremes::default() });
        }
        Err(Error::invalid("momentum of a moving average", "above 0, at most 1", momentum))
    }

    /// The interval between the averages, unless nothing was seen.
    pub fn interval(&self) -> Option<Interval> {
        self.average.interval()
    }

    /// Takes in a batch's extremes.
    pub(crate) fn observe(&mut self, batch: &Extremes) {
        let (Some(old), Some(new)) = (self.average.interval(), batch.interval()) else {
            self.average.merge(batch);
            return;
        };
        let momentum = f64::from(self.momentum);
        // In f64 the average of two finite f32 rounds to a finite f32, and ordered ends stay ordered.
        #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
        let towards =
            |old: f32, new: f32| (f64::from(old) * (1.0 - momentum) + f64::from(new) * momentum) as f32;
        let (min, max) = (towards(old.min(), new.min()), towards(old.max(), new.max()));
        self.average = Extremes::from(Interval::new(min, max).expect("averages of ordered finite numbers"));
    }

    pub(crate) fn save(&self, state: &mut Params) -> Result<()> {
        self.average.save(state)
    }

    pub(crate) fn load(&mut self, state: &Params) -> Result<()> {
        self.average = Extremes::load(state)?;
        Ok(())
    }
}
