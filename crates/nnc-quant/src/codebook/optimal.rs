//! The best clustering there is: k-means in one dimension, solved exactly by dynamic programming.
//!
//! In one dimension the clusters of an optimum are ranges of the sorted values, so with `cost(a, b)` the sum of squares of the
//! values `a..b` round their mean, and `D_q[b]` the least cost of the first `b` values in `q` clusters,
//! `D_q[b] = min_a D_{q-1}[a] + cost(a, b)`. The best `a` never falls when `b` grows, so a row is found by divide and conquer.
//!
//! # Source
//! Wang and Song, "Ckmeans.1d.dp", The R Journal 3(2), 2011 (the recurrence); Grønlund et al., "Fast exact k-means, k-medians
//! and Bregman divergence clustering in 1D", arXiv 1701.07204, 2017 (its monotony). We differ: sums are carried in two `f64`,
//! where the choices of all rows would take more than 64 MiB only every √k-th row is kept and those between are computed again
//! on the way back, and more than 65,536 different values are first put into 65,536 cells, with a bound on what that costs.

mod cells;
mod dynamic;

use nnc_core::Result;

use self::cells::Cells;
use super::Clustering;
use super::lloyd::{Settled, check};
use super::ranks::{Buckets, Ranks};

/// Different values up to which the optimum is exact.
pub const MAX_EXACT: usize = 1 << 16;

/// Lloyd iterations after a solution on cells, whose boundaries lie between cells.
const N_POLISHING: usize = 100;

/// A clustering, and how far below it any other can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimal {
    /// The clustering; [`Clustering::sum_of_squares`] is what it costs.
    pub clustering: Clustering,
    /// No `n_shared` values cost less than this, up to rounding.
    ///
    /// Up to [`MAX_EXACT`] different weights it is the cost of the clustering itself, but for the rounding of the shared values
    /// to `f32`. Beyond, it is the largest of `D + W - R·A` and `(√D - √W)²`: D is the optimum over the cells' means, W the sum
    /// of squares within cells, A the largest sum of distances to its mean in one cell, R the range of the weights.
    pub lower_bound: f64,
}

/// Groups `weights` round the `n_shared` values with the least `Σ |w - c|²` (Deep Compression, eq. 2).
///
/// Exact up to [`MAX_EXACT`] different weights. Beyond, they are put into at most so many cells, half of them of equal width,
/// half of equal counts; the best clustering that parts no cell is found and then moved on by Lloyd's algorithm on the weights
/// themselves. [`Optimal::lower_bound`] says how much better any clustering could be. Of equal optima the one with the lower
/// boundaries is taken. Where there are fewer different weights than `n_shared`, the surplus lies on the largest weight.
///
/// Cost: O(k n log n) time and at most 64 MiB or O(√k n) of memory for `n` different values or cells, in the caller's rayon pool;
/// the same result at any number of threads.
///
/// # Errors
/// Those of [`cluster`](super::cluster).
///
/// # Example
/// ```
/// use nnc_quant::codebook::cluster_optimal;
/// // The best two values part the last from the rest.
/// let best = cluster_optimal(&[0.0, 1.0, 2.0, 10.0], 2)?;
/// assert_eq!(best.clustering.centroids, [1.0, 10.0]);
/// assert_eq!(best.clustering.assignments, [0, 0, 0, 1]);
/// assert_eq!((best.clustering.sum_of_squares, best.lower_bound), (2.0, 2.0));
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn cluster_optimal(weights: &[f32], n_shared: usize) -> Result<Optimal> {
    check(weights, n_shared)?;
    let ranks = Buckets::new(weights);
    let Solution { mut centroids, lower_bound, is_exact } = Solution::of(&ranks, n_shared);
    centroids.resize(n_shared, ranks.value(ranks.len() - 1));
    let settled = Settled::from(&ranks, centroids, if is_exact { 0 } else { N_POLISHING });
    drop(ranks);
    Ok(Optimal { clustering: settled.assign(weights), lower_bound })
}

/// The best centroids, before they meet the weights again.
pub(super) struct Solution {
    /// Ascending; as many as asked for, or as there are different values.
    pub(super) centroids: Vec<f32>,
    lower_bound: f64,
    is_exact: bool,
}

impl Solution {
    pub(super) fn of(ranks: &impl Ranks, n_shared: usize) -> Self {
        let cells = Cells::new(ranks, MAX_EXACT);
        let prefix = dynamic::Prefix::new(&cells.values, &cells.counts);
        let ends = dynamic::partition(&prefix, n_shared.min(cells.values.len()));
        let (mut centroids, mut cost, mut start) = (Vec::with_capacity(ends.len()), 0.0, 0);
        for end in ends {
            #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            // Where weights differ in scale by more than an `f64` holds, a mean of few is only known to be among them.
            centroids.push(prefix.mean(start, end).clamp(cells.values[start], cells.values[end - 1]) as f32);
            cost += prefix.cost(start, end);
            start = end;
        }
        Self { centroids, lower_bound: cells.lower_bound(cost), is_exact: cells.is_exact() }
    }
}

#[cfg(test)]
mod tests;
