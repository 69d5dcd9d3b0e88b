//! Where the centroids start.

use std::collections::BTreeMap;

use nnc_core::rng::Rng;
use serde::{Deserialize, Serialize};

use super::optimal;
use super::ranks::Ranks;

/// How the first centroids are chosen.
///
/// # Source
/// Deep Compression, §3.2: linear initialisation gives the best networks, since the few large weights matter most and the
/// other two put few centroids there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Equally spaced over `[min, max]`, both included.
    Linear,
    /// Equally spaced in the cumulative distribution: centroid `i` of `k` is the quantile `(i + ½) / k`.
    Density,
    /// `k` of the weights, drawn without replacement.
    Forgy,
    /// The means of the best clustering there is ([`cluster_optimal`](super::cluster_optimal)): Lloyd's algorithm finds nothing
    /// left to do. Not in the paper.
    Optimal,
}

impl Init {
    /// `k` first centroids for the weights, in ascending order.
    pub(super) fn centroids(self, ranks: &impl Ranks, k: usize, rng: &mut Rng) -> Vec<f32> {
        let n = ranks.len();
        let mut centroids = match self {
            Self::Linear => {
                let (min, max) = (f64::from(ranks.value(0)), f64::from(ranks.value(n - 1)));
                let step = if k > 1 { (max - min) / (k - 1) as f64 } else { 0.0 };
                let start = if k > 1 { min } else { f64::midpoint(min, max) };
                (0..k).map(|i| to_f32(start + step * i as f64)).collect()
            }
            Self::Density => (0..k).map(|i| ranks.value(((2 * i + 1) * n / (2 * k)).min(n - 1))).collect(),
            Self::Forgy => {
                let mut chosen: Vec<f32> =
                    draw(n, k.min(n), rng).into_iter().map(|rank| ranks.value(rank)).collect();
                chosen.sort_by(f32::total_cmp);
                chosen
            }
            Self::Optimal => optimal::Solution::of(ranks, k).centroids,
        };
        // More centroids than weights: the surplus stays empty.
        centroids.resize(k, ranks.value(n - 1));
        centroids
    }
}

/// `k` different numbers below `n`: the first k steps of a Fisher-Yates shuffle, of which only what moved is kept.
fn draw(n: usize, k: usize, rng: &mut Rng) -> Vec<usize> {
    let mut moved = BTreeMap::new();
    let mut drawn = Vec::with_capacity(k);
    for i in 0..k {
        let j = i + rng.below(n - i);
        let at_i = moved.get(&i).copied().unwrap_or(i);
        // Place i is never looked at again, so only half of the swap is written down.
        drawn.push(moved.insert(j, at_i).unwrap_or(j));
        if i == j {
            moved.remove(&j);
        }
    }
    drawn
}

#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn to_f32(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::super::ranks::Sorted;
    use super::*;

    fn start(init: Init, values: &[f32], k: usize) -> Vec<f32> {
        init.centroids(&Sorted::new(values), k, &mut Rng::keyed(1, "forgy", &[]))
    }

    #[test]
    fn linear_spans_the_range() {
        let figure_3 = [
            2.09, -0.98, 1.48, 0.09, 0.05, -0.14, -1.08, 2.12, -0.91, 1.92, 0.0, -1.03, 1.87, 0.0, 1.53, 1.49,
        ];
        let got = start(Init::Linear, &figure_3, 4);
        for (got, expected) in got.iter().zip([-1.08, -0.013_333, 1.053_333, 2.12]) {
            assert!((got - expected).abs() < 1e-5, "expected {expected}, got {got}");
        }
    }

    #[test]
    fn density_follows_the_quantiles() {
        let ramp: Vec<f32> = (0..100_u8).map(f32::from).collect();
        assert_eq!(start(Init::Density, &ramp, 4), [12.0, 37.0, 62.0, 87.0]);
    }

    #[test]
    fn forgy_draws_distinct_weights() {
        let ramp: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let mut drawn = start(Init::Forgy, &ramp, 10);
        assert!(drawn.iter().all(|x| ramp.contains(x)));
        drawn.dedup();
        assert_eq!(drawn.len(), 10);
    }

    #[test]
    fn a_draw_is_the_head_of_a_shuffle() {
        for (n, k) in [(1, 1), (7, 7), (100, 30), (1000, 1000)] {
            let mut rng = Rng::keyed(3, "shuffle", &[n as u64]);
            let mut order: Vec<usize> = (0..n).collect();
            for i in 0..k {
                order.swap(i, i + rng.below(n - i));
            }
            assert_eq!(draw(n, k, &mut Rng::keyed(3, "shuffle", &[n as u64])), order[..k]);
        }
    }

    #[test]
    fn surplus_centroids_lie_on_the_last_weight() {
        for init in [Init::Forgy, Init::Optimal] {
            assert_eq!(start(init, &[2.0, 1.0, 1.0], 5)[3..], [2.0, 2.0]);
        }
    }
}
