//! The allocation against every choice there is.

use nnc_core::candle::{Device, Tensor};
use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::*;
use crate::codebook::Init;

fn layer(name: &str, sensitivity: f64, choices: &[(u64, f64)]) -> LayerChoices {
    let choices = choices.iter().zip(1..).map(|(&(bytes, error), bits)| Choice { bits, bytes, error });
    LayerChoices { name: name.into(), sensitivity, choices: choices.collect() }
}

/// The least error within the budget over all combinations, and the fewest bytes that reach it.
fn brute_force(layers: &[LayerChoices], budget: u64) -> Option<(f64, u64)> {
    let mut all = vec![(0.0, 0)];
    for layer in layers {
        let with = |&(error, bytes): &(f64, u64)| {
            layer
                .choices
                .iter()
                .map(move |c| (error + layer.sensitivity * c.error, bytes + c.bytes))
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all.retain(|&(_, bytes)| bytes <= budget);
    all.into_iter().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
}

proptest! {
    #[test]
    fn no_choice_within_the_budget_is_better(
        lists in prop::collection::vec((0..4_u8, prop::collection::vec((0..40_u64, 0..30_u16), 1..6)), 1..6),
        share in 0.0..1.1_f64,
    ) {
        let layers: Vec<LayerChoices> = lists
            .iter()
            .map(|(s, list)| {
                let list: Vec<(u64, f64)> = list.iter().map(|&(bytes, error)| (bytes, f64::from(error))).collect();
                layer("l", f64::from(*s) / 2.0, &list)
            })
            .collect();
        let most: u64 = layers.iter().map(|l| l.choices.iter().map(|c| c.bytes).max().unwrap()).sum();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let budget = (share * most as f64) as u64;
        match (brute_force(&layers, budget), allocate(&layers, budget)) {
            (Some((error, bytes)), Ok(best)) => {
                prop_assert_eq!((best.error, best.bytes), (error, bytes));
                prop_assert!(best.bytes <= budget && best.chosen.len() == layers.len());
                prop_assert!(layers.iter().zip(&best.chosen).all(|(l, c)| l.choices.contains(c)));
            }
            (None, Err(_)) => {}
            (expected, got) => prop_assert!(false, "expected {:?}, got {:?}", expected, got),
        }
    }
}

#[test]
fn a_deep_network_is_allocated_and_its_curve_falls() {
    // 120 layers of 8 choices with the error of uniform codes, 4^-bits.
    let mut rng = Rng::keyed(1, "allocation", &[]);
    let layers: Vec<LayerChoices> = (0..120)
        .map(|i| {
            let (n, sigma) = (1000 + rng.below(200_000) as u64, f64::from(rng.uniform_in(0.01, 1.0)));
            let list: Vec<(u64, f64)> = (1..9_i32)
                .map(|b| {
                    (n * u64::from(b.unsigned_abs()) / 8 + (4 << b), n as f64 * sigma * 0.25_f64.powi(b))
                })
                .collect();
            layer(&format!("layer{i}"), 1.0, &list)
        })
        .collect();
    let (least, most) =
        layers.iter().fold((0, 0), |(a, b), l| (a + l.choices[0].bytes, b + l.choices[7].bytes));
    let budgets: Vec<u64> = (0..=12).map(|i| least + (most - least) * i / 12).collect();
    let rows = curve(&layers, &budgets).unwrap();
    assert_eq!((rows[0].bytes, rows[12].bytes), (least, most));
    for (row, &budget) in rows.iter().zip(&budgets) {
        assert!(row.bytes <= budget && row.budget_bytes == budget);
    }
    assert!(rows.is_sorted_by(|a, b| a.error >= b.error));
    // Better than the same bits everywhere, at the same bytes.
    for (bits, uniform) in (1..9).map(|b| (b, layers.iter().map(|l| l.choices[b - 1].bytes).sum::<u64>())) {
        let error: f64 = layers.iter().map(|l| l.choices[bits - 1].error).sum();
        assert!(allocate(&layers, uniform).unwrap().error <= error * (1.0 + 1e-12), "{bits} bits");
    }
}

#[test]
fn a_layer_that_matters_more_gets_more_bits() {
    let list = [(10, 8.0), (20, 2.0), (30, 0.5)];
    let layers = [layer("a", 1.0, &list), layer("b", 10.0, &list)];
    let bits: Vec<u32> = allocate(&layers, 40).unwrap().chosen.iter().map(|c| c.bits).collect();
    assert_eq!(bits, [1, 3]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let fine = layer("fine", 1.0, &[(10, 1.0), (20, 0.0)]);
    for (layers, budget, expected) in [
        (vec![], 10, "at least one layer"),
        (vec![layer("empty", 1.0, &[])], 10, "choices of `empty`"),
        (vec![layer("x", f64::NAN, &[(1, 1.0)])], 10, "sensitivity of `x`"),
        (vec![layer("x", 1.0, &[(1, -1.0)])], 10, "error of `x` at 1 bits"),
        (vec![fine.clone(), fine.clone()], 19, "at least 20 bytes"),
    ] {
        let message = allocate(&layers, budget).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(allocate(&[fine.clone(), fine], 20).unwrap().bytes, 20);
}

#[test]
fn choices_count_the_bytes_that_are_written() {
    let mut rng = Rng::keyed(2, "allocation", &[]);
    // Half zeros: a mask of 800 bits, codes for 400.
    let values: Vec<f32> = (0..800).map(|i| if i % 2 == 0 { 0.0 } else { rng.normal() }).collect();
    let weight = Tensor::from_vec(values, (20, 40), &Device::Cpu).unwrap();
    let config = ChoicesConfig { min_bits: 1, max_bits: 6, init: Init::Optimal, coding: Coding::Packed };
    let packed = choices(&weight, &config, &mut Rng::keyed(1, "forgy", &[])).unwrap();
    let coded = ChoicesConfig { coding: Coding::Entropy, ..config };
    let coded = choices(&weight, &coded, &mut Rng::keyed(1, "forgy", &[])).unwrap();
    for (packed, coded) in packed.iter().zip(&coded) {
        // 2^bits entries of the codebook, of which one is zero.
        assert_eq!(
            packed.bytes,
            100 + 400 * u64::from(packed.bits) / 8 + 4 * (1 << packed.bits),
            "{packed:?}"
        );
        assert!(coded.bytes <= packed.bytes && coded.error == packed.error);
    }
    assert!(packed.is_sorted_by(|a, b| a.error > b.error), "{packed:?}");
    let message =
        choices(&weight, &ChoicesConfig { max_bits: 13, ..config }, &mut Rng::keyed(1, "forgy", &[]))
            .unwrap_err();
    assert!(message.to_string().contains("1 to 12"), "{message}");
}
