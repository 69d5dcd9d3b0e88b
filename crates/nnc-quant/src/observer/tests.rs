//! Every observer on numbers known and drawn, resumed, merged, and given bad input.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

use nnc_core::candle::Device;
use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::*;
use crate::affine::Scheme;

const METHODS: [RangeMethod; 7] = [
    RangeMethod::MinMax,
    RangeMethod::MovingAverage { momentum: 0.25 },
    RangeMethod::Percentile { percentile: 99.0 },
    RangeMethod::Entropy,
    RangeMethod::Mse,
    RangeMethod::Aciq { distribution: Distribution::Gauss },
    RangeMethod::Aciq { distribution: Distribution::Laplace },
];

fn observed(method: RangeMethod, values: &[f32]) -> Observer {
    let mut observer = Observer::new(method).unwrap();
    observer.observe(values).unwrap();
    observer
}

fn ends(method: RangeMethod, values: &[f32], config: &QuantConfig) -> (f32, f32) {
    let interval = observed(method, values).interval(config).unwrap();
    (interval.min(), interval.max())
}

fn normal(n: usize) -> Vec<f32> {
    let mut rng = Rng::keyed(3, "normal", &[]);
    (0..n).map(|_| rng.normal()).collect()
}

/// Of mean absolute deviation 1.
fn laplace(n: usize) -> Vec<f32> {
    let mut rng = Rng::keyed(4, "laplace", &[]);
    let mut exponential = || -(1.0 - rng.uniform()).ln();
    // The difference of two exponentials has density e^−|x| / 2.
    (0..n).map(|_| exponential() - exponential()).collect()
}

/// The mean squared error of storing `values` as codes of `interval`.
fn squared_error(values: &[f32], interval: Interval, config: &QuantConfig) -> f64 {
    let (params, codes) = (config.params(interval).unwrap(), config.codes().unwrap());
    let error = |&x: &f32| f64::from(x - params.dequantize(params.quantize(x, codes))).powi(2);
    values.iter().map(error).sum::<f64>() / values.len() as f64
}

/// Distiller's tables, as in the spec sheet; one-sided numbers take the factor of one bit more.
#[test]
fn clipping_factors_solve_to_the_tables() {
    let laplace = [2.83, 3.89, 5.03, 6.2, 7.41, 8.64, 9.89, 11.16];
    let gauss = [1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92, 4.2];
    for (bits, (laplace, gauss)) in (2..).zip(laplace.into_iter().zip(gauss)) {
        let ours = clipping_factor(Distribution::Laplace, bits);
        assert!((ours - laplace).abs() < 0.0101, "Laplace, {bits} bits: {ours} for {laplace}");
        let ours = clipping_factor(Distribution::Gauss, bits);
        assert!((ours - gauss).abs() < 0.0301, "Gauss, {bits} bits: {ours} for {gauss}");
    }
}

#[test]
fn aciq_finds_the_distribution_that_was_drawn_from() {
    let bits = 4;
    for (distribution, values) in
        [(Distribution::Gauss, normal(200_000)), (Distribution::Laplace, laplace(200_000))]
    {
        let method = RangeMethod::Aciq { distribution };
        let alpha = clipping_factor(distribution, bits);
        let (min, max) = ends(method, &values, &QuantConfig::affine(bits));
        assert!((f64::from(max) / alpha - 1.0).abs() < 0.02, "{distribution:?}: {max} for {alpha}");
        assert!((f64::from(min) / -alpha - 1.0).abs() < 0.02, "{distribution:?}: {min} for {alpha}");
        let rectified: Vec<f32> = values.iter().map(|x| x.max(0.0)).collect();
        let alpha = clipping_factor(distribution, bits + 1);
        let (min, max) = ends(method, &rectified, &QuantConfig::affine(bits));
        assert!(
            min == 0.0 && (f64::from(max) / alpha - 1.0).abs() < 0.02,
            "{distribution:?}: {max} for {alpha}"
        );
    }
}

/// The factors of ACIQ are those of least squared error, so the search must come to the same bounds.
#[test]
fn least_squared_error_agrees_with_theory_on_a_normal_distribution() {
    let values = normal(200_000);
    for bits in [3, 4, 5] {
        let theory = clipping_factor(Distribution::Gauss, bits);
        let (min, max) = ends(RangeMethod::Mse, &values, &QuantConfig::affine(bits));
        for bound in [f64::from(max), f64::from(-min)] {
            assert!((bound / theory - 1.0).abs() < 0.08, "{bits} bits: {bound} for {theory}");
        }
    }
}

#[test]
fn least_squared_error_is_least_among_all_methods() {
    let mut values = laplace(50_000);
    values.push(60.0);
    for config in [QuantConfig::affine(4), QuantConfig::affine(6), QuantConfig::restricted(4)] {
        let error = |method| {
            let interval = observed(method, &values).interval(&config).unwrap();
            squared_error(&values, interval, &config)
        };
        let least = error(RangeMethod::Mse);
        for method in METHODS {
            assert!(least <= error(method) * 1.02, "{config:?} {method:?}: {} < {least}", error(method));
        }
    }
}

#[test]
fn entropy_clips_an_outlier_and_keeps_a_uniform_distribution_whole() {
    let mut values = laplace(100_000);
    values.push(500.0);
    let (_, max) = ends(RangeMethod::Entropy, &values, &QuantConfig::U8);
    assert!((4.0..250.0).contains(&max), "{max}");
    let uniform: Vec<f32> = (0..100_000_u32).map(|i| i as f32 / 1e5).collect();
    let (min, max) = ends(RangeMethod::Entropy, &uniform, &QuantConfig::U8);
    assert!(min == 0.0 && max > 0.95, "{max}");
}

/// Four bins of one number each in two codes, then the upper two cut off: both by hand.
#[test]
fn divergence_is_that_of_the_definition() {
    let bins: Vec<Bin> = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 2.0)]
        .map(|(low, count)| Bin { low, high: low + 1.0, count })
        .to_vec();
    let codes = crate::affine::QuantRange { min: 0, max: 3 };
    let divergence = |max: f32, scale: f32| {
        let params = crate::affine::QuantParams { scale, zero_point: 0 };
        entropy::divergence(&bins, Interval::new(0.0, max).unwrap(), &params, codes)
    };
    // Steps of 2, so 0.5 is code 0, 1.5 and 2.5 code 1, 3.5 code 2. P = 1/8 3/8 2/8 2/8, Q = 1/8 2.5/8 2.5/8 2/8.
    let expected = 0.375 * (3.0_f64 / 2.5).ln() + 0.25 * (2.0_f64 / 2.5).ln();
    assert!((divergence(4.0, 2.0) - expected).abs() < 1e-12);
    // Up to 2: P = 1/8 7/8, Q = 1/4 3/4.
    let expected = 0.125 * 0.5_f64.ln() + 0.875 * (0.875_f64 / 0.75).ln();
    assert!((divergence(2.0, 1.0) - expected).abs() < 1e-12);
    assert_eq!(divergence(0.25, 1.0), f64::INFINITY);
}

#[test]
fn percentiles_leave_out_what_they_say() {
    let values: Vec<f32> = (1..=1000_u16).map(|i| f32::from(i) / 1000.0).collect();
    let width = 1.0 / 1024.0;
    for (percentile, low, high) in [(100.0, 0.001, 1.0), (99.0, 0.011, 0.99), (90.0, 0.101, 0.9)] {
        let (min, max) = ends(RangeMethod::Percentile { percentile }, &values, &QuantConfig::U8);
        assert!((min - low).abs() <= width && (max - high).abs() <= width, "{percentile}: {min}..{max}");
    }
    // Zeros are numbers too: with 99 % of them nothing is left.
    let mut rectified = vec![0.0; 990];
    rectified.extend_from_slice(&values[990..]);
    assert_eq!(ends(RangeMethod::Percentile { percentile: 98.0 }, &rectified, &QuantConfig::U8), (0.0, 0.0));
    assert_eq!(ends(RangeMethod::Percentile { percentile: 100.0 }, &rectified, &QuantConfig::U8).1, 1.0);
}

#[test]
fn a_moving_average_takes_the_first_batch_as_it_is() {
    let mut observer = Observer::new(RangeMethod::MovingAverage { momentum: 0.25 }).unwrap();
    for (batch, min, max) in [
        (&[-1.0_f32, 2.0][..], -1.0, 2.0),
        (&[], -1.0, 2.0),
        (&[0.0, 6.0], -0.75, 3.0),
        (&[-1.75], -1.0, 1.8125),
    ] {
        observer.observe(batch).unwrap();
        let interval = observer.interval(&QuantConfig::U8).unwrap();
        assert_eq!((interval.min(), interval.max()), (min, max));
    }
    let mut wide = Observer::new(RangeMethod::MovingAverage { momentum: 0.1 }).unwrap();
    for _ in 0..3 {
        wide.observe(&[f32::MAX, -f32::MAX]).unwrap();
    }
    assert_eq!(wide.interval(&QuantConfig::U8).unwrap().max(), f32::MAX);
}

#[test]
fn numbers_that_are_not_finite_are_refused_and_change_nothing() {
    for method in METHODS {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for n in [0, 15, 16, 40, 5000] {
                let mut observer = observed(method, &[1.0, 2.0]);
                let before = observer.interval(&QuantConfig::U8).unwrap();
                let mut batch = vec![7.0; n];
                batch.push(odd);
                let error = observer.observe(&batch).unwrap_err().to_string();
                assert!(
                    error.contains("finite") && error.contains(&format!("{odd} at index {n}")),
                    "{error}"
                );
                assert_eq!(observer.interval(&QuantConfig::U8).unwrap(), before, "{method:?}");
            }
        }
    }
}

#[test]
fn nothing_seen_is_an_error_and_one_number_is_stored_exactly() {
    for method in METHODS {
        let mut observer = Observer::new(method).unwrap();
        observer.observe(&[]).unwrap();
        let error = observer.interval(&QuantConfig::U8).unwrap_err().to_string();
        assert!(error.contains("at least one"), "{error}");
        for number in [5.0_f32, -0.3, 0.0, 1e-40, -3e38] {
            let interval = observed(method, &[number; 33]).interval(&QuantConfig::U8).unwrap();
            let params = QuantConfig::U8.params(interval).unwrap();
            let back = params.dequantize(params.quantize(number, crate::affine::QuantRange::U8));
            // Numbers below the least normal one share its scale.
            let step = if number.abs() < 1e-30 { 1e-38 } else { number.abs() * 1e-6 };
            assert!((back - number).abs() <= step, "{method:?}: {number} became {back}");
        }
        assert!(observed(method, &[1.0]).interval(&QuantConfig::affine(1)).is_err());
    }
}

#[test]
fn wrong_settings_and_unlike_observers_are_refused() {
    for percentile in [50.0, 100.1, f64::NAN] {
        assert!(Observer::new(RangeMethod::Percentile { percentile }).is_err(), "{percentile}");
    }
    for momentum in [0.0, 1.1, f32::NAN] {
        assert!(Observer::new(RangeMethod::MovingAverage { momentum }).is_err(), "{momentum}");
    }
    let mut observer = observed(RangeMethod::Mse, &[1.0]);
    assert!(observer.merge(&observed(RangeMethod::MinMax, &[1.0])).is_err());
    let mut average = observed(METHODS[1], &[1.0]);
    assert!(average.merge(&average.clone()).unwrap_err().to_string().contains("order of batches"));
}

#[test]
fn a_saved_observer_goes_on_as_if_it_had_not_stopped() {
    for method in METHODS {
        let batches = [vec![0.5, -0.25, 0.0], vec![100.0, -3.0], vec![0.1; 20]];
        let mut whole = Observer::new(method).unwrap();
        batches.iter().for_each(|batch| whole.observe(batch).unwrap());
        let mut first = Observer::new(method).unwrap();
        first.observe(&batches[0]).unwrap();
        let file = first.state().unwrap().to_safetensors().unwrap();
        let mut second = Observer::new(method).unwrap();
        second.load_state(&Params::from_safetensors(&file, &Device::Cpu).unwrap()).unwrap();
        batches[1..].iter().for_each(|batch| second.observe(batch).unwrap());
        assert_eq!(second.interval(&QuantConfig::U8).unwrap(), whole.interval(&QuantConfig::U8).unwrap());
        assert_eq!(
            second.state().unwrap().to_safetensors().unwrap(),
            whole.state().unwrap().to_safetensors().unwrap()
        );
    }
}

#[test]
fn a_damaged_state_is_an_error() {
    let state = observed(RangeMethod::Mse, &[1.0, -2.0]).state().unwrap();
    let mut observer = Observer::new(RangeMethod::Mse).unwrap();
    for (name, value) in
        [("exponent", 500.0), ("exponent", 0.5), ("exponent", f64::NAN), ("min", 7.0), ("counts", 1.0)]
    {
        let mut damaged = state.clone();
        damaged.insert_number(name, value).unwrap();
        assert!(matches!(observer.load_state(&damaged), Err(Error::Corrupt { .. })), "{name} {value}");
    }
    for missing in ["exponent", "counts", "max"] {
        let mut damaged = state.clone();
        damaged.remove(missing);
        assert!(observer.load_state(&damaged).is_err(), "{missing}");
    }
    let mut damaged = state.clone();
    damaged.remove("min");
    assert!(matches!(observer.load_state(&damaged), Err(Error::Corrupt { .. })));
    assert!(observer.load_state(&state).is_ok());
}

#[test]
fn large_batches_are_counted_as_small_ones_are() {
    let values: Vec<f32> = normal(700_001).into_iter().map(|x| x * x * x).collect();
    for method in [RangeMethod::MinMax, RangeMethod::Mse] {
        let mut pieces = Observer::new(method).unwrap();
        values.chunks(999).for_each(|piece| pieces.observe(piece).unwrap());
        let whole = observed(method, &values);
        assert_eq!(
            whole.state().unwrap().to_safetensors().unwrap(),
            pieces.state().unwrap().to_safetensors().unwrap()
        );
    }
}

/// Finite numbers of every size, zeros of both signs, and the edges of bins.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO,
        -4_f32..4.0,
        (-4096_i32..4096).prop_map(|i| i as f32 / 512.0),
        (-4096_i32..4096).prop_map(|i| (i as f32 / 512.0).next_down()),
    ]
}

proptest! {
    #[test]
    fn a_histogram_counts_what_its_bins_say(values in prop::collection::vec(number(), 1..80)) {
        let mut histogram = Histogram::new();
        histogram.observe(&values).unwrap();
        let bins = histogram.bins();
        prop_assert!(bins.windows(2).all(|pair| pair[0].high <= pair[1].low));
        for bin in &bins {
            // The edge nearer to 0 belongs to a bin.
            let holds = |x: f64| match (bin.low < bin.high, bin.high > 0.0) {
                (false, _) => x == 0.0,
                (true, true) => x != 0.0 && bin.low <= x && x < bin.high,
                (true, false) => x != 0.0 && bin.low < x && x <= bin.high,
            };
            let n = values.iter().filter(|&&x| holds(f64::from(x))).count();
            prop_assert_eq!(n as f64, bin.count, "{:?}", bin);
        }
        prop_assert_eq!(bins.iter().map(|bin| bin.count).sum::<f64>(), values.len() as f64);
        let max_abs = f64::from(histogram.interval().unwrap().max_abs());
        prop_assert!(max_abs < 2048.0 * histogram.bin_width());
        prop_assert!(max_abs >= 1024.0 * histogram.bin_width() || histogram.bin_width() == (-126_f64).exp2());
    }

    #[test]
    fn what_was_seen_does_not_depend_on_order_or_batches(
        values in prop::collection::vec(number(), 2..60), cut in any::<prop::sample::Index>(), seed in any::<u64>(),
    ) {
        let mut shuffled = values.clone();
        Rng::keyed(seed, "shuffle", &[]).shuffle(&mut shuffled);
        let (first, second) = shuffled.split_at(cut.index(values.len()));
        for method in [RangeMethod::MinMax, RangeMethod::Entropy] {
            let bytes = |observer: &Observer| observer.state().unwrap().to_safetensors().unwrap();
            let whole = bytes(&observed(method, &values));
            let mut batches = observed(method, first);
            batches.observe(second).unwrap();
            prop_assert_eq!(&bytes(&batches), &whole);
            let mut merged = observed(method, second);
            merged.merge(&observed(method, first)).unwrap();
            prop_assert_eq!(&bytes(&merged), &whole);
        }
    }

    #[test]
    fn intervals_stay_within_what_was_seen(
        values in prop::collection::vec(number(), 1..60), bits in 2_u32..=8, scheme in 0..3_usize,
    ) {
        let scheme = [Scheme::Affine, Scheme::Symmetric, Scheme::SymmetricRestricted][scheme];
        let config = QuantConfig { bits, scheme };
        let extremes = Extremes::of(&values).unwrap().interval().unwrap();
        let bound = extremes.max_abs();
        for method in METHODS {
            let interval = observed(method, &values).interval(&config).unwrap();
            prop_assert!(interval.max_abs() <= bound, "{method:?}: {interval:?} in {extremes:?}");
            if scheme == Scheme::Affine {
                prop_assert!(interval.min() >= extremes.min().min(0.0) && interval.max() <= extremes.max().max(0.0));
            }
        }
    }
}
