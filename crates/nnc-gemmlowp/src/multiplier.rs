//! Multiplying an integer by a real number with integers alone: the two roundings of gemmlowp, and multipliers built of them.
//!
//! A real factor M is written as `mantissa / 2^31 · 2^exponent`. The mantissa is multiplied in by a doubling high
//! multiplication, the power of two by a shift that rounds. Each of the two rounds once, and they break ties
//! differently; both are kept as they are, because results that agree with gemmlowp bit for bit depend on it.

use crate::{Error, Result};

/// The rounded quotient `a · b / 2^31`: the product of two fractions in Q0.31.
///
/// Ties go up, towards +∞. The one product that does not fit, `i32::MIN · i32::MIN`, gives `i32::MAX`.
///
/// # Source
/// gemmlowp, `fixedpoint/fixedpoint.h`, `SaturatingRoundingDoublingHighMul`; NEON's `VQRDMULH`.
/// gemmlowp adds a nudge that depends on the sign and truncates; one nudge and a floor give the same numbers.
///
/// # Example
/// ```
/// use nnc_gemmlowp::saturating_rounding_doubling_high_mul;
///
/// let half = 1 << 30;
/// assert_eq!(saturating_rounding_doubling_high_mul(3, half), 2); // 1.5 rounds up
/// assert_eq!(saturating_rounding_doubling_high_mul(-3, half), -1); // so does -1.5
/// ```
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a · b is at most 2^62, so the quotient is at most 2^31, and is capped"
)]
pub fn saturating_rounding_doubling_high_mul(a: i32, b: i32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    ((product + (1 << 30)) >> 31).min(i64::from(i32::MAX)) as i32
}

/// The rounded quotient `a · b / 2^15`: the product of two fractions in Q0.15.
///
/// Ties go up, towards +∞, and `i16::MIN · i16::MIN` gives `i16::MAX`.
///
/// # Source
/// As [`saturating_rounding_doubling_high_mul`], for 16 bits.
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a · b is at most 2^30, so the quotient is at most 2^15, and is capped"
)]
pub fn saturating_rounding_doubling_high_mul_i16(a: i16, b: i16) -> i16 {
    let product = i32::from(a) * i32::from(b);
    ((product + (1 << 14)) >> 15).min(i32::from(i16::MAX)) as i16
}

/// The rounded quotient `x / 2^exponent`.
///
/// Ties go away from zero, unlike in [`saturating_rounding_doubling_high_mul`].
///
/// # Panics
/// Where `exponent` is above 31.
///
/// # Source
/// gemmlowp, `fixedpoint/fixedpoint.h`, `RoundingDivideByPOT`.
///
/// # Example
/// ```
/// use nnc_gemmlowp::rounding_divide_by_pot;
///
/// assert_eq!(rounding_divide_by_pot(5, 1), 3); // 2.5
/// assert_eq!(rounding_divide_by_pot(-5, 1), -3); // -2.5
/// ```
#[inline]
#[must_use]
pub fn rounding_divide_by_pot(x: i32, exponent: u32) -> i32 {
    assert!(exponent <= 31, "a shift by {exponent} bits leaves nothing of an i32");
    shift_right_rounded(x, exponent)
}

/// [`rounding_divide_by_pot`] for callers who know that `exponent` is at most 31.
#[inline]
fn shift_right_rounded(x: i32, exponent: u32) -> i32 {
    debug_assert!(exponent <= 31);
    // The bits shifted out, read as an unsigned number: x = (x >> exponent) · 2^exponent + remainder.
    let mask = (1_u32 << exponent) - 1;
    let remainder = x.cast_unsigned() & mask;
    // The shift has rounded down. One more is nearer above the half; at the half only for positive numbers.
    let threshold = (mask >> 1) + u32::from(x < 0);
    (x >> exponent) + i32::from(remainder > threshold)
}

/// A real factor M ≥ 0 for integers: `mantissa / 2^31 · 2^exponent`.
///
/// This is M = S_l · S_r / S_o of a quantized product, which takes sums in steps of S_l · S_r to outputs in steps of S_o.
///
/// # Source
/// gemmlowp, `public/output_stages.h`, `OutputStageScaleInt32ByFixedPointAndExponent`.
///
/// # Example
/// ```
/// use nnc_gemmlowp::Multiplier;
///
/// let tenth = Multiplier::from_real(0.1)?;
/// assert_eq!((tenth.mantissa(), tenth.exponent()), (1_717_986_918, -3));
/// assert_eq!(tenth.apply(123_456), 12_346);
/// # Ok::<(), nnc_gemmlowp::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier {
    mantissa: i32,
    exponent: i32,
}

impl Multiplier {
    /// The factor `mantissa / 2^31 · 2^exponent`, with mantissa ≥ 0 and −31 ≤ exponent ≤ 30.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where one of them is outside its range.
    pub fn new(mantissa: i32, exponent: i32) -> Result<Self> {
        if mantissa < 0 {
            return Err(Error::invalid("mantissa", "0 or more", mantissa));
        }
        if !(-31..=30).contains(&exponent) {
            return Err(Error::invalid("exponent", "-31 to 30", exponent));
        }
        Ok(Self { mantissa, exponent })
    }

    /// The factor nearest to `real`, with a mantissa in `2^30..2^31`.
    ///
    /// Its relative error is at most 2^-31. Factors below 2^-32 become 0, and exactly so: no `i32` times one of
    /// them reaches one half.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `real` is negative, not finite, or so large that it rounds to 2^30 or more.
    pub fn from_real(real: f64) -> Result<Self> {
        const TOO_SMALL: f64 = 1.0 / 8_589_934_592.0; // 2^-33: what lies below cannot round up to 2^-32
        const TOO_LARGE: f64 = 1_073_741_824.0; // 2^30
        if !(0.0..TOO_LARGE).contains(&real) {
            return Err(Error::invalid("real", "a number from 0 to below 2^30", real));
        }
        if real < TOO_SMALL {
            return Self::new(0, 0);
        }
        let (fraction, exponent) = normalized(real);
        let rounded = (fraction * 2_147_483_648.0).round();
        if rounded == 2_147_483_648.0 {
            return Self::near(1 << 30, exponent + 1, real);
        }
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^31")]
        Self::near(rounded as i32, exponent, real)
    }

    /// The factor that `real` has become, or 0 where that is less than half of anything.
    fn near(mantissa: i32, exponent: i32, real: f64) -> Result<Self> {
        match exponent {
            ..=-32 => Self::new(0, 0),
            -31..=30 => Self::new(mantissa, exponent),
            31.. => Err(Error::invalid("real", "a number that rounds to less than 2^30", real)),
        }
    }

    /// The factor nearest to `real`, which must be, and round to, less than 1.
    ///
    /// The right shift that gemmlowp returns is `-exponent()`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `real` is not above 0, not below 1, or so close to 1 that 31 bits cannot tell.
    ///
    /// # Source
    /// gemmlowp, `doc/quantization_example.cc`, `QuantizeMultiplierSmallerThanOne`. It counts shifts without end;
    /// here factors below 2^-32 become 0, as in [`Multiplier::from_real`].
    pub fn smaller_than_one(real: f64) -> Result<Self> {
        let expected = "a number above 0 that rounds to less than 1";
        if real <= 0.0 {
            return Err(Error::invalid("real", expected, real));
        }
        match Self::from_real(real) {
            Ok(multiplier) if multiplier.exponent <= 0 => Ok(multiplier),
            _ => Err(Error::invalid("real", expected, real)),
        }
    }

    /// The mantissa, in units of 2^-31.
    #[inline]
    #[must_use]
    pub fn mantissa(self) -> i32 {
        self.mantissa
    }

    /// The power of two beside the mantissa, −31 to 30.
    #[inline]
    #[must_use]
    pub fn exponent(self) -> i32 {
        self.exponent
    }

    /// The factor as a real number, exactly.
    #[must_use]
    pub fn real(self) -> f64 {
        f64::from(self.mantissa) / 2_147_483_648.0 * f64::from(self.exponent).exp2()
    }

    /// The rounded product of `x` and this factor.
    ///
    /// A positive exponent shifts `x` left first, and bits that leave at the top are lost, as in gemmlowp.
    #[inline]
    #[must_use]
    pub fn apply(self, x: i32) -> i32 {
        let shifted = x.wrapping_shl(self.exponent.max(0).cast_unsigned());
        let product = saturating_rounding_doubling_high_mul(shifted, self.mantissa);
        shift_right_rounded(product, (-self.exponent).max(0).cast_unsigned())
    }
}

/// `real > 0` as a fraction in `[1/2, 1)` and a power of two.
fn normalized(real: f64) -> (f64, i32) {
    let (mut fraction, mut exponent) = (real, 0);
    while fraction < 0.5 {
        fraction *= 2.0;
        exponent -= 1;
    }
    while fraction >= 1.0 {
        fraction *= 0.5;
        exponent += 1;
    }
    (fraction, exponent)
}
