//! Functions on fixed-point numbers: gemmlowp's values, and how far they are from the real functions.

use nnc_gemmlowp::fixedpoint::{
    exp_on_negative_values, logistic, one_minus_x_over_one_plus_x, one_over_one_plus_x, tanh,
};
use proptest::prelude::*;

use crate::golden;
use crate::multiplier::any_i32;

/// The largest errors, which the documentation states.
const EXP_ERROR: f64 = 2e-9;
const EXP_RELATIVE_ERROR: f64 = 3e-7;
const TANH_ERROR: f64 = 1.5e-7;
const LOGISTIC_ERROR: f64 = 8e-8;
const RECIPROCAL_ERROR: f64 = 4e-9;
const QUOTIENT_ERROR: f64 = 8e-9;

/// The number that `raw` stands for with `M` integer bits.
fn real<const M: u32>(raw: i32) -> f64 {
    f64::from(raw) / f64::from(31 - M).exp2()
}

/// `x` with three integer bits.
fn q3(x: f64) -> i32 {
    (x * f64::from(1 << 28)) as i32
}

#[test]
fn values_are_gemmlowps() {
    check_golden("tanh_q3", tanh::<3>);
    check_golden("logistic_q3", logistic::<3>);
    check_golden("exp_on_negative_values_q3", exp_on_negative_values::<3>);
    check_golden("one_over_one_plus_x_for_x_in_0_1", one_over_one_plus_x);
}

fn check_golden(key: &str, function: fn(i32) -> i32) {
    for [raw, expected] in golden::rows::<2>(key, 60) {
        assert_eq!(function(raw), expected, "{key} of {raw}");
    }
}

#[test]
fn values_are_the_sheets() {
    for (x, expected) in [
        (0.25, 525_958_532),
        (0.5, 992_388_804),
        (1.0, 1_635_510_876),
        (2.0, 2_070_233_436),
        (-1.0, -1_635_510_876),
        (0.0, 0),
    ] {
        assert_eq!(tanh::<3>(q3(x)), expected, "tanh {x}");
    }
    for (x, expected) in [(1.0, 1_569_936_226), (-1.0, 577_547_421), (0.0, 1 << 30)] {
        assert_eq!(logistic::<3>(q3(x)), expected, "logistic {x}");
    }
    for (x, expected) in
        [(-0.25, 1_672_462_419), (-1.0, 790_015_308), (-2.5, 176_276_242), (-7.0, 1_958_252), (0.0, i32::MAX)]
    {
        assert_eq!(exp_on_negative_values::<3>(q3(x)), expected, "exp {x}");
    }
}

#[test]
fn the_largest_error_of_tanh_on_a_grid_is_the_sheets() {
    let largest = (0..=4000)
        .map(|i| -7.9 + 15.8 * f64::from(i) / 4000.0)
        .map(|x| (real::<0>(tanh::<3>(q3(x))) - x.tanh()).abs())
        .fold(0.0, f64::max);
    assert!((largest - 1.23e-7).abs() < 0.01e-7, "{largest:e}");
}

#[test]
fn exponentials_below_minus_32_are_zero() {
    let minus_32 = -(32 << (31 - 6));
    assert_eq!(exp_on_negative_values::<6>(minus_32 - 1), 0);
    assert_eq!(exp_on_negative_values::<6>(minus_32), 0);
    assert_eq!(exp_on_negative_values::<29>(i32::MIN), 0);
    assert!(exp_on_negative_values::<6>(minus_32 / 2) > 0);
}

#[test]
fn arguments_outside_the_domain_count_as_its_end() {
    assert_eq!(exp_on_negative_values::<3>(1), i32::MAX);
    assert_eq!(one_over_one_plus_x(-1), one_over_one_plus_x(0));
    assert_eq!(one_minus_x_over_one_plus_x(i32::MIN), one_minus_x_over_one_plus_x(0));
}

/// Every law of one format, at `a`.
fn check<const M: u32>(a: i32) {
    let (exact, below) = (real::<M>(a), if a > 0 { -a } else { a });
    let exp = real::<M>(below).exp();
    let error = (real::<0>(exp_on_negative_values::<M>(below)) - exp).abs();
    assert!(error <= EXP_ERROR + EXP_RELATIVE_ERROR * exp, "exp in Q{M} of {below}: {error:e}");
    let error = (real::<0>(logistic::<M>(a)) - 1.0 / (1.0 + (-exact).exp())).abs();
    assert!(error <= LOGISTIC_ERROR, "logistic in Q{M} of {a}: {error:e}");
    if a > i32::MIN {
        assert_eq!(
            i64::from(logistic::<M>(-a)),
            (1_i64 << 31) - i64::from(a != 0) - i64::from(logistic::<M>(a))
        );
    }
}

/// Those of tanh, which has one format fewer.
fn check_tanh<const M: u32>(a: i32) {
    let error = (real::<0>(tanh::<M>(a)) - real::<M>(a).tanh()).abs();
    assert!(error <= TANH_ERROR, "tanh in Q{M} of {a}: {error:e}");
    if a > i32::MIN {
        assert_eq!(tanh::<M>(-a), -tanh::<M>(a));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn functions_are_near_the_real_ones_in_every_format(a in any_i32()) {
        check::<0>(a);
        check::<1>(a);
        check::<3>(a);
        check::<5>(a);
        check::<6>(a);
        check::<12>(a);
        check::<29>(a);
        check_tanh::<0>(a);
        check_tanh::<2>(a);
        check_tanh::<3>(a);
        check_tanh::<4>(a);
        check_tanh::<5>(a);
        check_tanh::<28>(a);
    }

    #[test]
    fn quotients_are_near_the_real_ones(x in 0..=i32::MAX) {
        let exact = real::<0>(x);
        let error = (real::<0>(one_over_one_plus_x(x)) - 1.0 / (1.0 + exact)).abs();
        prop_assert!(error <= RECIPROCAL_ERROR, "{:e}", error);
        let error = (real::<0>(one_minus_x_over_one_plus_x(x)) - (1.0 - exact) / (1.0 + exact)).abs();
        prop_assert!(error <= QUOTIENT_ERROR, "{:e}", error);
    }
}
