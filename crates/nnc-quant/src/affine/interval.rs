//! A real interval, as data: what observers find and grids are made from.

use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// A closed interval of finite real numbers; it need not contain 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f32; 2]", into = "[f32; 2]")]
pub struct Interval {
    min: f32,
    max: f32,
}

impl Interval {
    /// The interval from `min` to `max`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when an end is not finite or `min` is above `max`.
    pub fn new(min: f32, max: f32) -> Result<Self> {
        if min.is_finite() && max.is_finite() && min <= max {
            return Ok(Self { min, max });
        }
        Err(Error::invalid(
            "interval",
            "finite ends, the first not above the second",
            format!("{min}..={max}"),
        ))
    }

    /// The lower end.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// The upper end.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// The larger of both ends' absolute values.
    pub fn max_abs(&self) -> f32 {
        self.min.abs().max(self.max.abs())
    }

    /// The smallest interval that contains both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// What of this lies in `other`; the nearest point of `other` where nothing does.
    #[must_use]
    pub fn clamp_to(&self, other: &Self) -> Self {
        Self { min: self.min.clamp(other.min, other.max), max: self.max.clamp(other.min, other.max) }
    }
}

impl TryFrom<[f32; 2]> for Interval {
    type Error = Error;

    fn try_from([min, max]: [f32; 2]) -> Result<Self> {
        Self::new(min, max)
    }
}

impl From<Interval> for [f32; 2] {
    fn from(interval: Interval) -> Self {
        [interval.min, interval.max]
    }
}
