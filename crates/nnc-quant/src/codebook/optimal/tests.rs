//! The optimum against every partition there is, and against Lloyd's algorithm.

use nnc_core::rng::Rng;
use proptest::prelude::*;

use super::super::{ClusterConfig, Init, cluster};
use super::*;

/// Sum of squares round the mean, by two passes.
fn cost_of(values: &[f32]) -> f64 {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum()
}

/// The least cost over all ways to cut `sorted` into at most `k` ranges.
fn brute_force(sorted: &[f32], k: usize) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    if k == 1 {
        return cost_of(sorted);
    }
    let parts = (1..=sorted.len()).map(|cut| cost_of(&sorted[..cut]) + brute_force(&sorted[cut..], k - 1));
    parts.fold(f64::INFINITY, f64::min)
}

fn lloyd(weights: &[f32], n_shared: usize, init: Init) -> Clustering {
    cluster(
        weights,
        &ClusterConfig { n_shared, init, max_iterations: 1000 },
        &mut Rng::keyed(1, "forgy", &[]),
    )
    .unwrap()
}

const STARTS: [Init; 3] = [Init::Linear, Init::Density, Init::Forgy];

#[test]
fn figure_3_is_parted_as_in_the_paper() {
    let weights =
        [2.09, -0.98, 1.48, 0.09, 0.05, -0.14, -1.08, 2.12, -0.91, 1.92, 0.0, -1.03, 1.87, 0.0, 1.53, 1.49];
    let best = cluster_optimal(&weights, 4).unwrap();
    assert_eq!(best.clustering.assignments, [3, 0, 2, 1, 1, 1, 0, 3, 0, 3, 1, 0, 3, 1, 2, 2]);
    assert!((best.clustering.sum_of_squares - 0.0932).abs() < 5e-5);
}

#[test]
fn of_equal_optima_the_lower_boundary_is_taken() {
    // {0} {1 2} and {0 1} {2} cost the same.
    assert_eq!(cluster_optimal(&[2.0, 0.0, 1.0], 2).unwrap().clustering.assignments, [1, 0, 1]);
}

#[test]
fn lloyd_is_caught_where_the_optimum_is_not() {
    // Three groups, the outer two far apart inside: a density start puts two centroids into the crowd and stays there.
    let mut weights = vec![0.0; 100];
    weights.extend([0.1; 100]);
    weights.extend([50.0, 60.0]);
    let caught = lloyd(&weights, 3, Init::Density);
    let best = cluster_optimal(&weights, 3).unwrap();
    assert_eq!(best.clustering.centroids, [0.05, 50.0, 60.0]);
    assert!(best.clustering.sum_of_squares < 0.1 * caught.sum_of_squares, "{caught:?}");
}

#[test]
fn more_values_than_cells_stay_within_the_bound() {
    let mut rng = Rng::keyed(5, "optimal", &[]);
    let mut weights: Vec<f32> = (0..150_000).map(|_| rng.normal() * 0.05).collect();
    weights.push(3.0);
    for k in [4, 31] {
        let best = cluster_optimal(&weights, k).unwrap();
        let cost = best.clustering.sum_of_squares;
        assert!(
            best.lower_bound <= cost && cost - best.lower_bound < 0.01 * cost,
            "{} {cost}",
            best.lower_bound
        );
        for init in STARTS {
            let other = lloyd(&weights, k, init).sum_of_squares;
            assert!(other >= best.lower_bound, "{init:?} costs {other}, below {}", best.lower_bound);
        }
    }
}

#[test]
fn cells_bound_the_exact_optimum_from_below() {
    // So few cells that the bound has work to do, beside the exact optimum of the same weights.
    let mut rng = Rng::keyed(6, "optimal", &[]);
    for case in 0..20 {
        let weights: Vec<f32> =
            (0..3000).map(|_| if case % 2 == 0 { rng.normal() } else { rng.normal().powi(3) }).collect();
        let ranks = super::super::ranks::Sorted::new(&weights);
        for k in [2, 7, 20] {
            let exact = cluster_optimal(&weights, k).unwrap().clustering.sum_of_squares;
            let cells = Cells::new(&ranks, 200);
            let prefix = dynamic::Prefix::new(&cells.values, &cells.counts);
            let ends = dynamic::partition(&prefix, k);
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let cost: f64 = starts.zip(&ends).map(|(start, &end)| prefix.cost(start, end)).sum();
            let bound = cells.lower_bound(cost);
            assert!(bound <= exact && bound > 0.0, "case {case}, k {k}: {bound} and {exact}");
        }
    }
}

#[test]
fn tiny_clusters_far_from_the_mean_are_told_apart() {
    // Their squares are 1e-12 of the distance to the common mean, squared.
    let weights: Vec<f32> =
        (0..64_u8).map(|i| f32::from(i % 8) * 1e-6 + if i < 32 { 1.0 } else { -1.0 }).collect();
    let distinct: std::collections::BTreeSet<u32> = weights.iter().map(|w| w.to_bits()).collect();
    let best = cluster_optimal(&weights, distinct.len()).unwrap();
    assert_eq!(best.clustering.sum_of_squares, 0.0);
    let mut sorted: Vec<f32> = weights[..32].to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup();
    let (left, expected) = (cluster_optimal(&sorted, 3).unwrap().clustering, brute_force(&sorted, 3));
    assert!(
        (left.sum_of_squares - expected).abs() <= 1e-13 + 1e-3 * expected,
        "{} and {expected}",
        left.sum_of_squares
    );
}

#[test]
fn the_start_is_the_optimum_and_lloyd_leaves_it() {
    let mut rng = Rng::keyed(2, "optimal", &[]);
    let weights: Vec<f32> = (0..2000).map(|_| rng.normal()).collect();
    let best = cluster_optimal(&weights, 16).unwrap().clustering;
    let from = lloyd(&weights, 16, Init::Optimal);
    assert!((from.sum_of_squares - best.sum_of_squares).abs() <= 1e-9 * best.sum_of_squares);
    assert!(from.n_iterations <= 2, "{}", from.n_iterations);
}

#[test]
fn wrong_arguments_are_named() {
    assert!(cluster_optimal(&[], 2).unwrap_err().to_string().contains("weights"));
    assert!(cluster_optimal(&[1.0, f32::INFINITY], 2).unwrap_err().to_string().contains("inf at index 1"));
    for n_shared in [0, 65_536] {
        assert!(cluster_optimal(&[1.0], n_shared).unwrap_err().to_string().contains("n_shared"));
    }
    assert_eq!(cluster_optimal(&[0.5; 3], 65_535).unwrap().clustering.sum_of_squares, 0.0);
}

proptest! {
    #[test]
    fn no_partition_costs_less(
        weights in prop::collection::vec(prop_oneof![-4.0..4.0_f32, (-3_i8..4).prop_map(f32::from)], 1..13),
        k in 1..7_usize,
    ) {
        let mut sorted = weights.clone();
        sorted.sort_by(f32::total_cmp);
        let (best, expected) = (cluster_optimal(&weights, k).unwrap(), brute_force(&sorted, k));
        // The rest is the rounding of shared values to f32.
        let slack = 1e-5 * (expected + 1e-6);
        prop_assert!((best.clustering.sum_of_squares - expected).abs() <= slack, "{:?} and {}", best, expected);
        prop_assert!((best.lower_bound - expected).abs() <= 1e-12 + 1e-12 * expected);
    }

    #[test]
    fn no_start_leads_lloyd_below(
        weights in prop::collection::vec(-4.0..4.0_f32, 1..400),
        k in 1..40_usize,
    ) {
        let best = cluster_optimal(&weights, k).unwrap().clustering;
        prop_assert!(best.centroids.is_sorted());
        for init in STARTS {
            let other = lloyd(&weights, k, init).sum_of_squares;
            prop_assert!(best.sum_of_squares <= other * (1.0 + 1e-6) + 1e-9, "{:?}: {} and {}", init, best.sum_of_squares, other);
        }
    }
}
