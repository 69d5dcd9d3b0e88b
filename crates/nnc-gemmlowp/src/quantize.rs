//! The affine scheme: real = scale · (quantized − zero point), with a zero point that is itself a quantized value.
//!
//! That real 0 is exact is what the scheme is for: padding with the zero point pads with 0, and a product can skip it.

use crate::{Error, Result};

/// The quantized values in use, from `min` to `max` inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantRange {
    /// The smallest.
    pub min: i32,
    /// The largest.
    pub max: i32,
}

impl QuantRange {
    /// All of `u8`.
    pub const U8: Self = Self { min: 0, max: 255 };
    /// All of `i8`.
    pub const I8: Self = Self { min: -128, max: 127 };
    /// `i8` without −128: negation stays inside, and two products with an `i8` fit 16 bits.
    pub const I8_NARROW: Self = Self { min: -127, max: 127 };
    /// Four bits without sign.
    pub const U4: Self = Self { min: 0, max: 15 };
    /// Four bits with sign.
    pub const I4: Self = Self { min: -8, max: 7 };

    /// The bound within which an `f32` still holds every half, as [`QuantParams::quantize`] needs.
    const BOUND: i32 = 1 << 22;

    fn check(self) -> Result<()> {
        let allowed = -Self::BOUND..=Self::BOUND;
        if self.min < self.max && allowed.contains(&self.min) && allowed.contains(&self.max) {
            return Ok(());
        }
        Err(Error::invalid(
            "range",
            "min below max, both within ±2^22",
            format!("{}..={}", self.min, self.max),
        ))
    }
}

/// A type that stores quantized values: `u8` or `i8`.
pub trait QuantInt: Copy + sealed::Sealed {
    /// Every value of the type.
    const RANGE: QuantRange;

    /// The value, saturating at the ends of the type.
    fn saturating_from(value: i32) -> Self;

    /// The value as an `i32`.
    fn widen(self) -> i32;
}

mod sealed {
    /// Types for which the stored bytes are what the scheme says.
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

macro_rules! quant_int {
    ($type:ty, $range:expr) => {
        impl QuantInt for $type {
            const RANGE: QuantRange = $range;

            #[inline]
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to the type's own range"
            )]
            fn saturating_from(value: i32) -> Self {
                value.clamp(Self::RANGE.min, Self::RANGE.max) as Self
            }

            #[inline]
            fn widen(self) -> i32 {
                i32::from(self)
            }
        }
    };
}

quant_int!(u8, QuantRange::U8);
quant_int!(i8, QuantRange::I8);

/// Scale S and zero point Z of real = S · (quantized − Z).
///
/// # Source
/// gemmlowp, `doc/quantization.md`. The form a · (q + b) is the same with b = −Z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantParams {
    /// The real step from one quantized value to the next; above 0.
    pub scale: f32,
    /// The quantized value of real 0.
    pub zero_point: i32,
}

impl QuantParams {
    /// The parameters that spread `range` over the real interval from `min` to `max`, widened to contain 0.
    ///
    /// S = (max − min) / (range.max − range.min), and Z is range.min − min / S rounded into the range. The rounding
    /// moves the interval by up to half a step, so that 0 is exact. Where `min` and `max` are both 0, S is 1 and Z the
    /// value of the range nearest to 0. S is at least the smallest normal `f32`: narrower intervals are widened.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `min` or `max` is not finite, `min` is above `max`, S is more than an `f32`
    /// holds, or `range` is empty, a single value, or beyond ±2^22.
    ///
    /// # Source
    /// gemmlowp, `doc/quantization_example.cc`, `ChooseQuantizationParams`, for any range; it has no guards.
    /// It takes Z from a scale already rounded to `f32`, which decides ties by that rounding error: Z is 127 there for
    /// −1 to 1. Here Z comes from the exact scale, so that the tie at 127.5 is one and goes to 128.
    ///
    /// # Example
    /// ```
    /// use nnc_gemmlowp::{QuantParams, QuantRange};
    ///
    /// let relu6 = QuantParams::choose(0.0, 6.0, QuantRange::U8)?;
    /// assert_eq!((relu6.scale, relu6.zero_point), (6.0 / 255.0, 0));
    /// let params = QuantParams::choose(-1.0, 2.0, QuantRange::U8)?;
    /// assert_eq!((params.scale, params.zero_point), (3.0 / 255.0, 85));
    /// assert_eq!(params.quantize(0.0, QuantRange::U8), 85);
    /// assert_eq!(params.dequantize(85), 0.0);
    /// # Ok::<(), nnc_gemmlowp::Error>(())
    /// ```
    pub fn choose(min: f32, max: f32, range: QuantRange) -> Result<Self> {
        range.check()?;
        if !min.is_finite() {
            return Err(Error::invalid("min", "a finite number", min));
        }
        if !max.is_finite() || max < min {
            return Err(Error::invalid("max", format!("a finite number, at least min, {min}"), max));
        }
        let (min, max) = (min.min(0.0), max.max(0.0));
        if min == max {
            return Ok(Self { scale: 1.0, zero_point: 0.clamp(range.min, range.max) });
        }
        let exact = (f64::from(max) - f64::from(min)) / f64::from(range.max - range.min);
        let scale = positive(exact);
        if !scale.is_finite() {
            return Err(Error::invalid(
                "max",
                format!("a distance to min, {min}, with a step that f32 holds"),
                max,
            ));
        }
        let zero_point = f64::from(range.min) - f64::from(min) / exact;
        Ok(Self { scale, zero_point: round_into(zero_point, range) })
    }

    /// The parameters with Z = 0 that spread `range` over the real interval from −`abs_max` to `abs_max`.
    ///
    /// S = abs_max / min(−range.min, range.max), so that both ends are inside: abs_max / 127 for `i8`, narrow or not.
    /// Where `abs_max` is 0, S is 1. S is at least the smallest normal `f32`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `abs_max` is negative or not finite, or `range` does not reach to both sides of
    /// 0 or goes beyond ±2^22.
    pub fn symmetric(abs_max: f32, range: QuantRange) -> Result<Self> {
        range.check()?;
        if range.min >= 0 || range.max <= 0 {
            return Err(Error::invalid(
                "range",
                "values on both sides of 0",
                format!("{}..={}", range.min, range.max),
            ));
        }
        if !abs_max.is_finite() || abs_max < 0.0 {
            return Err(Error::invalid("abs_max", "a finite number, 0 or more", abs_max));
        }
        let scale = if abs_max == 0.0 {
            1.0
        } else {
            positive(f64::from(abs_max) / f64::from(range.max.min(-range.min)))
        };
        Ok(Self { scale, zero_point: 0 })
    }

    /// The quantized value nearest to `x`: Z + x / S, clamped to `range`, rounded half away from zero.
    ///
    /// Infinities give the ends of the range. NaN gives the zero point, as real 0 does. Where `x` is inside the interval
    /// that the range stands for, [`dequantize`](Self::dequantize) of the result is within S / 2 of it, up to the
    /// rounding of `f32`.
    ///
    /// # Source
    /// gemmlowp, `doc/quantization_example.cc`, `Quantize`: in `f32`, as there.
    #[inline]
    #[must_use]
    pub fn quantize(&self, x: f32, range: QuantRange) -> i32 {
        let (zero_point, min, max) = (float(self.zero_point), float(range.min), float(range.max));
        let at = zero_point + x / self.scale;
        let at = if at.is_nan() { zero_point } else { at };
        round_half_away(at.max(min).min(max))
    }

    /// The real number S · (`quantized` − Z).
    #[inline]
    #[must_use]
    pub fn dequantize(&self, quantized: i32) -> f32 {
        self.scale * float(quantized.saturating_sub(self.zero_point))
    }

    /// Quantizes each element of `src` to the whole range of `T`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `dst` is longer or shorter than `src`.
    pub fn quantize_into<T: QuantInt>(&self, src: &[f32], dst: &mut [T]) -> Result<()> {
        self.quantize_range_into(src, T::RANGE, dst)
    }

    /// Quantizes each element of `src` to `range`, a part of what `T` holds: four bits, or `i8` without −128.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `dst` is longer or shorter than `src`; [`Error::InvalidArgument`] where `range` is
    /// not within the range of `T`, or not a range.
    pub fn quantize_range_into<T: QuantInt>(
        &self,
        src: &[f32],
        range: QuantRange,
        dst: &mut [T],
    ) -> Result<()> {
        range.check()?;
        if range.min < T::RANGE.min || range.max > T::RANGE.max {
            let (expected, found) = (T::RANGE, range);
            return Err(Error::invalid(
                "range",
                format!("a part of {}..={}", expected.min, expected.max),
                format!("{}..={}", found.min, found.max),
            ));
        }
        same_length(src.len(), dst.len())?;
        for (to, &x) in dst.iter_mut().zip(src) {
            *to = T::saturating_from(self.quantize(x, range));
        }
        Ok(())
    }

    /// The real number of each element of `src`.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `dst` is longer or shorter than `src`.
    pub fn dequantize_into<T: QuantInt>(&self, src: &[T], dst: &mut [f32]) -> Result<()> {
        same_length(src.len(), dst.len())?;
        for (to, &quantized) in dst.iter_mut().zip(src) {
            *to = self.dequantize(quantized.widen());
        }
        Ok(())
    }
}

fn same_length(expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::WrongLength { what: "dst", expected, found }) }
}

/// The scale nearest to `exact`, never so small that a division by it loses its precision.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the nearest f32 is what is asked for; infinity is caught by the caller"
)]
fn positive(exact: f64) -> f32 {
    (exact as f32).max(f32::MIN_POSITIVE)
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to the range first")]
fn round_into(x: f64, range: QuantRange) -> i32 {
    x.round().clamp(f64::from(range.min), f64::from(range.max)) as i32
}

/// `x` rounded, halves away from zero, for |x| ≤ 2^22.
///
/// `f32::round` is a call on processors before SSE 4.1, which is what the compiler has to assume; this is two
/// instructions of a vector. It must add the number just below one half: one half would round 0.49999997 up.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "to drop the fraction is what the cast is for")]
fn round_half_away(x: f32) -> i32 {
    const BELOW_HALF: f32 = 0.5_f32.next_down();
    (x + BELOW_HALF.copysign(x)) as i32
}

#[inline]
#[allow(
    clippy::cast_precision_loss,
    reason = "zero points and ranges are below 2^24; beyond, the nearest f32 is meant"
)]
fn float(x: i32) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::{QuantRange, round_half_away};

    #[test]
    fn the_short_rounding_is_round() {
        let mut x = 0.0_f32;
        while x <= 8.0 {
            for y in [x, x.next_up(), x.next_down().max(0.0)] {
                assert_eq!(f64::from(round_half_away(y)), f64::from(y.round()), "{y}");
                assert_eq!(f64::from(round_half_away(-y)), f64::from((-y).round()), "-{y}");
            }
            x += 1.0 / 64.0;
        }
        let bound = super::float(QuantRange::BOUND);
        for whole in [255.0_f32, 65_535.0, bound - 1.0] {
            for y in [whole, whole + 0.5, (whole + 0.5).next_down(), (whole + 0.5).next_up()] {
                assert_eq!(f64::from(round_half_away(y)), f64::from(y.round()), "{y}");
            }
        }
    }
}
