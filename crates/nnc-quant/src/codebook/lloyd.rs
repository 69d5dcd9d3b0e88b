//! Lloyd's algorithm in one dimension.

use nnc_core::rng::Rng;
use nnc_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Init;
use super::assign::assign;
use super::ranks::{Buckets, Ranks, Sorted, key_at_most};

/// Weights from which they are sorted in buckets, whose tables take a while to set up; it changes no result.
const BUCKETS_FROM: usize = 1 << 16;

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

impl Clustering {
    /// The same clustering without the centroids that no weight took.
    #[must_use]
    pub fn without_empty(mut self) -> Self {
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
        let mut taken = taken.into_iter();
        self.centroids.retain(|_| taken.next().unwrap_or(false));
        for code in &mut self.assignments {
            *code = new_code[usize::from(*code)];
        }
        self
    }
}

/// Groups `weights` round `n_shared` values by Lloyd's algorithm, minimising `Σ |w - c|²` (Deep Compression, eq. 2).
///
/// A weight half way between two centroids goes to the lower. A centroid without weights keeps its value. `rng` is used by
/// [`Init::Forgy`] only.
///
/// Means come from running sums in `f64`, added from the lowest weight up; the result is the same at any number of threads.
///
/// Cost: one sort, then O(k log n) an iteration: in one dimension a cluster is a range of the sorted weights. From 65,536
/// weights on the sort is in parallel and linear, and all of it takes, beside the weights, half of their memory (and then
/// the same for the assignments).
///
/// # Errors
/// [`Error::InvalidArgument`] when there are no weights or 2^32 and more, one is not finite, or `n_shared` is out of range.
pub fn cluster(weights: &[f32], config: &ClusterConfig, rng: &mut Rng) -> Result<Clustering> {
    check(weights, config.n_shared)?;
    let settled = if weights.len() < BUCKETS_FROM {
        Settled::by_lloyd(&Sorted::new(weights), config, rng)
    } else {
        Settled::by_lloyd(&Buckets::new(weights), config, rng)
    };
    Ok(settled.assign(weights))
}

/// Refuses what no clustering takes.
pub(super) fn check(weights: &[f32], n_shared: usize) -> Result<()> {
    if weights.is_empty() {
        return Err(Error::invalid("weights", "at least one weight", 0));
    }
    if u32::try_from(weights.len()).is_err() {
        return Err(Error::invalid("weights", "fewer than 2^32 weights", weights.len()));
    }
    if let Some(i) = weights.iter().position(|w| !w.is_finite()) {
        return Err(Error::invalid("weights", "finite numbers", format!("{} at index {i}", weights[i])));
    }
    if !(1..=usize::from(u16::MAX)).contains(&n_shared) {
        return Err(Error::invalid("n_shared", "1 to 65535", n_shared));
    }
    Ok(())
}

/// Centroids that have settled, and what they cost.
pub(super) struct Settled {
    pub(super) centroids: Vec<f32>,
    /// For each centroid but the last, the key of the largest weight that may be its.
    thresholds: Vec<u32>,
    pub(super) sum_of_squares: f64,
    n_iterations: usize,
}

impl Settled {
    fn by_lloyd(ranks: &impl Ranks, config: &ClusterConfig, rng: &mut Rng) -> Self {
        let centroids = config.init.centroids(ranks, config.n_shared, rng);
        Self::from(ranks, centroids, config.max_iterations)
    }

    /// Lloyd's algorithm from `centroids`, which ascend.
    pub(super) fn from(ranks: &impl Ranks, mut centroids: Vec<f32>, max_iterations: usize) -> Self {
        let mut ends = cluster_ends(ranks, &centroids);
        let mut n_iterations = 0;
        while n_iterations < max_iterations {
            n_iterations += 1;
            move_to_means(ranks, &mut centroids, &ends);
            let moved = cluster_ends(ranks, &centroids);
            if moved == ends {
                break;
            }
            ends = moved;
        }
        let mut sum_of_squares = 0.0;
        let mut start = 0;
        for (&end, &centroid) in ends.iter().zip(&centroids) {
            let centroid = f64::from(centroid);
            ranks.visit(start..end, |weight| sum_of_squares += (f64::from(weight) - centroid).powi(2));
            start = end;
        }
        let thresholds = boundaries(&centroids).map(key_at_most).collect();
        Self { centroids, thresholds, sum_of_squares, n_iterations }
    }

    /// Gives each weight the index of its centroid.
    pub(super) fn assign(self, weights: &[f32]) -> Clustering {
        let Self { centroids, thresholds, sum_of_squares, n_iterations } = self;
        let assignments = assign(weights, &thresholds);
        Clustering { centroids, assignments, sum_of_squares, n_iterations }
    }
}

/// Half way between each centroid and the next.
fn boundaries(centroids: &[f32]) -> impl Iterator<Item = f64> {
    centroids.windows(2).map(|pair| f64::midpoint(pair[0].into(), pair[1].into()))
}

/// For each centroid, the rank behind its last weight; `centroids` ascend.
fn cluster_ends(ranks: &impl Ranks, centroids: &[f32]) -> Vec<usize> {
    boundaries(centroids).map(|boundary| ranks.n_at_most(boundary)).chain([ranks.len()]).collect()
}

fn move_to_means(ranks: &impl Ranks, centroids: &mut [f32], ends: &[usize]) {
    let (mut start, mut sum_below_start) = (0, 0.0);
    for (centroid, &end) in centroids.iter_mut().zip(ends) {
        if end > start {
            let sum_below_end = ranks.sum_below(end);
            #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            let mean = ((sum_below_end - sum_below_start) / (end - start) as f64) as f32;
            // The rounding of sums over all weights must not carry the mean of a few out of their range, and out of order.
            *centroid = mean.clamp(ranks.value(start), ranks.value(end - 1));
            (start, sum_below_start) = (end, sum_below_end);
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

    /// Everything that a clustering is, to the bit.
    fn bits(clustering: &Clustering) -> (Vec<u32>, &[u16], u64, usize) {
        let centroids = clustering.centroids.iter().map(|c| c.to_bits()).collect();
        (centroids, &clustering.assignments, clustering.sum_of_squares.to_bits(), clustering.n_iterations)
    }

    const INITS: [Init; 4] = [Init::Linear, Init::Density, Init::Forgy, Init::Optimal];

    #[test]
    fn the_form_of_the_sort_and_the_threads_change_no_bit() {
        let mut rng = Rng::keyed(4, "lloyd", &[]);
        for n in [1, 300, 5_000, 300_000] {
            let weights: Vec<f32> = (0..n).map(|_| rng.normal() * 0.04).collect();
            for init in INITS {
                let config = ClusterConfig { n_shared: 15, init, max_iterations: 40 };
                let rng = || Rng::keyed(1, "forgy", &[n]);
                let plain = Settled::by_lloyd(&Sorted::new(&weights), &config, &mut rng()).assign(&weights);
                for n_threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                    let fast = pool.install(|| {
                        Settled::by_lloyd(&Buckets::new(&weights), &config, &mut rng()).assign(&weights)
                    });
                    assert_eq!(bits(&fast), bits(&plain), "{n} weights, {init:?}, {n_threads} threads");
                    let public = pool.install(|| cluster(&weights, &config, &mut rng())).unwrap();
                    assert_eq!(bits(&public), bits(&plain), "{n} weights, {init:?}, {n_threads} threads");
                }
            }
        }
    }

    #[test]
    fn a_mean_stays_between_its_weights_beside_sums_that_swallow_it() {
        // The sum of all is 2^60; a weight of 1 is below its last place.
        let weights = [1.0, 1.0 + f32::EPSILON, 1.0 + 2.0 * f32::EPSILON, -(2.0_f32.powi(60))];
        let got = run(&weights, 4, Init::Optimal, 100);
        assert!(got.centroids.is_sorted(), "{:?}", got.centroids);
        assert!(got.centroids[1..].iter().all(|&c| (1.0..1.1).contains(&c)), "{:?}", got.centroids);
    }

    proptest! {
        #[test]
        fn both_forms_of_the_sort_cluster_alike(
            weights in prop::collection::vec(
                prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO | prop::num::f32::NEGATIVE, 1..200),
            n_shared in 1..20_usize,
            init in prop::sample::select(INITS.to_vec()),
        ) {
            let weights: Vec<f32> = weights.iter().map(|&w| if w.abs() < 1e15 { w } else { 0.5 }).collect();
            let config = ClusterConfig { n_shared, init, max_iterations: 50 };
            let rng = || Rng::keyed(1, "forgy", &[]);
            let plain = Settled::by_lloyd(&Sorted::new(&weights), &config, &mut rng()).assign(&weights);
            let fast = Settled::by_lloyd(&Buckets::new(&weights), &config, &mut rng()).assign(&weights);
            prop_assert!(plain.centroids.is_sorted());
            prop_assert_eq!(bits(&plain), bits(&fast));
        }

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
