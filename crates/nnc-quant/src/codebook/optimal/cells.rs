//! What the dynamic program works on: the different values with their counts, or cells of neighbouring values.

use rayon::prelude::*;

use super::super::ranks::Ranks;

/// Values with counts, and what was lost in making them.
pub(super) struct Cells {
    /// Different values, or means of cells; ascending.
    pub(super) values: Vec<f64>,
    /// How many weights each stands for.
    pub(super) counts: Vec<f64>,
    /// Sum of squares of the weights round their cell's mean.
    within: f64,
    /// The largest sum of distances to its mean in one cell.
    largest_spread: f64,
    /// Largest weight minus smallest.
    range: f64,
}

impl Cells {
    /// The different values if they are at most `limit`, else at most `limit` cells.
    pub(super) fn new(ranks: &impl Ranks, limit: usize) -> Self {
        Self::distinct(ranks, limit).unwrap_or_else(|| Self::histogram(ranks, limit))
    }

    fn distinct(ranks: &impl Ranks, limit: usize) -> Option<Self> {
        // Value by value where there are few of many equal ones, else in pieces that end the search early.
        const PIECE: usize = 1 << 16;
        let (mut values, mut counts) = (Vec::<f64>::new(), Vec::<f64>::new());
        for start in (0..ranks.len()).step_by(PIECE) {
            ranks.visit(start..(start + PIECE).min(ranks.len()), |weight| {
                let weight = f64::from(weight);
                match (values.last(), counts.last_mut()) {
                    (Some(&last), Some(count)) if last == weight => *count += 1.0,
                    _ => {
                        values.push(weight);
                        counts.push(1.0);
                    }
                }
            });
            if values.len() > limit {
                return None;
            }
        }
        let range = values[values.len() - 1] - values[0];
        Some(Self { values, counts, within: 0.0, largest_spread: 0.0, range })
    }

    /// Half of the cuts at equal steps of the value, half at equal steps of the rank: the first keep cells narrow in the middle,
    /// the second where a few far weights stretch the range.
    fn histogram(ranks: &impl Ranks, limit: usize) -> Self {
        let (n, half) = (ranks.len(), limit / 2);
        let (min, max) = (f64::from(ranks.value(0)), f64::from(ranks.value(n - 1)));
        let mut cuts: Vec<usize> = (1..half)
            .into_par_iter()
            .flat_map_iter(|i| {
                let share = i as f64 / half as f64;
                // n is below 2^32 and half at most 2^15, so the product fits.
                let by_count = f64::from(ranks.value(i * n / half));
                [ranks.n_at_most(min + share * (max - min)), ranks.n_at_most(by_count)]
            })
            .chain([0, n])
            .collect();
        cuts.par_sort_unstable();
        cuts.dedup();
        let cells: Vec<Cell> = cuts.par_windows(2).map(|cut| Cell::new(ranks, cut[0], cut[1])).collect();
        Self {
            values: cells.iter().map(|cell| cell.mean).collect(),
            counts: cells.iter().map(|cell| cell.count).collect(),
            within: cells.iter().map(|cell| cell.within).sum(),
            largest_spread: cells.iter().map(|cell| cell.spread).fold(0.0, f64::max),
            range: max - min,
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.within == 0.0
    }

    /// What any clustering of the weights costs at least, if the best of the cells' means costs `optimum`.
    ///
    /// A clustering that parts no cell costs what it costs on the means, plus `within`. One that parts cells saves, at a boundary
    /// between centroids c and c', at most (c' - c) times the spread of the parted cell; the gaps of all boundaries sum to the
    /// range at most. And since the distance to the nearest centroid changes by no more than a weight is moved, the roots of
    /// the two costs differ by the root of `within` at most (Minkowski).
    pub(super) fn lower_bound(&self, optimum: f64) -> f64 {
        if self.is_exact() {
            return optimum;
        }
        let by_parting = optimum + self.within - self.range * self.largest_spread;
        let by_moving = (optimum.sqrt() - self.within.sqrt()).max(0.0).powi(2);
        by_parting.max(by_moving)
    }
}

struct Cell {
    count: f64,
    mean: f64,
    within: f64,
    spread: f64,
}

impl Cell {
    fn new(ranks: &impl Ranks, start: usize, end: usize) -> Self {
        let count = (end - start) as f64;
        let mut sum = 0.0;
        ranks.visit(start..end, |weight| sum += f64::from(weight));
        let mean = sum / count;
        let (mut within, mut spread) = (0.0, 0.0);
        ranks.visit(start..end, |weight| {
            let distance = (f64::from(weight) - mean).abs();
            within += distance * distance;
            spread += distance;
        });
        Self { count, mean, within, spread }
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::rng::Rng;

    use super::super::super::ranks::Sorted;
    use super::*;

    #[test]
    fn few_values_are_counted() {
        let cells = Cells::new(&Sorted::new(&[2.0, -0.0, 1.5, 0.0, 2.0, 2.0]), 3);
        assert_eq!(
            (cells.values.as_slice(), cells.counts.as_slice()),
            ([0.0, 1.5, 2.0].as_slice(), [2.0, 1.0, 3.0].as_slice())
        );
        assert!(cells.is_exact());
        assert_eq!(cells.lower_bound(7.0), 7.0);
    }

    #[test]
    fn cells_hold_every_weight_and_the_parallel_axis_law() {
        let mut rng = Rng::keyed(1, "cells", &[]);
        let mut weights: Vec<f32> = (0..5000).map(|_| rng.normal()).collect();
        weights.push(1000.0);
        let cells = Cells::new(&Sorted::new(&weights), 64);
        assert!(cells.values.len() <= 64 && cells.values.is_sorted() && !cells.is_exact());
        assert_eq!(cells.counts.iter().sum::<f64>(), 5001.0);
        // Half of the cells follow the counts, so one far weight does not throw all others into one.
        assert!(cells.counts.iter().all(|&count| count <= 5001.0 / 32.0 + 1.0), "{:?}", cells.counts);
        let round = |c: f64| weights.iter().map(|&w| (f64::from(w) - c).powi(2)).sum::<f64>();
        let on_means: f64 = cells.values.iter().zip(&cells.counts).map(|(v, n)| n * (v - 0.3).powi(2)).sum();
        assert!((on_means + cells.within - round(0.3)).abs() < 1e-9 * round(0.3));
    }
}
