//! Published examples, laws, and package-merge against brute force.

use proptest::prelude::*;

use super::*;

fn cost(counts: &[u64], lengths: &[u8]) -> u64 {
    counts.iter().zip(lengths).map(|(&count, &length)| count * u64::from(length)).sum()
}

fn unlimited(counts: &[u64]) -> Vec<u8> {
    huffman_lengths(&Histogram::from_counts(counts).unwrap())
}

fn limited(counts: &[u64], max_length: u32) -> Vec<u8> {
    limited_lengths(&Histogram::from_counts(counts).unwrap(), max_length).unwrap()
}

fn kraft_sum(lengths: &[u8]) -> f64 {
    lengths.iter().filter(|&&length| length > 0).map(|&length| 0.5f64.powi(i32::from(length))).sum()
}

/// The cheapest complete code of at most `max_length` bits, by trying each vector of lengths.
fn brute_force_cost(counts: &[u64], max_length: u32) -> u64 {
    fn search(counts: &[u64], max_length: u32, free: u64, spent: u64, best: &mut u64) {
        let Some((&count, rest)) = counts.split_first() else {
            *best = (*best).min(spent);
            return;
        };
        for length in 1..=max_length {
            let used = 1 << (max_length - length);
            if used <= free {
                search(rest, max_length, free - used, spent + count * u64::from(length), best);
            }
        }
    }
    let mut best = u64::MAX;
    search(counts, max_length, 1 << max_length, 0, &mut best);
    best
}

#[test]
fn slide_example_costs_126_bits() {
    let counts = [100, 10, 1, 1];
    assert_eq!(unlimited(&counts), [1, 2, 3, 3]);
    assert_eq!(cost(&counts, &unlimited(&counts)), 126);
    assert_eq!(cost(&counts, &[2; 4]), 224);
}

#[test]
fn clrs_example_costs_224_bits() {
    let counts = [45, 13, 12, 16, 9, 5];
    assert_eq!(unlimited(&counts), [1, 3, 3, 3, 4, 4]);
    assert_eq!(cost(&counts, &unlimited(&counts)), 224);
}

#[test]
fn fibonacci_counts_reach_the_greatest_depth() {
    let counts = [1, 1, 2, 3, 5, 8];
    assert_eq!(unlimited(&counts), [5, 5, 4, 3, 2, 1]);
    assert_eq!(cost(&counts, &unlimited(&counts)), 45);

    let mut fibonacci = vec![1u64, 1];
    while fibonacci.iter().sum::<u64>() < Histogram::MAX_TOTAL / 4 {
        fibonacci.push(fibonacci[fibonacci.len() - 1] + fibonacci[fibonacci.len() - 2]);
    }
    let lengths = unlimited(&fibonacci);
    assert_eq!(usize::from(lengths[0]), fibonacci.len() - 1);
    let shortened = limited(&fibonacci, 12);
    assert_eq!(shortened.iter().max(), Some(&12));
    assert_eq!(kraft_sum(&shortened), 1.0);
}

#[test]
fn uniform_powers_of_two_get_equal_lengths() {
    for bits in [1u32, 2, 5, 8, 12, 16] {
        let counts = vec![7; 1 << bits];
        assert!(unlimited(&counts).iter().all(|&length| u32::from(length) == bits), "{bits}");
        assert!(limited(&counts, bits).iter().all(|&length| u32::from(length) == bits), "{bits}");
    }
}

#[test]
fn dyadic_counts_cost_exactly_their_entropy() {
    let counts = [4, 2, 1, 1];
    let entropy = Histogram::from_counts(&counts).unwrap().entropy_bits();
    assert_eq!(cost(&counts, &unlimited(&counts)), 14);
    assert_eq!(entropy, 14.0);
}

#[test]
fn no_symbol_and_one_symbol_have_lengths_too() {
    assert!(unlimited(&[]).is_empty());
    assert_eq!(unlimited(&[0, 0, 9]), [0, 0, 1]);
    assert!(limited(&[], 12).is_empty());
    assert_eq!(limited(&[0, 5], 1), [0, 1]);
}

#[test]
fn limits_that_cannot_hold_the_alphabet_are_refused() {
    let histogram = Histogram::from_counts(&[1; 5]).unwrap();
    for max_length in [0, 2, 17, u32::MAX] {
        assert!(limited_lengths(&histogram, max_length).unwrap_err().is_caller(), "{max_length}");
    }
    assert!(limited_lengths(&histogram, 3).is_ok());
}

#[test]
fn ties_go_to_the_symbol_order() {
    // Three equal counts: the two smallest symbols are merged first.
    assert_eq!(unlimited(&[1, 1, 1]), [2, 2, 1]);
    assert_eq!(unlimited(&[0, 4, 4, 4, 4, 4]), [0, 3, 3, 2, 2, 2]);
}

fn counts_strategy() -> impl Strategy<Value = Vec<u64>> {
    // Exponents give skew; small counts give ties; zeros give holes.
    prop::collection::vec(prop_oneof![0u64..6, (0u32..30).prop_map(|shift| 1 << shift)], 2..80)
        .prop_filter("two symbols", |counts| counts.iter().filter(|&&count| count > 0).count() >= 2)
}

proptest! {
    #[test]
    fn mean_length_lies_within_one_bit_of_the_entropy(counts in counts_strategy()) {
        let histogram = Histogram::from_counts(&counts).unwrap();
        let lengths = huffman_lengths(&histogram);
        let mean = cost(&counts, &lengths) as f64 / histogram.total() as f64;
        let entropy = histogram.entropy_bits_per_symbol();
        prop_assert!(entropy <= mean + 1e-9 && mean < entropy + 1.0, "H {entropy} L {mean}");
    }

    #[test]
    fn lengths_are_complete_and_monotone(counts in counts_strategy(), slack in 0u32..8) {
        let n = counts.iter().filter(|&&count| count > 0).count();
        let max_length = (n.next_power_of_two().trailing_zeros() + slack).clamp(1, 16);
        for lengths in [unlimited(&counts), limited(&counts, max_length)] {
            prop_assert_eq!(kraft_sum(&lengths), 1.0);
            for (i, &a) in counts.iter().enumerate() {
                prop_assert!(i >= lengths.len() || (a == 0) == (lengths[i] == 0));
                for (j, &b) in counts.iter().enumerate() {
                    if a > b && b > 0 {
                        prop_assert!(lengths[i] <= lengths[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn limits_cost_and_stop_costing_at_the_depth(counts in counts_strategy()) {
        let free = unlimited(&counts);
        let depth = u32::from(*free.iter().max().unwrap());
        let n = counts.iter().filter(|&&count| count > 0).count();
        let least = n.next_power_of_two().trailing_zeros().max(1);
        let mut previous = u64::MAX;
        for max_length in least..=16 {
            let lengths = limited(&counts, max_length);
            prop_assert!(lengths.iter().all(|&length| u32::from(length) <= max_length));
            let now = cost(&counts, &lengths);
            prop_assert!(now <= previous && now >= cost(&counts, &free));
            if max_length >= depth {
                prop_assert_eq!(&lengths, &free);
            }
            previous = now;
        }
    }

    #[test]
    fn package_merge_without_need_costs_what_huffman_costs(counts in counts_strategy()) {
        let mut weights: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
        weights.sort_unstable();
        let free = huffman(&weights);
        let depth = u32::from(*free.iter().max().unwrap());
        prop_assert_eq!(cost(&weights, &package_merge(&weights, depth)), cost(&weights, &free));
    }

    #[test]
    fn merging_from_both_ends_is_sorting(
        leaves in prop::collection::vec(1u64..40, 1..60), packages in prop::collection::vec(1u64..80, 0..60)
    ) {
        let between = |list: &[u64]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            [&[0], &list[..], &[u64::MAX]].concat()
        };
        let mut expected: Vec<(u64, bool)> = leaves.iter().map(|&weight| (weight, false)).collect();
        expected.extend(packages.iter().map(|&weight| (weight, true)));
        expected.sort_unstable();
        let mut merged = Vec::new();
        let is_leaf = merge(&between(&leaves), &between(&packages), &mut merged);
        let got: Vec<(u64, bool)> = merged.into_iter().zip(is_leaf.iter().map(|&leaf| !leaf)).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn package_merge_is_optimal(counts in prop::collection::vec(1u64..200, 2..7), slack in 0u32..3) {
        let max_length = counts.len().next_power_of_two().trailing_zeros() + slack;
        prop_assert_eq!(cost(&counts, &limited(&counts, max_length)), brute_force_cost(&counts, max_length));
    }

    #[test]
    fn cost_does_not_depend_on_the_labels(counts in counts_strategy(), rotation in 0usize..80) {
        let mut relabelled = counts.clone();
        relabelled.rotate_left(rotation % counts.len());
        prop_assert_eq!(cost(&counts, &unlimited(&counts)), cost(&relabelled, &unlimited(&relabelled)));
    }
}
