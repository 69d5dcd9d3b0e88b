//! What is chosen and claimed from given points, and what a round prunes.

use nnc_core::candle::Tensor;
use nnc_core::params::ParamKind;

use super::*;
use crate::experiment::row::{Verdict, check_rows};

fn point(density: f64, bits: u64, n_errors: usize) -> Point {
    let mut params = Params::new();
    params.insert("conv1.weight", ParamKind::Weight, Tensor::new(&[1_f32], &Device::Cpu).unwrap());
    let bits = StorageBits { values: bits, ..StorageBits::default() };
    Point { density, bits, validation: ErrorCount { n_errors, n_samples: 1_000 }, params }
}

fn found(kernel_errors: usize) -> Found {
    let (network, _) =
        zoo::lenet_5(&zoo::LeNetConfig { image: [1, 28, 28], classes: 10, dropout: None }).unwrap();
    let curve = |bits: [u64; 2], last: usize| vec![point(0.5, bits[0], 10), point(0.1, bits[1], last)];
    Found {
        network,
        n_weights: 1_000,
        dense: point(1.0, 8_000, 10),
        curves: vec![
            ("fine", curve([6_000, 1_200], 12)),
            ("vector", curve([4_500, 900], 13)),
            ("kernel", curve([4_100, 820], kernel_errors)),
            ("filter", curve([4_010, 801], 200)),
        ],
    }
}

#[test]
fn the_smallest_within_the_margin_is_chosen_and_decides_the_claims() {
    let found = found(12);
    let chosen = rows::choose(&found);
    let bits: Vec<u64> = chosen.iter().map(|point| point.bits.total()).collect();
    // 1.0 % + 0.2 points is 12 of 1,000: the vector's 13 are too many.
    assert_eq!(bits, [8_000, 1_200, 4_500, 820, 4_010]);
    let outcome = rows::outcome(&found, &[found.dense.validation; 5], true);
    check_rows(&outcome.rows).unwrap();
    let verdict = |metric: &str| {
        let row = outcome.rows.iter().find(|row| row.metric() == metric).unwrap();
        (row.ours(), row.verdict())
    };
    assert_eq!(verdict("lenet-5/coarse-over-fine-storage"), (820.0 / 1_200.0, Verdict::Holds));
    assert_eq!(verdict("lenet-5/filter-over-fine-storage").1, Verdict::Holds);
    assert!((verdict("lenet-5/filter-minus-fine-error").0 - 18.8).abs() < 1e-9);
    assert_eq!(verdict("lenet-5/kernel-storage"), (10.25, Verdict::Reported));
}

#[test]
fn a_claim_that_is_not_met_fails() {
    let found = found(300);
    let outcome = rows::outcome(&found, &[found.dense.validation; 5], true);
    let row = outcome.rows.iter().find(|row| row.metric() == "lenet-5/coarse-over-fine-storage").unwrap();
    assert_eq!(row.verdict(), Verdict::Fails);
}

#[test]
fn each_round_leaves_as_many_groups_as_planned_within_the_last_ones() {
    let (network, specs) =
        zoo::lenet_5(&zoo::LeNetConfig { image: [1, 28, 28], classes: 10, dropout: None }).unwrap();
    let params = specs.init(1, &Device::Cpu).unwrap();
    let n_weights = 500 + 25_000;
    let dense = Point { params, ..point(1.0, n_weights * 8, 10) };
    for &(name, granularity) in plan::GRANULARITIES {
        let mut before = dense.clone();
        for density in [0.25, 0.04] {
            let after =
                prune(&network, &before, granularity, density, |_| Ok(ErrorCount::default())).unwrap();
            for layer in LAYERS {
                let values = |point: &Point| {
                    point.params.tensor(layer).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
                };
                let (old, new) = (values(&before), values(&after));
                assert!(old.iter().zip(&new).all(|(old, new)| new == old || *new == 0.0));
                let groups = granularity.groups(before.params.tensor(layer).unwrap().dims()).unwrap();
                let n_kept = (0..groups.len()).filter(|&g| groups.members(g).any(|i| new[i] != 0.0)).count();
                assert_eq!(n_kept, plan::n_kept(layer, density, groups.len()), "{name} {layer}");
            }
            assert!(after.bits.total() < before.bits.total());
            before = after;
        }
    }
}
