//! The grids of printed intervals, and weights stored and read back.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

use nnc_core::candle::{Device, Tensor};
use nnc_core::weight::{Form, Granularity, MaskBits, Order, Positions, StoredWeight, Values, WeightTensor};
use proptest::prelude::*;

use super::*;
use crate::observer::RangeMethod;

fn config() -> impl Strategy<Value = QuantConfig> {
    let scheme = prop::sample::select(vec![Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted]);
    (2_u32..=8, scheme).prop_map(|(bits, scheme)| QuantConfig { bits, scheme })
}

/// Values of the spec sheet (`gemmlowp`, section 1) and of Distiller's symmetric schemes.
#[test]
fn scales_and_zero_points_are_those_of_the_books() {
    for (min, max, scale, zero_point) in [
        (0.0, 6.0, 6.0 / 255.0, 0),
        (-1.0, 1.0, 2.0 / 255.0, 128),
        (-1.0, 2.0, 3.0 / 255.0, 85),
        (-3.0, 0.0, 3.0 / 255.0, 255),
        (0.5, 2.0, 2.0 / 255.0, 0),
        (-0.1, 25.4, 0.1, 1),
        (-10.0, 10.0, 20.0 / 255.0, 128),
        (0.0, 0.0, 1.0, 0),
    ] {
        let params = QuantConfig::U8.params(Interval::new(min, max).unwrap()).unwrap();
        assert!((params.scale - scale).abs() <= scale * f32::EPSILON, "{min}..{max}: {params:?}");
        assert_eq!(params.zero_point, zero_point, "{min}..{max}");
    }
    let interval = Interval::new(-3.0, 2.0).unwrap();
    let full = QuantConfig::I8.params(interval).unwrap();
    assert_eq!((full.scale, full.zero_point), (3.0 / 127.5, 0));
    let restricted = QuantConfig::I8_RESTRICTED.params(interval).unwrap();
    assert_eq!((restricted.scale, restricted.zero_point), (3.0 / 127.0, 0));
    let ternary = QuantConfig::restricted(2);
    assert_eq!(ternary.codes().unwrap(), QuantRange { min: -1, max: 1 });
    assert_eq!(ternary.params(interval).unwrap().scale, 3.0);
    assert_eq!(QuantConfig::I8.codes().unwrap(), QuantRange::I8);
    assert_eq!(QuantConfig::I8_RESTRICTED.codes().unwrap(), QuantRange::I8_NARROW);
    assert_eq!(QuantConfig::affine(4).codes().unwrap(), QuantRange::U4);
}

#[test]
fn the_widest_and_the_narrowest_intervals_have_a_scale() {
    for bits in [2, 8, 16] {
        for scheme in [Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted] {
            for (min, max) in [(-f32::MAX, f32::MAX), (0.0, f32::MAX), (-1e-45, 1e-45), (0.0, 0.0)] {
                let config = QuantConfig { bits, scheme };
                let params = config.params(Interval::new(min, max).unwrap()).unwrap();
                assert!(params.scale.is_normal() && params.scale > 0.0, "{config:?} {min} {max}");
            }
        }
    }
}

#[test]
fn wrong_settings_are_refused() {
    for bits in [0, 1, 17, u32::MAX] {
        let error = QuantConfig::affine(bits).codes().unwrap_err().to_string();
        assert!(error.contains("`bits`: expected 2..=16"), "{error}");
    }
    for (min, max) in [(1.0, 0.0), (f32::NAN, 0.0), (0.0, f32::NAN), (0.0, f32::INFINITY)] {
        assert!(Interval::new(min, max).is_err(), "{min} {max}");
    }
    let fit = |values: &[f32], granularity| {
        let weight = Tensor::new(values, &Device::Cpu).unwrap();
        WeightGrid::fit(&weight, QuantConfig::I8, granularity, RangeMethod::MinMax)
            .map(|grid| grid.params().len())
    };
    assert!(fit(&[1.0, f32::NAN], Granularity::PerTensor).is_err());
    assert!(fit(&[1.0], Granularity::PerAxis { axis: 1 }).is_err());
    assert!(fit(&[], Granularity::PerTensor).unwrap_err().to_string().contains("at least one"));
    assert_eq!(fit(&[0.0, 0.0], Granularity::PerTensor).unwrap(), 1);
    let weight = Tensor::new(&[1.0_f32], &Device::Cpu).unwrap();
    let average = RangeMethod::MovingAverage { momentum: 0.5 };
    assert!(WeightGrid::fit(&weight, QuantConfig::I8, Granularity::PerTensor, average).is_err());
}

#[test]
fn a_mask_keeps_its_zeros_for_nothing_and_shared_values_are_not_quantized() {
    let dense = [0.0, 1.0, 0.0, -0.5, 0.0, 0.25];
    let mask: MaskBits = dense.iter().map(|&w| w != 0.0).collect();
    let kept = vec![1.0, -0.5, 0.25];
    let masked =
        StoredWeight::new(vec![2, 3], Positions::Mask(mask), Values::F32(kept), Order::RowMajor).unwrap();
    let weight = masked.to_dense(&Device::Cpu).unwrap();
    let granularity = Granularity::PerAxis { axis: 1 };
    let grid = WeightGrid::fit(&weight, QuantConfig::affine(8), granularity, RangeMethod::MinMax).unwrap();
    let stored = grid.quantize_stored(&masked).unwrap();
    assert_eq!((stored.n_slots(), stored.footprint().values.bits), (3, 24));
    assert_eq!(stored.to_dense_vec().unwrap(), grid.quantize(&weight).unwrap().to_dense_vec().unwrap());
    // Fillers of gap-coded positions hold the zero point.
    let gaps = masked.rearrange(Form::Gaps { bits: 1 }, Order::ColumnMajor).unwrap();
    let coded = grid.quantize_stored(&gaps).unwrap();
    assert_eq!(coded.to_dense_vec().unwrap(), stored.to_dense_vec().unwrap());
    let error = grid.quantize_stored(&stored).unwrap_err().to_string();
    assert!(error.contains("expected floats"), "{error}");
    assert!(WeightGrid::of_stored(&masked).is_err());
}

/// 16 bits are as good as floats: the goal of the method's page.
#[test]
fn sixteen_bits_are_within_a_ten_thousandth() {
    let values: Vec<f32> = (0..1000_u16).map(|i| (f32::from(i) * 0.37).sin() * 3.0).collect();
    let weight = Tensor::from_vec(values.clone(), (10, 100), &Device::Cpu).unwrap();
    for scheme in [Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted] {
        let config = QuantConfig { bits: 16, scheme };
        let grid = WeightGrid::fit(&weight, config, Granularity::PerTensor, RangeMethod::MinMax).unwrap();
        let back = grid.quantize(&weight).unwrap().to_dense_vec().unwrap();
        let worst = values.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4 * 3.0, "{scheme:?}: {worst}");
    }
}

proptest! {
    #[test]
    fn quantized_numbers_are_within_half_a_step(
        config in config(), a in -50_f32..50.0, b in -50_f32..50.0, share in 0_f32..=1.0,
    ) {
        let interval = Interval::new(a.min(b), a.max(b)).unwrap();
        let (params, codes) = (config.params(interval).unwrap(), config.codes().unwrap());
        prop_assert_eq!(params.dequantize(params.quantize(0.0, codes)), 0.0);
        let (low, high) = ends(&params, codes);
        let x = low + share * (high - low);
        let back = params.dequantize(params.quantize(x, codes));
        prop_assert!((back - x).abs() <= params.scale * (0.5 + 1e-4), "{x} became {back}");
        // The whole interval is in reach, up to half a step that the zero point or the missing code takes.
        prop_assert!(interval.min() >= low - params.scale * 0.501 && interval.max() <= high + params.scale * 0.501);
    }

    #[test]
    fn what_is_stored_is_what_the_codes_mean(
        config in config(),
        values in prop::collection::vec(prop::num::f32::NORMAL.prop_map(|x| x % 8.0), 24),
        granularity in prop::sample::select(vec![
            Granularity::PerTensor,
            Granularity::PerAxis { axis: 0 },
            Granularity::PerAxis { axis: 1 },
            Granularity::PerAxis { axis: 2 },
            Granularity::PerGroup { size: 5 },
        ]),
    ) {
        let weight = Tensor::from_vec(values.clone(), (2, 3, 4), &Device::Cpu).unwrap();
        let grid = WeightGrid::fit(&weight, config, granularity, RangeMethod::MinMax).unwrap();
        let stored = grid.quantize(&weight).unwrap();
        let dense = stored.to_dense_vec().unwrap();
        let codes = config.codes().unwrap();
        for (flat, (&x, &got)) in values.iter().zip(&dense).enumerate() {
            let params = grid.params()[grid.grouping().of(flat)];
            prop_assert_eq!(got, params.dequantize(params.quantize(x, codes)));
        }
        // The stored grid, read back, gives the same weight again.
        let back = WeightGrid::of_stored(&stored).unwrap();
        let again = back.quantize(&stored.to_dense(&Device::Cpu).unwrap()).unwrap();
        prop_assert_eq!(again.to_dense_vec().unwrap(), dense);
    }
}
