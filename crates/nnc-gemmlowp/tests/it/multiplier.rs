//! The two roundings against exact arithmetic, and the multipliers built of them.

use nnc_gemmlowp::{
    Error, Multiplier, rounding_divide_by_pot as rdbp, saturating_rounding_doubling_high_mul as srdhm,
    saturating_rounding_doubling_high_mul_i16 as srdhm_i16,
};
use proptest::prelude::*;

use crate::golden;

const EDGES: [i32; 9] = [i32::MIN, i32::MIN + 1, -(1 << 30), -1, 0, 1, 1 << 30, i32::MAX - 1, i32::MAX];

/// Integers of every size, edges often.
pub(crate) fn any_i32() -> impl Strategy<Value = i32> {
    prop_oneof![
        any::<i32>(),
        (any::<i32>(), 0_u32..32).prop_map(|(x, s)| x >> s),
        proptest::sample::select(&EDGES[..])
    ]
}

/// gemmlowp's own form: a nudge by the sign, a division that truncates.
fn srdhm_exact(a: i32, b: i32) -> i32 {
    let product = i128::from(a) * i128::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1 << 31)).min(i128::from(i32::MAX)) as i32
}

/// x / 2^exponent as a fraction, rounded half away from zero.
fn rdbp_exact(x: i32, exponent: u32) -> i32 {
    let (x, divisor) = (i128::from(x), 1_i128 << exponent);
    let magnitude = (2 * x.abs() + divisor) / (2 * divisor);
    (x.signum() * magnitude) as i32
}

#[test]
fn high_products_are_gemmlowps() {
    for [a, b, expected] in golden::rows::<3>("srdhm", 40) {
        assert_eq!(srdhm(a, b), expected, "{a} {b}");
    }
}

#[test]
fn rounding_shifts_are_gemmlowps() {
    for [x, exponent, expected] in golden::rows::<3>("rdbp", 40) {
        assert_eq!(rdbp(x, exponent.cast_unsigned()), expected, "{x} {exponent}");
    }
}

#[test]
fn high_products_round_half_up() {
    let half = 1 << 30;
    let cases = [
        (i32::MIN, i32::MIN, 2_147_483_647),
        (half, half, 536_870_912),
        (1, half, 1),
        (3, half, 2),
        (-1, half, 0),
        (-3, half, -1),
        (1000, 1_518_500_250, 707),
        (-1000, 1_518_500_250, -707),
        (123_456, 1_717_986_918, 98_765),
    ];
    for (a, b, expected) in cases {
        assert_eq!(srdhm(a, b), expected, "{a} {b}");
        assert_eq!(srdhm(b, a), expected, "{b} {a}");
    }
    let half = 1 << 14;
    for (a, b, expected) in
        [(i16::MIN, i16::MIN, 32_767), (1, half, 1), (3, half, 2), (-1, half, 0), (-3, half, -1)]
    {
        assert_eq!(srdhm_i16(a, b), expected, "{a} {b}");
    }
}

#[test]
fn rounding_shifts_round_half_away_from_zero() {
    let cases = [
        (5, 1, 3),
        (-5, 1, -3),
        (6, 2, 2),
        (-6, 2, -2),
        (2, 2, 1),
        (-2, 2, -1),
        (127, 8, 0),
        (128, 8, 1),
        (-128, 8, -1),
        (-129, 8, -1),
        (i32::MIN, 31, -1),
        (i32::MAX, 31, 1),
        (-1, 0, -1),
    ];
    for (x, exponent, expected) in cases {
        assert_eq!(rdbp(x, exponent), expected, "{x} {exponent}");
    }
}

#[test]
#[should_panic(expected = "a shift by 32 bits leaves nothing")]
fn a_shift_by_the_whole_width_is_a_bug_of_the_caller() {
    let _ = rdbp(1, 32);
}

#[test]
fn factors_below_one_become_mantissa_and_shift() {
    let cases = [
        (0.5, 1_073_741_824, 0),
        (0.25, 1_073_741_824, 1),
        (0.75, 1_610_612_736, 0),
        (0.1, 1_717_986_918, 3),
        (0.0003, 1_319_413_953, 11),
    ];
    for (real, mantissa, right_shift) in cases {
        let multiplier = Multiplier::smaller_than_one(real).unwrap();
        assert_eq!((multiplier.mantissa(), -multiplier.exponent()), (mantissa, right_shift), "{real}");
        assert_eq!(Multiplier::from_real(real).unwrap(), multiplier);
    }
}

#[test]
fn the_factor_of_the_worked_product_is_the_sheets() {
    // L [2×3] · R [3×2]: S_l = S_r = 5/255, S_o = 4.5/255.
    let multiplier = Multiplier::smaller_than_one(5.0 / 255.0 * 5.0 / 4.5).unwrap();
    assert_eq!((multiplier.mantissa(), multiplier.exponent()), (1_497_156_356, -5));
    let out = [1224, -5151, 6579, 1377].map(|acc| (multiplier.apply(acc) + 113).clamp(0, 255));
    assert_eq!(out, [140, 1, 255, 143]);
}

#[test]
fn factors_that_round_to_one_need_the_exponent() {
    let close = 0.999_999_999_9;
    assert!(Multiplier::smaller_than_one(close).is_err());
    let multiplier = Multiplier::from_real(close).unwrap();
    assert_eq!((multiplier.mantissa(), multiplier.exponent()), (1 << 30, 1));
    assert_eq!(multiplier.apply(12_345), 12_345);
}

#[test]
fn the_ends_of_the_exponent_are_representable() {
    let cases = [
        (0.0, 0, 0),
        (-0.0, 0, 0),
        (f64::MIN_POSITIVE / 2.0, 0, 0),
        (2_f64.powi(-32), 1 << 30, -31),
        (2_f64.powi(-32).next_down(), 1 << 30, -31),
        (2_f64.powi(-32) * 0.999, 0, 0),
        (2_f64.powi(-33), 0, 0),
        (1.0, 1 << 30, 1),
        (2_f64.powi(29), 1 << 30, 30),
        (2_f64.powi(30) * 0.999_999_999, 2_147_483_646, 30),
    ];
    for (real, mantissa, exponent) in cases {
        let multiplier = Multiplier::from_real(real).unwrap();
        assert_eq!((multiplier.mantissa(), multiplier.exponent()), (mantissa, exponent), "{real}");
    }
}

#[test]
fn factors_that_are_none_are_refused() {
    for real in [-1.0, -1e-300, f64::NAN, f64::INFINITY, 2_f64.powi(30), 2_f64.powi(30).next_down(), f64::MAX]
    {
        let error = Multiplier::from_real(real).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { what: "real", .. }), "{real}: {error}");
    }
    for real in [0.0, -0.5, 1.0, 1.5, f64::NAN] {
        assert!(Multiplier::smaller_than_one(real).is_err(), "{real}");
    }
    assert!(Multiplier::new(-1, 0).is_err());
    assert!(Multiplier::new(1, 31).is_err());
    assert!(Multiplier::new(1, -32).is_err());
    assert!(Multiplier::new(i32::MAX, 30).is_ok() && Multiplier::new(0, -31).is_ok());
}

#[test]
fn a_left_shift_loses_the_bits_above() {
    let four = Multiplier::from_real(4.0).unwrap();
    assert_eq!(four.exponent(), 3);
    assert_eq!(four.apply(1000), 4000);
    // 2^28 · 8 = 2^31 wraps to −2^31, of which the mantissa takes half.
    assert_eq!(four.apply(1 << 28), -(1 << 30));
}

proptest! {
    #[test]
    fn high_products_agree_with_wide_arithmetic(a in any_i32(), b in any_i32()) {
        prop_assert_eq!(srdhm(a, b), srdhm_exact(a, b));
    }

    #[test]
    fn short_high_products_agree_with_wide_arithmetic(a in any::<i16>(), b in any::<i16>()) {
        let product = i64::from(a) * i64::from(b);
        let nudge = if product >= 0 { 1 << 14 } else { 1 - (1 << 14) };
        let expected = ((product + nudge) / (1 << 15)).min(32_767);
        prop_assert_eq!(i64::from(srdhm_i16(a, b)), expected);
    }

    #[test]
    fn rounding_shifts_agree_with_exact_fractions(x in any_i32(), exponent in 0_u32..=31) {
        prop_assert_eq!(rdbp(x, exponent), rdbp_exact(x, exponent));
    }

    #[test]
    fn requantizing_keeps_the_order(a in any_i32(), b in any_i32(), mantissa in 0..=i32::MAX, exponent in -31_i32..=0) {
        let multiplier = Multiplier::new(mantissa, exponent).unwrap();
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(multiplier.apply(low) <= multiplier.apply(high));
    }

    #[test]
    fn products_are_within_one_of_the_real_ones(x in any_i32(), mantissa in 1 << 30..=i32::MAX, exponent in -31_i32..=30) {
        let x = x >> exponent.max(0);
        let multiplier = Multiplier::new(mantissa, exponent).unwrap();
        let exact = f64::from(x) * multiplier.real();
        // Half a unit from each of the two roundings; the first is halved by any right shift.
        prop_assert!((f64::from(multiplier.apply(x)) - exact).abs() <= 1.0);
    }

    #[test]
    fn multipliers_are_the_nearest(log2 in -32.0..29.99_f64) {
        let real = log2.exp2();
        let multiplier = Multiplier::from_real(real).unwrap();
        prop_assert!((multiplier.real() / real - 1.0).abs() <= 2_f64.powi(-31));
        prop_assert_eq!(Multiplier::from_real(multiplier.real()).unwrap(), multiplier);
    }

    #[test]
    fn what_becomes_zero_would_round_to_zero(x in any_i32(), log2 in -80.0..-32.01_f64) {
        prop_assert_eq!(Multiplier::from_real(log2.exp2()).unwrap().apply(x), 0);
        prop_assert!((f64::from(x) * log2.exp2()).abs() < 0.5);
    }
}
