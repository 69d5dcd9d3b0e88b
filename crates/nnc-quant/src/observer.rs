//! Observers: from a stream of numbers to the interval that codes are spread over.
//!
//! | method | keeps | file |
//! |---|---|---|
//! | minimum and maximum | two numbers | `min_max.rs` |
//! | moving average of both | two numbers | `moving_average.rs` |
//! | percentile | a histogram | `percentile.rs` |
//! | entropy: least Kullback–Leibler divergence | a histogram | `entropy.rs` |
//! | least mean squared error | a histogram | `mse.rs` |
//! | ACIQ: clipping by a fitted distribution | a histogram | `aciq.rs` |
//!
//! What is kept does not grow with the stream. It does not depend on how the stream was cut or ordered, but for the moving
//! average, whose batches are what it averages over. The histogram asks for bits and scheme only when it is asked for an
//! interval, so that one calibration serves every bit width.

mod aciq;
mod entropy;
mod histogram;
mod min_max;
mod moving_average;
mod mse;
mod percentile;
mod search;

use nnc_core::params::Params;
use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub use aciq::{Distribution, clipping_factor};
pub use histogram::{Bin, Histogram};
pub use moving_average::MovingAverage;

use crate::affine::{Interval, QuantConfig};
pub(crate) use min_max::Extremes;

/// How an interval is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RangeMethod {
    /// From the least to the greatest number.
    MinMax,
    /// Averages of each batch's least and greatest number, a new batch with weight `momentum`.
    MovingAverage {
        /// In (0, 1].
        momentum: f32,
    },
    /// Without the outer 100 − `percentile` per cent of the numbers at each end.
    Percentile {
        /// In (50, 100].
        percentile: f64,
    },
    /// Least Kullback–Leibler divergence between the histogram and its quantized form.
    Entropy,
    /// Least mean squared error.
    Mse,
    /// Least mean squared error if the numbers were drawn from a distribution of this kind.
    Aciq {
        /// The kind.
        distribution: Distribution,
    },
}

impl RangeMethod {
    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the setting's name.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::MovingAverage { momentum } => MovingAverage::new(momentum).map(|_| ()),
            Self::Percentile { percentile } if !(percentile > 50.0 && percentile <= 100.0) => {
                Err(Error::invalid("percentile", "above 50, at most 100", percentile))
            }
            _ => Ok(()),
        }
    }
}

/// Sees numbers, batch by batch, and gives an interval for them.
///
/// # Example
/// ```
/// use nnc_quant::affine::QuantConfig;
/// use nnc_quant::observer::{Observer, RangeMethod};
/// let mut observer = Observer::new(RangeMethod::MinMax)?;
/// observer.observe(&[0.0, 2.5])?;
/// observer.observe(&[-0.5, 1.0])?;
/// let interval = observer.interval(&QuantConfig::U8)?;
/// assert_eq!((interval.min(), interval.max()), (-0.5, 2.5));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Observer {
    method: RangeMethod,
    seen: Seen,
}

/// What is kept of the stream.
#[derive(Debug, Clone)]
enum Seen {
    Extremes(Extremes),
    Average(MovingAverage),
    Histogram(Histogram),
}

impl Observer {
    /// An observer that has seen nothing.
    ///
    /// # Errors
    /// As [`RangeMethod::check`].
    pub fn new(method: RangeMethod) -> Result<Self> {
        method.check()?;
        let seen = match method {
            RangeMethod::MinMax => Seen::Extremes(Extremes::default()),
            RangeMethod::MovingAverage { momentum } => Seen::Average(MovingAverage::new(momentum)?),
            _ => Seen::Histogram(Histogram::new()),
        };
        Ok(Self { method, seen })
    }

    /// How the interval is found.
    pub fn method(&self) -> RangeMethod {
        self.method
    }

    /// Sees a batch; an empty one changes nothing.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a number is not finite; what was seen before is then unchanged.
    pub fn observe(&mut self, batch: &[f32]) -> Result<()> {
        match &mut self.seen {
            Seen::Extremes(extremes) => extremes.merge(&Extremes::of(batch)?),
            Seen::Average(average) => average.observe(&Extremes::of(batch)?),
            Seen::Histogram(histogram) => histogram.observe(batch)?,
        }
        Ok(())
    }

    /// The interval for all that was seen, if it is to be stored as `config` says.
    ///
    /// Numbers that are all the same give the interval from 0 to them; the affine scheme then stores them exactly.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when nothing was seen, or bits are out of range.
    pub fn interval(&self, config: &QuantConfig) -> Result<Interval> {
        config.codes()?;
        let seen = match &self.seen {
            Seen::Extremes(extremes) => extremes.interval(),
            Seen::Average(average) => average.interval(),
            Seen::Histogram(histogram) => histogram.interval(),
        };
        let whole = seen.ok_or_else(|| Error::invalid("observed numbers", "at least one", 0))?;
        let Seen::Histogram(histogram) = &self.seen else { return Ok(whole) };
        let bins = histogram.bins();
        match self.method {
            RangeMethod::Percentile { percentile } => Ok(percentile::interval(&bins, whole, percentile)),
            RangeMethod::Entropy => entropy::interval(&bins, whole, config),
            RangeMethod::Aciq { distribution } => aciq::interval(&bins, whole, config, distribution),
            _ => mse::interval(&bins, whole, config),
        }
    }

    /// Adds what another observer of the same method saw.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the methods differ, or are moving averages: those depend on the order of batches.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.method != other.method {
            let expected = format!("{:?}", self.method);
            return Err(Error::invalid(
                "method of a merged observer",
                expected,
                format!("{:?}", other.method),
            ));
        }
        match (&mut self.seen, &other.seen) {
            (Seen::Extremes(ours), Seen::Extremes(theirs)) => ours.merge(theirs),
            (Seen::Histogram(ours), Seen::Histogram(theirs)) => ours.merge(theirs),
            _ => {
                let got = format!("{:?}", self.method);
                return Err(Error::invalid(
                    "method of a merged observer",
                    "one without an order of batches",
                    got,
                ));
            }
        }
        Ok(())
    }

    /// All that [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of making tensors.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        match &self.seen {
            Seen::Extremes(extremes) => extremes.save(&mut state)?,
            Seen::Average(average) => average.save(&mut state)?,
            Seen::Histogram(histogram) => histogram.save(&mut state)?,
        }
        Ok(state)
    }

    /// Returns to a saved state.
    ///
    /// # Errors
    /// [`Error::NotFound`] when an entry is missing, [`Error::Corrupt`] when one cannot be.
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
        match &mut self.seen {
            Seen::Extremes(extremes) => *extremes = Extremes::load(state)?,
            Seen::Average(average) => average.load(state)?,
            Seen::Histogram(histogram) => *histogram = Histogram::load(state)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
