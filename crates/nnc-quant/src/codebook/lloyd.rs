//! Lloyd's algorithm in one dimension.

use nnc_core::rng::Rng;
use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Init;

impl Clustering {
    /// The same clustering without the centroids that no weight took.
    #[must_use]
    pub fn without_empty(self) -> Self {
        let mut taken = vec![false; self.centroids.len()];
        for &code in &self.assignments {
            taken[usize::from(code)] = true;
        }
        let mut next = 0_u16;
        let new_code: Vec<u16> = taken
            .iter()
            .map(|&taken| {
                let code = next;
                next += u16::from(taken);
                code
            })
            .collect();
        let centroids =
            self.centroids.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| *c).collect();
        let assignments = self.assignments.iter().map(|&code| new_code[usize::from(code)]).collect();
        Self { centroids, assignments, ..self }
    }
}

/// How to share values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Number of shared values, 1 to 65,535.
    pub n_shared: usize,
    /// Where they start.
    pub init: Init,
    /// Lloyd iterations at most; it ends earlier when no weight moves.
    pub max_iterations: usize,
}

/// Weights grouped round shared values.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// The shared values, ascending, `n_shared` of them.
    pub centroids: Vec<f32>,
    /// For each weight, the index of its value.
    pub assignments: Vec<u16>,
    /// Within-cluster sum of squares, `Σ |w - c|²`.
    pub sum_of_squares: f64,
    /// Iterations until nothing moved, or the limit.
    pub n_iterations: usize,
}

/// Groups `weights` round `n_shared` values by Lloyd's algorithm, minimising `Σ |w - c|²` (Deep Compression, eq. 2).
///
/// A weight half way between two centroids goes to the lower. A centroid without weights keeps its value. `rng` is used by
/// [`Init::Forgy`] only.
///
/// Cost: one sort, then O(k log n) an iteration: in one dimension a cluster is a range of the sorted weights.
///
/// # Errors
/// [`Error::InvalidArgument`] when there are no weights, one is not finite, or `n_shared` is out of range.
pub fn cluster(weights: &[f32], config: &ClusterConfig, rng: &mut Rng) -> Result<Clustering> {
    if weights.is_empty() {
        return Err(Error::invalid("weights", "at least one weight", 0));
    }
    if let Some(i) = weights.iter().position(|w| !w.is_finite()) {
        return Err(Error::invalid("weights", "finite numbers", format!("{} at index {i}", weights[i])));
    }
    if !(1..=usize::from(u16::MAX)).contains(&config.n_shared) {
        return Err(Error::invalid("n_shared", "1 to 65535", config.n_shared));
    }
    let sorted = Sorted::new(weights);
    let mut centroids = config.init.centroids(&sorted.values, config.n_shared, rng);
    let mut ends = sorted.cluster_ends(&centroids);
    let mut n_iterations = 0;
    while n_iterations < config.max_iterations {
        n_iterations += 1;
        sorted.move_to_means(&mut centroids, &ends);
        let moved = sorted.cluster_ends(&centroids);
        if moved == ends {
            break;
        }
        ends = moved;
    }
    let mut assignments = vec![0; weights.len()];
    let mut sum_of_squares = 0.0;
    let mut start = 0;
    for ((code, &end), &centroid) in (0_u16..).zip(&ends).zip(&centroids) {
        for rank in start..end {
            assignments[sorted.order[rank]] = code;
            sum_of_squares += (f64::from(sorted.values[rank]) - f64::from(centroid)).powi(2);
        }
        start = end;
    }
    Ok(Clustering { centroids, assignments, sum_of_squares, n_iterations })
}

/// The weights in ascending order with their running sums.
struct Sorted {
    order: Vec<usize>,
    values: Vec<f32>,
    sums: Vec<f64>,
}

impl Sorted {
    fn new(weights: &[f32]) -> Self {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        let values: Vec<f32> = order.iter().map(|&i| weights[i]).collect();
        let mut sums = Vec::with_capacity(values.len() + 1);
        sums.push(0.0);
        for &value in &values {
            sums.push(sums[sums.len() - 1] + f64::from(value));
        }
        Self { order, values, sums }
    }

    /// For each centroid, the rank behind its last weight; `centroids` ascend.
    fn cluster_ends(&self, centroids: &[f32]) -> Vec<usize> {
        let mut ends: Vec<usize> = centroids
            .windows(2)
            .map(|pair| {
                let boundary = f64::midpoint(f64::from(pair[0]), f64::from(pair[1]));
                self.values.partition_point(|&w| f64::from(w) <= boundary)
            })
            .collect();
        ends.push(self.values.len());
        ends
    }

    fn move_to_means(&self, centroids: &mut [f32], ends: &[usize]) {
        let mut start = 0;
        for (centroid, &end) in centroids.iter_mut().zip(ends) {
            if end > start {
                #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
                let mean = ((self.sums[end] - self.sums[start]) / (end - start) as f64) as f32;
                *centroid = mean;
                start = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::rng::Rng;
    use proptest::prelude::*;

    use super::*;

    fn run(weights: &[f32], n_shared: usize, init: Init, max_iterations: usize) -> Clustering {
        cluster(weights, &ClusterConfig { n_shared, init, max_iterations }, &mut Rng::keyed(1, "forgy", &[]))
            .unwrap()
    }

    /// The definition: the nearest centroid, the lower of two equally near.
    fn nearest(w: f32, centroids: &[f32]) -> f64 {
        centroids.iter().map(|&c| (f64::from(w) - f64::from(c)).abs()).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn figure_3_converges_to_its_centroids() {
        let weights = [
            2.09, -0.98, 1.48, 0.09, 0.05, -0.14, -1.08, 2.12, -0.91, 1.92, 0.0, -1.03, 1.87, 0.0, 1.53, 1.49,
        ];
        let got = run(&weights, 4, Init::Linear, 100);
        assert!((got.sum_of_squares - 0.0932).abs() < 5e-5, "{}", got.sum_of_squares);
    }

    #[test]
    fn dropping_empty_centroids_changes_no_value() {
        let weights = [-1.0, -0.9, 0.9, 1.0];
        let full = run(&weights, 9, Init::Linear, 100);
        let small = full.clone().without_empty();
        assert!(small.centroids.len() <= 4 && full.centroids.len() == 9, "{small:?}");
        let values = |c: &Clustering| -> Vec<f32> {
            c.assignments.iter().map(|&code| c.centroids[usize::from(code)]).collect()
        };
        assert_eq!(values(&full), values(&small));
        let used: std::collections::BTreeSet<u16> = small.assignments.iter().copied().collect();
        assert_eq!(used.len(), small.centroids.len());
    }

    #[test]
    fn edge_cases_are_defined() {
        let constant = run(&[0.5; 4], 3, Init::Linear, 10);
        assert_eq!((constant.centroids[0], constant.sum_of_squares), (0.5, 0.0));
        // The tie goes to the lower index: 1 is half way between 0 and 2.
        assert_eq!(run(&[0.0, 1.0, 2.0], 2, Init::Linear, 0).assignments, [0, 0, 1]);
        let wrong = cluster(
            &[f32::NAN],
            &ClusterConfig { n_shared: 1, init: Init::Linear, max_iterations: 1 },
            &mut Rng::keyed(0, "", &[]),
        );
        assert!(wrong.unwrap_err().to_string().contains("NaN at index 0"));
    }

    proptest! {
        #[test]
        fn every_weight_is_with_its_nearest_centroid(
            weights in prop::collection::vec(-4.0..4.0_f32, 1..200),
            n_shared in 1..20_usize,
            init in prop::sample::select(vec![Init::Linear, Init::Density, Init::Forgy]),
        ) {
            let got = run(&weights, n_shared, init, 1000);
            prop_assert!(got.centroids.is_sorted());
            for (&w, &i) in weights.iter().zip(&got.assignments) {
                let distance = (f64::from(w) - f64::from(got.centroids[usize::from(i)])).abs();
                prop_assert!(distance <= nearest(w, &got.centroids) + 1e-6);
            }
        }

        #[test]
        fn an_iteration_never_makes_it_worse(weights in prop::collection::vec(-4.0..4.0_f32, 1..100), n_shared in 1..10_usize) {
            let costs: Vec<f64> = (0..8).map(|n| run(&weights, n_shared, Init::Linear, n).sum_of_squares).collect();
            for pair in costs.windows(2) {
                prop_assert!(pair[1] <= pair[0] * (1.0 + 1e-6) + 1e-9, "{:?}", costs);
            }
        }

        #[test]
        fn no_more_distinct_values_than_shared_ones_cost_nothing(
            picks in prop::collection::vec(0..4_usize, 4..50),
        ) {
            let table = [-1.5_f32, -0.25, 0.5, 2.0];
            let weights: Vec<f32> = picks.iter().map(|&i| table[i]).chain(table).collect();
            prop_assert!(run(&weights, 256, Init::Linear, 1000).sum_of_squares < 1e-9);
        }
    }
}
