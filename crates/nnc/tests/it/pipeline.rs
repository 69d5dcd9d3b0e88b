//! Compression without data: exact counts, and the stored weight is the pruned and shared one.

use nnc::pipeline::{Stored, compress, prune};
use nnc::recipe::{Prune, Recipe};
use nnc_core::candle::{Device, Tensor};
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::weight::WeightTensor;
use nnc_core::{Error, Result};
use nnc_prune::importance::magnitude::standard_deviation;
use proptest::prelude::*;

fn weight(n_out: usize, n_in: usize, seed: u64) -> Tensor {
    let mut rng = Rng::keyed(seed, "w", &[]);
    let values: Vec<f32> = (0..n_out * n_in).map(|_| rng.normal()).collect();
    Tensor::from_vec(values, (n_out, n_in), &Device::Cpu).unwrap()
}

fn params(seed: u64) -> Params {
    let mut params = Params::new();
    params.insert("ip1.weight", ParamKind::Weight, weight(20, 30, seed));
    params.insert("ip1.bias", ParamKind::Bias, weight(1, 20, seed).flatten_all().unwrap());
    params.insert("ip2.weight", ParamKind::Weight, weight(5, 20, seed + 1));
    params
}

fn run(layers: &str) -> Result<Vec<Stored>> {
    compress(&params(1), &Recipe::from_toml(layers)?)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The dense values of a stored parameter.
fn dense(stored: &[Stored], name: &str) -> Vec<f32> {
    let (_, _, weight) = stored.iter().find(|(known, ..)| known == name).unwrap();
    flat(&weight.to_dense(&Device::Cpu).unwrap())
}

fn kept(values: &[f32]) -> usize {
    values.iter().filter(|w| **w != 0.0).count()
}

#[test]
fn a_density_keeps_exactly_its_share_and_the_largest() {
    let stored = run("[[layer]]\nmatch = \"ip1.weight\"\nprune = { density = 0.085 }").unwrap();
    let (before, after) = (flat(params(1).tensor("ip1.weight").unwrap()), dense(&stored, "ip1.weight"));
    // 0.085 of 600.
    assert_eq!(kept(&after), 51);
    let smallest =
        before.iter().zip(&after).filter(|(_, a)| **a != 0.0).map(|(b, _)| b.abs()).fold(f32::MAX, f32::min);
    for (before, after) in before.iter().zip(&after) {
        assert!(after == before || *after == 0.0 && before.abs() <= smallest, "{before} became {after}");
    }
    // What no pattern matches stays, bit for bit, and so do order and kinds.
    assert_eq!(dense(&stored, "ip2.weight"), flat(params(1).tensor("ip2.weight").unwrap()));
    let kinds: Vec<_> = stored.iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
    let expected =
        [("ip1.weight", ParamKind::Weight), ("ip1.bias", ParamKind::Bias), ("ip2.weight", ParamKind::Weight)];
    assert_eq!(kinds, expected);
}

#[test]
fn a_quality_cuts_at_its_multiple_of_the_standard_deviation() {
    let stored = run("[[layer]]\nmatch = \"*.weight\"\nprune = { quality = 0.7 }").unwrap();
    for name in ["ip1.weight", "ip2.weight"] {
        let tensor = params(1).tensor(name).unwrap().clone();
        let threshold = 0.7 * standard_deviation(&tensor).unwrap();
        let expected: Vec<f32> =
            flat(&tensor).into_iter().map(|w| if f64::from(w.abs()) > threshold { w } else { 0.0 }).collect();
        assert!((1..expected.len()).contains(&kept(&expected)));
        assert_eq!(dense(&stored, name), expected, "{name}");
    }
}

#[test]
fn sharing_keeps_pruned_zeros_and_one_code_for_them() {
    let pruned = run("[[layer]]\nmatch = \"ip1.weight\"\nprune = { density = 0.3 }").unwrap();
    let pruned = dense(&pruned, "ip1.weight");
    for bits in [1, 2, 5] {
        let layer = format!(
            "[[layer]]\nmatch = \"ip1.weight\"\nprune = {{ density = 0.3 }}\nshare = {{ bits = {bits} }}"
        );
        let shared = dense(&run(&layer).unwrap(), "ip1.weight");
        let mut values = Vec::new();
        for (pruned, shared) in pruned.iter().zip(&shared) {
            // With one shared value it may lie anywhere, 0 included; zeros stay zeros in any case.
            assert!(*pruned != 0.0 || *shared == 0.0);
            if *pruned != 0.0 {
                values.push(shared.to_bits());
            }
        }
        values.sort_unstable();
        values.dedup();
        assert!(values.len() < 1 << bits, "{} values for {bits} bits", values.len());
    }
}

#[test]
fn how_a_weight_is_stored_changes_no_value() {
    for first in [
        "prune = { density = 0.2 }",
        "share = { bits = 3 }",
        "prune = { density = 0.2 }\nshare = { bits = 3 }",
    ] {
        let layer = |store: &str| {
            dense(
                &run(&format!("[[layer]]\nmatch = \"ip1.weight\"\n{first}\n{store}")).unwrap(),
                "ip1.weight",
            )
        };
        let plain = layer("");
        for bits in [1, 2, 3, 8, 16] {
            for huffman in [true, false] {
                let store = format!("store = {{ index_bits = {bits}, huffman = {huffman} }}");
                assert_eq!(layer(&store), plain, "{first}; {store}");
            }
        }
    }
}

#[test]
fn the_width_that_is_chosen_is_never_worse_than_one_that_is_given() {
    let bits = |store: &str| {
        let text = format!(
            "[[layer]]\nmatch = \"ip1.weight\"\nprune = {{ density = 0.1 }}\nshare = {{ bits = 4 }}\n{store}"
        );
        run(&text).unwrap()[0].2.footprint().total_bits()
    };
    for index_bits in 1..=8 {
        assert!(bits("") <= bits(&format!("store = {{ index_bits = {index_bits} }}")), "{index_bits} bits");
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let error = run("[[layer]]\nmatch = \"conv*\"").unwrap_err();
    assert!(
        matches!(&error, Error::NoMatch { pattern, known, .. } if pattern == "conv*" && known.len() == 3),
        "{error}"
    );
    // Nothing is that far out: the goal would leave an empty weight.
    let error = run("[[layer]]\nmatch = \"ip1.weight\"\nprune = { quality = 100.0 }").unwrap_err();
    assert!(error.to_string().contains("keeps at least one"), "{error}");
    let training = "[training]\nn_epochs = 1\nbatch_size = 1\noptimizer = { kind = \"sgd\", momentum = 0.0, nesterov = false, \
                    weight_decay = 0.0 }\nschedule = { kind = \"constant\", lr = 0.1 }";
    let error = run(training).unwrap_err();
    assert!(error.to_string().contains("needs data"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_count_kept_is_the_density_rounded(n_out in 1..12_usize, n_in in 1..12_usize, density in 0.01..=1.0_f64, seed in any::<u64>()) {
        let weight = weight(n_out, n_in, seed);
        let expected = (density * (n_out * n_in) as f64).round() as usize;
        match prune(&weight, Prune::Density(density), 1.0) {
            Ok(mask) => prop_assert_eq!(mask.n_kept(), expected),
            Err(_) => prop_assert_eq!(expected, 0),
        }
    }
}
