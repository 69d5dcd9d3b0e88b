//! Exponential, logistic function and hyperbolic tangent on integers, bit-exact with gemmlowp.
//!
//! A format Qm.n is an `i32` with m integer bits, n = 31 − m fractional bits and a sign: `raw` stands for
//! `raw / 2^n`, which lies in `[−2^m, 2^m)`. Arguments come in Qm.n, with m as the const parameter `M`; results are
//! fractions in Q0.31, where 1 is the largest number there is, `i32::MAX`.
//!
//! Everything rests on two operations. A product of Qa and Qb is
//! [`saturating_rounding_doubling_high_mul`](crate::saturating_rounding_doubling_high_mul) of the raw
//! numbers, in Q(a + b). Going from Qa to Qb is a shift by a − b bits that saturates to the left and rounds to the right.
//!
//! # Source
//! gemmlowp, `fixedpoint/fixedpoint.h` and `internal/output.h` (`OutputStageTanh`).
//!
//! # Example
//! ```
//! use nnc_gemmlowp::fixedpoint;
//!
//! let one = 1 << 28; // in Q3.28
//! assert_eq!(fixedpoint::tanh::<3>(one), 1_635_510_876); // 0.76159...
//! assert_eq!(fixedpoint::logistic::<3>(one), 1_569_936_226); // 0.73105...
//! assert_eq!(fixedpoint::exp_on_negative_values::<3>(-one), 790_015_308); // 0.36787...
//! ```

use crate::multiplier::{rounding_divide_by_pot, saturating_rounding_doubling_high_mul as mul};

/// e^-1/8 in Q0.31, the value in the middle of the interval on which the exponential is a polynomial.
const EXP_MINUS_EIGHTH: i32 = 1_895_147_668;
/// 1/3 in Q0.31.
const THIRD: i32 = 715_827_883;
/// e^-2^k in Q0.31 for k from −2 to 4: the factors of which every other value is composed.
const EXP_MINUS_POT: [i32; 7] =
    [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
/// 48/17 in Q2.29.
const NEWTON_CONSTANT: i32 = 1_515_870_810;
/// −32/17 in Q2.29.
const NEWTON_SLOPE: i32 = -1_010_580_540;
/// 1 in Q2.29.
const ONE_Q2: i32 = 1 << 29;

/// e^a for a ≤ 0: from `a` in QM to Q0.31, for M from 0 to 29.
///
/// Off by at most 3e-7 of the value plus 2e-9. Positive arguments give `i32::MAX`, as 0 does: the result ends there.
///
/// Why it works: a is split into a rest in `[−1/4, 0)`, for which a polynomial is enough, and a sum of the powers of
/// two from 1/4 to 16, of which each that is present multiplies in one constant. Below −32 nothing is left.
#[must_use]
pub fn exp_on_negative_values<const M: u32>(a: i32) -> i32 {
    const { assert!(M <= 29, "1/4 needs two fractional bits") };
    exp_with(a, M)
}

/// [`exp_on_negative_values`] with `integer_bits` as an argument.
#[inline]
fn exp_with(a: i32, integer_bits: u32) -> i32 {
    if a >= 0 {
        return i32::MAX;
    }
    if integer_bits > 5 && i64::from(a) < -(1_i64 << (36 - integer_bits)) {
        return 0;
    }
    let quarter_bit = 29 - integer_bits;
    let rest = (a & ((1 << quarter_bit) - 1)) - (1 << quarter_bit);
    let powers = rest - a;
    let mut result = exp_near_minus_eighth(shl_saturating(rest, integer_bits));
    for (factor, bit) in EXP_MINUS_POT.into_iter().zip(quarter_bit..31) {
        if powers & (1 << bit) != 0 {
            result = mul(result, factor);
        }
    }
    result
}

/// e^a for a in `[−1/4, 0)`, both in Q0.31.
///
/// The Taylor polynomial of degree 4 around −1/8: e^-1/8 · (1 + x + x²/2 + x³/6 + x⁴/24) with x = a + 1/8, whose last
/// three terms are ((x⁴/4 + x³)/3 + x²)/2. The 1 is not in Q0.31, and is why the constant is added outside.
fn exp_near_minus_eighth(a: i32) -> i32 {
    let x = a + (1 << 28);
    let x2 = mul(x, x);
    let x3 = mul(x2, x);
    let x4 = mul(x2, x2);
    let last_two = mul(rounding_divide_by_pot(x4, 2) + x3, THIRD);
    let last_three = rounding_divide_by_pot(last_two + x2, 1);
    EXP_MINUS_EIGHTH + mul(EXP_MINUS_EIGHTH, x + last_three)
}

/// 1 / (1 + x) for x in `[0, 1)`, from Q0.31 to Q0.31; negative x count as 0.
///
/// Off by at most 4e-9.
#[must_use]
pub fn one_over_one_plus_x(x: i32) -> i32 {
    // Halving is a change of format, from Q2 to Q1; one more bit to the left makes it Q0.
    shl_saturating(two_over_one_plus_x(x), 1)
}

/// (1 − x) / (1 + x) for x in `[0, 1)`, from Q0.31 to Q0.31; negative x count as 0.
///
/// Computed as 2 / (1 + x) − 1. Off by at most 8e-9, so that it may fall just below 0 where x is just below 1.
#[must_use]
pub fn one_minus_x_over_one_plus_x(x: i32) -> i32 {
    shl_saturating(two_over_one_plus_x(x) - ONE_Q2, 2)
}

/// 2 / (1 + x) for x in `[0, 1)`, from Q0.31 to Q2.29, by Newton's method.
///
/// With d = (1 + x)/2 in `[1/2, 1)`, each step y ← y + y·(1 − d·y) squares the relative error of y = 1/d.
/// The line 48/17 − 32/17·d starts within 1/17, the best a line can do; after three steps that is 1/17^8 = 1.4e-10.
fn two_over_one_plus_x(x: i32) -> i32 {
    // Half the sum of x and i32::MAX, which stands for 1, rounded up: 2^30 + floor(x / 2).
    let d = (1 << 30) + x.max(0) / 2;
    let mut y = NEWTON_CONSTANT + mul(d, NEWTON_SLOPE);
    for _ in 0..3 {
        let error = ONE_Q2 - mul(d, y);
        y += shl_saturating(mul(y, error), 2);
    }
    y
}

/// tanh a: from `a` in QM to Q0.31, for M from 0 to 28.
///
/// Off by at most 1.5e-7. Odd in all bits but for `i32::MIN`, which has no counterpart.
///
/// Computed as (1 − e) / (1 + e) with e = exp(−2|a|); doubling is a change of format, from QM to Q(M + 1).
#[must_use]
pub fn tanh<const M: u32>(a: i32) -> i32 {
    const { assert!(M <= 28, "the doubled argument still needs two fractional bits") };
    let magnitude = one_minus_x_over_one_plus_x(exp_with(negative_magnitude(a), M + 1));
    match a.signum() {
        0 => 0,
        1 => magnitude,
        _ => -magnitude,
    }
}

/// 1 / (1 + e^-a): from `a` in QM to Q0.31, for M from 0 to 29.
///
/// Off by at most 8e-8. logistic(0) is 2^30, one half; logistic(−a) is `i32::MAX` − logistic(a).
#[must_use]
pub fn logistic<const M: u32>(a: i32) -> i32 {
    let above_half = one_over_one_plus_x(exp_on_negative_values::<M>(negative_magnitude(a)));
    match a.signum() {
        0 => 1 << 30,
        1 => above_half,
        _ => i32::MAX - above_half,
    }
}

/// The tanh stage of an output pipeline: `zero_point + amplitude · tanh((x − zero_point) / amplitude)`, for amplitude ≥ 1.
///
/// From 8 amplitudes on the result is `zero_point ± amplitude`. Nearer to zero it is off by at most 2, and the error
/// of [`tanh`] times the amplitude: one step because the input is divided before the bits are moved to the left, one
/// because the result is rounded down.
///
/// # Source
/// gemmlowp, `internal/output.h`, `OutputStageTanh`. Where its arithmetic overflows, which C++ leaves undefined, this
/// saturates: sums that leave `i32`, amplitudes above 2^28, and, where the amplitude is a power of two, the last
/// input below the upper cutoff, which a wrapping shift would send to the negative end.
pub(crate) fn tanh_stage(x: i32, zero_point: i32, amplitude: i32) -> i32 {
    let from_zero = i64::from(x) - i64::from(zero_point);
    let cutoff = 8 * i64::from(amplitude);
    if from_zero <= -cutoff {
        return zero_point.saturating_sub(amplitude);
    }
    if from_zero >= cutoff {
        return zero_point.saturating_add(amplitude);
    }
    let (inverse, inverse_shift) = inverse_amplitude(amplitude);
    let quotient = mul(x.saturating_sub(zero_point), inverse);
    let argument = match 28_u32.checked_sub(inverse_shift) {
        Some(left) => shl_saturating(quotient, left),
        None => rounding_divide_by_pot(quotient, inverse_shift - 28),
    };
    // amplitude = normalized / 2^31 · 2^(bits), so what is left of the product has 31 − bits bits too many.
    let n_bits = 32 - amplitude.leading_zeros();
    let normalized = amplitude << (31 - n_bits);
    zero_point.saturating_add(mul(tanh::<3>(argument), normalized) >> (31 - n_bits))
}

/// 1 / `amplitude` as a Q0.31 fraction of at least one half and the right shift beside it.
fn inverse_amplitude(amplitude: i32) -> (i32, u32) {
    let (mut inverse, mut shift) = (1.0 / f64::from(amplitude), 0);
    while inverse < 0.5 {
        inverse *= 2.0;
        shift += 1;
    }
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates, which is how 1 becomes i32::MAX")]
    let raw = (inverse * 2_147_483_648.0).round() as i32;
    (raw, shift)
}

/// −|a|, which unlike |a| always fits.
fn negative_magnitude(a: i32) -> i32 {
    if a > 0 { -a } else { a }
}

/// `x · 2^shift`, or the end of `i32` on its side.
fn shl_saturating(x: i32, shift: u32) -> i32 {
    let wide = i64::from(x) << shift;
    i32::try_from(wide).unwrap_or(if x < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::tanh_stage;

    /// The stage in real numbers.
    fn exact(x: i32, zero_point: i32, amplitude: i32) -> f64 {
        let (zero_point, amplitude) = (f64::from(zero_point), f64::from(amplitude));
        zero_point + amplitude * ((f64::from(x) - zero_point) / amplitude).tanh()
    }

    /// The error that the documentation grants.
    fn allowed(amplitude: i32) -> f64 {
        2.0 + 1.5e-7 * f64::from(amplitude)
    }

    #[test]
    fn the_tanh_stage_is_within_two_steps() {
        for amplitude in (1..600).chain([1023, 1024, 1025, 65_535, 65_536, 1 << 20]) {
            for zero_point in [-300, 0, 127] {
                let near = (-20..=20).flat_map(|i| [i, amplitude / 2 * i / 10, amplitude * i / 2]);
                for from_zero in near.chain([8 * amplitude - 1, 8 * amplitude, 1 - 8 * amplitude]) {
                    let x = zero_point + from_zero;
                    let error =
                        f64::from(tanh_stage(x, zero_point, amplitude)) - exact(x, zero_point, amplitude);
                    assert!(
                        error.abs() <= allowed(amplitude),
                        "{x} {zero_point} {amplitude}: off by {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_tanh_stage_keeps_zero_and_ends_at_the_amplitude() {
        for (zero_point, amplitude) in [(128, 127), (0, 1), (-5, 64), (7, 3000)] {
            assert_eq!(tanh_stage(zero_point, zero_point, amplitude), zero_point);
            let cutoff = 8 * amplitude;
            for x in [zero_point + cutoff, i32::MAX] {
                assert_eq!(tanh_stage(x, zero_point, amplitude), zero_point + amplitude);
            }
            for x in [zero_point - cutoff, i32::MIN + 8] {
                assert_eq!(tanh_stage(x, zero_point, amplitude), zero_point - amplitude);
            }
        }
    }

    #[test]
    fn the_tanh_stage_has_an_answer_for_every_input() {
        let edges = [i32::MIN, i32::MIN + 1, -(1 << 29), -1, 0, 1, 1 << 28, (1 << 29) + 1, i32::MAX];
        for x in edges {
            for zero_point in edges {
                for amplitude in edges.into_iter().filter(|&amplitude| amplitude > 0) {
                    let out = f64::from(tanh_stage(x, zero_point, amplitude));
                    let ends = f64::from(i32::MIN)..=f64::from(i32::MAX);
                    let expected = exact(x, zero_point, amplitude).clamp(*ends.start(), *ends.end());
                    // Beyond 2^31 the difference saturates.
                    if (f64::from(x) - f64::from(zero_point)).abs() < 2_147_483_648.0 {
                        assert!(
                            (out - expected).abs() <= allowed(amplitude),
                            "{x} {zero_point} {amplitude}: {out}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_tanh_stage_is_gemmlowps_to_the_bit() {
        // From a transcription of OutputStageTanh to Python integers, with its doubles and its shift that wraps.
        let cases = [
            (130, 128, 127, 129),
            (200, 128, 127, 192),
            (0, 128, 127, 30),
            (255, 128, 127, 224),
            (1_100, 128, 127, 254),
            (-887, 128, 127, 1),
            (5, 0, 3, 2),
            (-5, 0, 3, -3),
            (1, 0, 1, 0),
            (-1, 0, 1, -1),
            (400, -7, 100, 92),
            (90_000, 11, 65_536, 57_643),
            (-123_456, 0, 99_999, -84_390),
            (130, 98, 4, 102),
            (66, 2, 64, 50),
            (-62, 2, 64, -47),
        ];
        for (x, zero_point, amplitude, expected) in cases {
            assert_eq!(tanh_stage(x, zero_point, amplitude), expected, "{x} {zero_point} {amplitude}");
        }
    }

    #[test]
    fn the_last_input_below_the_cutoff_does_not_change_sign() {
        // 31/4 rounds to 8 once it is an integer, and 8 in Q3.28 is one too large; gemmlowp's shift makes it -8.
        assert_eq!(tanh_stage(98 + 31, 98, 4), 101);
    }
}
