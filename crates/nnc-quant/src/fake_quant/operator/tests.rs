//! The operator against its plain twin, and its gradient by differences.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

use nnc_core::candle::{Device, Var};
use nnc_core::weight::Granularity;
use proptest::prelude::*;

use super::*;
use crate::affine::{Interval, Scheme};
use crate::observer::RangeMethod;

/// What the operator is to give, number by number, in f64 but for the grid's own roundings.
fn plain(x: f32, params: &QuantParams, codes: QuantRange) -> f32 {
    if x.is_nan() {
        return x;
    }
    // gemmlowp adds and divides in f32; the rounding is half away from zero.
    let at = params.zero_point as f32 + x / params.scale;
    let code = f64::from(at).clamp(f64::from(codes.min), f64::from(codes.max)).round() as i32;
    params.scale * (code - params.zero_point) as f32
}

fn tensor(values: &[f32]) -> Var {
    Var::new(values, &Device::Cpu).unwrap()
}

fn config() -> impl Strategy<Value = QuantConfig> {
    let scheme = prop::sample::select(vec![Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted]);
    (prop_oneof![2_u32..=8, Just(16)], scheme).prop_map(|(bits, scheme)| QuantConfig { bits, scheme })
}

fn gradient(x: &Var, y: &Tensor) -> Vec<f32> {
    y.sum_all().unwrap().backward().unwrap().get(x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn odd_numbers_are_clipped_or_kept() {
    let config = QuantConfig::U8;
    let params = config.params(Interval::new(-1.0, 1.0).unwrap()).unwrap();
    let x = tensor(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-45]);
    let y = fake_quantize(&x, &params, &config).unwrap().to_vec1::<f32>().unwrap();
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [127.0 * params.scale, -128.0 * params.scale, 0.0, 0.0]);
    let empty = Tensor::from_vec(Vec::<f32>::new(), (0, 3), &Device::Cpu).unwrap();
    assert_eq!(fake_quantize(&empty, &params, &config).unwrap().dims(), [0, 3]);
    assert!(fake_quantize(&x, &params, &QuantConfig::affine(1)).is_err());
}

/// The gradient is that of clipping to the ends, which finite differences find.
#[test]
fn the_gradient_is_that_of_clipping() {
    let config = QuantConfig::affine(3);
    let params = config.params(Interval::new(-1.3, 2.1).unwrap()).unwrap();
    let (low, high) = ends(&params, config.codes().unwrap());
    let values: Vec<f32> = (-40..40).map(|i| i as f32 * 0.1 + 0.03).collect();
    let x = tensor(&values);
    let got = gradient(&x, &fake_quantize(&x, &params, &config).unwrap());
    let step = 1e-3;
    for (&x, got) in values.iter().zip(got) {
        let clipped = |x: f32| x.clamp(low, high);
        let difference = (clipped(x + step) - clipped(x - step)) / (2.0 * step);
        assert!((difference - got).abs() < 1e-2, "at {x}: {got} for {difference}");
    }
    // At the ends themselves it passes.
    let x = tensor(&[low, high, low.next_down(), high.next_up()]);
    assert_eq!(gradient(&x, &fake_quantize(&x, &params, &config).unwrap()), [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn views_and_other_types_are_met() {
    let config = QuantConfig::affine(4);
    let params = config.params(Interval::new(0.0, 15.0).unwrap()).unwrap();
    let x = Tensor::new(&[[0.2_f32, 1.4, 2.6], [7.7, 20.0, -3.0]], &Device::Cpu).unwrap();
    let y = fake_quantize(&x.t().unwrap(), &params, &config).unwrap();
    assert_eq!(y.to_vec2::<f32>().unwrap(), [[0.0, 8.0], [1.0, 15.0], [3.0, 0.0]]);
    let doubles = x.to_dtype(candle::DType::F64).unwrap();
    assert!(fake_quantize(&doubles, &params, &config).is_err());
    let grid = WeightGrid::fit(&x, config, Granularity::PerTensor, RangeMethod::MinMax).unwrap();
    assert!(fake_quantize_weight(&x.t().unwrap(), &grid).is_err());
}

#[test]
fn a_large_tensor_is_cut_without_a_seam() {
    let n = 3 * PIECE + 17;
    let values: Vec<f32> = (0..n).map(|i| ((i % 4001) as f32 - 2000.0) * 0.01).collect();
    let config = QuantConfig::U8;
    let params = config.params(Interval::new(-15.0, 10.0).unwrap()).unwrap();
    let x = tensor(&values);
    let y = fake_quantize(&x, &params, &config).unwrap();
    let codes = config.codes().unwrap();
    let (low, high) = ends(&params, codes);
    let gradients = gradient(&x, &y);
    for ((&x, y), gradient) in values.iter().zip(y.to_vec1::<f32>().unwrap()).zip(gradients) {
        assert_eq!(y, plain(x, &params, codes));
        assert_eq!(gradient, f32::from(u8::from(x >= low && x <= high)));
    }
}

proptest! {
    #[test]
    fn the_operator_does_what_the_plain_loop_does(
        values in prop::collection::vec(-30_f32..30.0, 24), config in config(), a in -20_f32..20.0, b in -20_f32..20.0,
        granularity in prop::sample::select(vec![
            Granularity::PerTensor,
            Granularity::PerAxis { axis: 0 },
            Granularity::PerAxis { axis: 1 },
            Granularity::PerAxis { axis: 2 },
            Granularity::PerGroup { size: 5 },
        ]),
    ) {
        let codes = config.codes().unwrap();
        let params = config.params(Interval::new(a.min(b), a.max(b)).unwrap()).unwrap();
        let y = fake_quantize(&tensor(&values), &params, &config).unwrap().to_vec1::<f32>().unwrap();
        for (&x, y) in values.iter().zip(y) {
            prop_assert_eq!(y, plain(x, &params, codes));
        }
        let weight = Var::from_vec(values.clone(), (2, 3, 4), &Device::Cpu).unwrap();
        let grid = WeightGrid::fit(&weight, config, granularity, RangeMethod::MinMax).unwrap();
        let y = fake_quantize_weight(&weight, &grid).unwrap();
        let passed = gradient(&weight, &y);
        let rounded = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (flat, &x) in values.iter().enumerate() {
            let params = grid.params()[grid.grouping().of(flat)];
            prop_assert_eq!(rounded[flat], plain(x, &params, codes));
            let (low, high) = ends(&params, codes);
            prop_assert_eq!(passed[flat], f32::from(u8::from(x >= low && x <= high)));
        }
        // Training, evaluation and the file agree.
        let stored = grid.quantize(weight.as_tensor()).unwrap().to_dense_vec().unwrap();
        prop_assert_eq!(stored, rounded);
    }

    #[test]
    fn sixteen_bits_change_a_ten_thousandth_at_most(values in prop::collection::vec(-30_f32..30.0, 1..50)) {
        let config = QuantConfig::affine(16);
        let (low, high) = values.iter().fold((0_f32, 0_f32), |(low, high), &x| (low.min(x), high.max(x)));
        let params = config.params(Interval::new(low, high).unwrap()).unwrap();
        let y = fake_quantize(&tensor(&values), &params, &config).unwrap().to_vec1::<f32>().unwrap();
        for (&x, y) in values.iter().zip(y) {
            prop_assert!((x - y).abs() <= 1e-4 * low.abs().max(high), "{x} became {y}");
        }
    }
}
