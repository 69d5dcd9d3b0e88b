//! Affine quantization: from a real interval to a scale and a zero point, from a weight to its stored codes.
//!
//! real = scale · (q − zero point), with 0 exact. Scale, zero point and rounding (half away from zero) are those of
//! [`QuantParams`], which integer products use; there is no second definition.

mod interval;
mod weight;

use nnc_core::{Error, Result};
pub use nnc_gemmlowp::{QuantParams, QuantRange};
use serde::{Deserialize, Serialize};

pub use interval::Interval;
pub use weight::WeightGrid;

/// Which integers stand for the numbers of an interval, and whether the zero point is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Codes 0..=2^b − 1 with any zero point: S = (max − min) / (2^b − 1) for the interval widened to contain 0.
    Affine,
    /// Codes −2^(b−1)..=2^(b−1) − 1 with zero point 0: S = 2 · max|x| / (2^b − 1).
    ///
    /// max|x| itself lies half a step beyond the last code where it is positive.
    Symmetric,
    /// Codes −(2^(b−1) − 1)..=2^(b−1) − 1 with zero point 0: S = max|x| / (2^(b−1) − 1).
    SymmetricRestricted,
}

/// Bits and scheme of integer codes.
///
/// # Source
/// gemmlowp's `doc/quantization.md` (affine) and Distiller's range-based linear quantization (both symmetric schemes,
/// there with the inverse of our scale).
///
/// # Example
/// ```
/// use nnc_quant::affine::{Interval, QuantConfig};
/// let relu6 = QuantConfig::U8.params(Interval::new(0.0, 6.0)?)?;
/// assert_eq!((relu6.scale, relu6.zero_point), (6.0 / 255.0, 0));
/// let weight = QuantConfig::I8_RESTRICTED.params(Interval::new(-0.5, 1.27)?)?;
/// assert_eq!((weight.scale, weight.zero_point), (0.01, 0));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantConfig {
    /// Bits of a code, 2..=16.
    pub bits: u32,
    /// Which integers they are.
    pub scheme: Scheme,
}

impl QuantConfig {
    /// Eight bits with any zero point: what activations use.
    pub const U8: Self = Self { bits: 8, scheme: Scheme::Affine };
    /// −128..=127 with zero point 0.
    pub const I8: Self = Self { bits: 8, scheme: Scheme::Symmetric };
    /// −127..=127 with zero point 0: what weights use.
    pub const I8_RESTRICTED: Self = Self { bits: 8, scheme: Scheme::SymmetricRestricted };

    /// `bits` bits with any zero point.
    pub const fn affine(bits: u32) -> Self {
        Self { bits, scheme: Scheme::Affine }
    }

    /// `bits` bits with zero point 0 and as many codes below 0 as above it.
    pub const fn restricted(bits: u32) -> Self {
        Self { bits, scheme: Scheme::SymmetricRestricted }
    }

    /// The codes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `bits` is not in 2..=16.
    pub fn codes(&self) -> Result<QuantRange> {
        if !(2..=16).contains(&self.bits) {
            return Err(Error::invalid("bits", "2..=16", self.bits));
        }
        let half = 1 << (self.bits - 1);
        Ok(match self.scheme {
            Scheme::Affine => QuantRange { min: 0, max: 2 * half - 1 },
            Scheme::Symmetric => QuantRange { min: -half, max: half - 1 },
            Scheme::SymmetricRestricted => QuantRange { min: 1 - half, max: half - 1 },
        })
    }

    /// Scale and zero point for numbers in `interval`.
    ///
    /// The interval is widened to contain 0. Where it is 0 alone, the scale is 1.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `bits` is not in 2..=16.
    pub fn params(&self, interval: Interval) -> Result<QuantParams> {
        let codes = self.codes()?;
        match self.scheme {
            Scheme::Affine => QuantParams::choose(interval.min(), interval.max(), codes).map_err(lift),
            Scheme::SymmetricRestricted => QuantParams::symmetric(interval.max_abs(), codes).map_err(lift),
            Scheme::Symmetric => {
                let steps = f64::from(codes.max - codes.min);
                #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
                let scale = (2.0 * f64::from(interval.max_abs()) / steps) as f32;
                let scale = if interval.max_abs() == 0.0 { 1.0 } else { scale.max(f32::MIN_POSITIVE) };
                Ok(QuantParams { scale, zero_point: 0 })
            }
        }
    }

    /// What is added to a code to store it without a sign: 2^(b−1) for symmetric schemes.
    fn stored_offset(&self) -> i32 {
        if self.scheme == Scheme::Affine { 0 } else { 1 << (self.bits - 1) }
    }
}

/// The core's error for one of the products'.
fn lift(error: nnc_gemmlowp::Error) -> Error {
    Error::invalid("interval", "one that has a scale", error)
}

/// The real numbers of the first and the last code: what lies between is rounded, what lies outside is clipped.
pub(crate) fn ends(params: &QuantParams, codes: QuantRange) -> (f32, f32) {
    (params.dequantize(codes.min), params.dequantize(codes.max))
}

#[cfg(test)]
mod tests;
