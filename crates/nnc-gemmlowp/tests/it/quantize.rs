//! The affine scheme: chosen parameters, exact zero, half a step of error, and what happens to NaN.

use nnc_gemmlowp::{Error, QuantInt, QuantParams, QuantRange};
use proptest::prelude::*;

const RANGES: [QuantRange; 5] =
    [QuantRange::U8, QuantRange::I8, QuantRange::I8_NARROW, QuantRange::U4, QuantRange::I4];

#[test]
fn chosen_parameters_are_the_sheets() {
    let cases = [
        (0.0, 6.0, 6.0 / 255.0, 0),
        (-1.0, 1.0, 2.0 / 255.0, 128),
        (-1.0, 2.0, 3.0 / 255.0, 85),
        (-3.0, 0.0, 3.0 / 255.0, 255),
        (0.5, 2.0, 2.0 / 255.0, 0),
        (-0.1, 25.4, 0.1, 1),
        (-10.0, 10.0, 20.0 / 255.0, 128),
        (-2.0, 3.0, 5.0 / 255.0, 102),
        (-1.0, 4.0, 5.0 / 255.0, 51),
        (-2.0, 2.5, 4.5 / 255.0, 113),
        (0.0, 0.0, 1.0, 0),
    ];
    for (min, max, scale, zero_point) in cases {
        let params = QuantParams::choose(min, max, QuantRange::U8).unwrap();
        assert_eq!(params, QuantParams { scale, zero_point }, "{min} to {max}");
    }
}

#[test]
fn the_operands_of_the_worked_product_quantize_as_in_the_sheet() {
    let (mut lhs, mut rhs) = ([0_u8; 6], [0_u8; 6]);
    let params = QuantParams::choose(-2.0, 3.0, QuantRange::U8).unwrap();
    params.quantize_into(&[1.0, -2.0, 0.5, 0.0, 3.0, -1.0], &mut lhs).unwrap();
    let params = QuantParams::choose(-1.0, 4.0, QuantRange::U8).unwrap();
    params.quantize_into(&[2.0, -1.0, 0.5, 1.5, -1.0, 4.0], &mut rhs).unwrap();
    assert_eq!((lhs, rhs), ([153, 0, 128, 102, 255, 51], [153, 0, 77, 128, 0, 255]));
    let params = QuantParams::choose(-2.0, 2.5, QuantRange::U8).unwrap();
    let mut out = [0.0; 4];
    params.dequantize_into(&[140_u8, 1, 255, 143], &mut out).unwrap();
    for (found, expected) in out.into_iter().zip([0.4765, -1.9765, 2.5059, 0.5294]) {
        assert!((found - expected).abs() < 5e-5, "{found} {expected}");
    }
}

#[test]
fn symmetric_parameters_reach_the_shorter_side() {
    let cases = [(QuantRange::I8, 127.0), (QuantRange::I8_NARROW, 127.0), (QuantRange::I4, 7.0)];
    for (range, steps) in cases {
        let params = QuantParams::symmetric(2.5, range).unwrap();
        assert_eq!(params, QuantParams { scale: 2.5 / steps, zero_point: 0 });
        assert_eq!(params.quantize(2.5, range), steps as i32);
        assert_eq!(params.quantize(-2.5, range), -(steps as i32));
    }
    assert_eq!(
        QuantParams::symmetric(0.0, QuantRange::I8).unwrap(),
        QuantParams { scale: 1.0, zero_point: 0 }
    );
}

#[test]
fn halves_round_away_from_zero_and_ends_clamp() {
    let params = QuantParams { scale: 1.0, zero_point: 0 };
    let cases = [
        (0.5, 1),
        (-0.5, -1),
        (1.5, 2),
        (-1.5, -2),
        (0.499_999_97, 0),
        (126.5, 127),
        (1e9, 127),
        (-1e9, -128),
    ];
    for (x, expected) in cases {
        assert_eq!(params.quantize(x, QuantRange::I8), expected, "{x}");
    }
}

#[test]
fn infinities_are_the_ends_and_nan_is_zero() {
    let params = QuantParams::choose(-1.0, 2.0, QuantRange::U8).unwrap();
    let mut out = [7_u8; 3];
    params.quantize_into(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN], &mut out).unwrap();
    assert_eq!(out, [255, 0, 85]);
}

#[test]
fn a_narrow_range_stays_narrow_in_its_type() {
    let params = QuantParams::symmetric(1.0, QuantRange::I8_NARROW).unwrap();
    let mut out = [0_i8; 2];
    params.quantize_into(&[-2.0, 2.0], &mut out).unwrap();
    assert_eq!(out, [-128, 127]);
    params.quantize_range_into(&[-2.0, 2.0], QuantRange::I8_NARROW, &mut out).unwrap();
    assert_eq!(out, [-127, 127]);
    let mut out = [0_u8; 2];
    params.quantize_range_into(&[-2.0, 2.0], QuantRange::U4, &mut out).unwrap();
    assert_eq!(out, [0, 15]);
}

#[test]
fn tiny_and_huge_intervals_have_finite_scales() {
    let tiny = QuantParams::choose(0.0, 1e-45, QuantRange::U8).unwrap();
    assert_eq!(tiny.scale, f32::MIN_POSITIVE);
    assert_eq!(tiny.quantize(1e-45, QuantRange::U8), 0);
    let huge = QuantParams::choose(0.0, f32::MAX, QuantRange::U8).unwrap();
    assert!(huge.scale.is_finite());
    assert_eq!(huge.quantize(f32::MAX, QuantRange::U8), 255);
    let widest = QuantParams::choose(-f32::MAX, f32::MAX, QuantRange::U8).unwrap();
    assert_eq!((widest.zero_point, widest.quantize(f32::MIN, QuantRange::U8)), (128, 1));
    assert!(QuantParams::choose(-f32::MAX, f32::MAX, QuantRange { min: 0, max: 1 }).is_err());
    assert!(QuantParams::symmetric(1e-45, QuantRange::I8).unwrap().scale > 0.0);
}

#[test]
fn intervals_and_ranges_that_are_none_are_refused() {
    for (min, max) in
        [(f32::NAN, 1.0), (0.0, f32::NAN), (0.0, f32::INFINITY), (f32::NEG_INFINITY, 0.0), (1.0, 0.5)]
    {
        assert!(QuantParams::choose(min, max, QuantRange::U8).is_err(), "{min} to {max}");
    }
    for abs_max in [f32::NAN, f32::INFINITY, -1.0] {
        assert!(QuantParams::symmetric(abs_max, QuantRange::I8).is_err(), "{abs_max}");
    }
    assert!(QuantParams::symmetric(1.0, QuantRange::U8).is_err());
    for (min, max) in [(0, 0), (1, 0), (i32::MIN, i32::MAX), (0, i32::MAX), (i32::MIN, 0)] {
        let range = QuantRange { min, max };
        assert!(QuantParams::choose(0.0, 1.0, range).is_err(), "{range:?}");
        assert!(QuantParams::symmetric(1.0, range).is_err(), "{range:?}");
    }
    let params = QuantParams { scale: 1.0, zero_point: 0 };
    for range in [QuantRange::U8, QuantRange { min: 3, max: 3 }, QuantRange { min: -129, max: 0 }] {
        assert!(params.quantize_range_into(&[1.0], range, &mut [0_i8]).is_err(), "{range:?}");
    }
}

#[test]
fn slices_of_unlike_length_are_refused() {
    let params = QuantParams { scale: 1.0, zero_point: 0 };
    let expected = |expected, found| Err(Error::WrongLength { what: "dst", expected, found });
    assert_eq!(params.quantize_into(&[1.0, 2.0], &mut [0_u8]), expected(2, 1));
    assert_eq!(params.dequantize_into(&[1_i8], &mut [0.0, 0.0]), expected(1, 2));
    assert_eq!(params.quantize_into::<i8>(&[], &mut []), Ok(()));
}

fn intervals() -> impl Strategy<Value = (f32, f32)> {
    (-1.0..1.0_f32, -1.0..1.0_f32, -20..20).prop_map(|(a, b, log2)| {
        let size = 2_f32.powi(log2);
        (a.min(b) * size, a.max(b) * size)
    })
}

fn same_both_ways<T: QuantInt + PartialEq + std::fmt::Debug>(params: QuantParams, q: T) {
    let (mut real, mut back) = ([0.0], [q]);
    params.dequantize_into(&[q], &mut real).unwrap();
    params.quantize_into(&real, &mut back).unwrap();
    assert_eq!(back[0], q);
}

proptest! {
    #[test]
    fn zero_is_exact((min, max) in intervals(), range in proptest::sample::select(&RANGES[..])) {
        let params = QuantParams::choose(min, max, range).unwrap();
        prop_assert!((range.min..=range.max).contains(&params.zero_point));
        prop_assert_eq!(params.quantize(0.0, range), params.zero_point);
        prop_assert_eq!(params.dequantize(params.zero_point), 0.0);
    }

    #[test]
    fn the_error_is_at_most_half_a_step(
        (min, max) in intervals(), at in 0.0..=1.0_f32, range in proptest::sample::select(&RANGES[..])
    ) {
        let params = QuantParams::choose(min, max, range).unwrap();
        let (low, high) = (params.dequantize(range.min), params.dequantize(range.max));
        let x = low + (high - low) * at;
        let error = (params.dequantize(params.quantize(x, range)) - x).abs();
        // The allowance is f32's: positions up to 255 are held to 2^-17 of a step.
        prop_assert!(error <= params.scale * (0.5 + 1e-4), "{} of {}", error, params.scale);
    }

    #[test]
    fn the_nudged_interval_covers_the_asked_one_but_for_half_a_step(
        (min, max) in intervals(), range in proptest::sample::select(&RANGES[..])
    ) {
        let params = QuantParams::choose(min, max, range).unwrap();
        let slack = params.scale * (0.5 + 1e-4);
        prop_assert!(params.dequantize(range.min) <= min + slack);
        prop_assert!(params.dequantize(range.max) >= max - slack);
    }

    #[test]
    fn stored_values_survive_the_way_to_real_and_back((min, max) in intervals(), byte in any::<u8>()) {
        same_both_ways(QuantParams::choose(min, max, QuantRange::U8).unwrap(), byte);
        same_both_ways(QuantParams::choose(min, max, QuantRange::I8).unwrap(), byte.cast_signed());
    }

    #[test]
    fn any_float_quantizes_into_the_range(
        x in any::<f32>(), scale in any::<f32>(), zero_point in any::<i32>(), range in proptest::sample::select(&RANGES[..])
    ) {
        let q = QuantParams { scale, zero_point }.quantize(x, range);
        prop_assert!((range.min..=range.max).contains(&q));
    }
}
