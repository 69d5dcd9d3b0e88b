//! The dynamic program: which ranges of ascending values cost least.

/// Values of a row below which it is not worth another task.
const MIN_PARALLEL: usize = 1 << 11;

/// Choices that are kept at once, 4 bytes each: all of them for 256 clusters of 65,536 values.
const MAX_CHOICES: usize = 1 << 24;

/// Running sums that give the cost of any range of values.
///
/// Values are taken from their common mean, and each sum is held as a number and its remainder, so that the sum over a range is
/// right to the last bits of an `f64` however small it is beside the sum of all. What is left is the cancellation in
/// `Σx² - (Σx)²/n`: about 1e-16 times the squared distance of the range from the mean, a weight.
pub(super) struct Prefix {
    mean: f64,
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    first: Long,
    second: Long,
}

/// The unrounded sum `high + low`.
#[derive(Debug, Clone, Copy, Default)]
struct Long {
    high: f64,
    low: f64,
}

impl Long {
    /// Adds `x + y`; `y` is small beside `x` (Knuth's sum without error, then Dekker's).
    fn add(self, x: f64, y: f64) -> Self {
        let sum = self.high + x;
        let part = sum - self.high;
        let error = (self.high - (sum - part)) + (x - part);
        let low = self.low + error + y;
        let high = sum + low;
        Self { high, low: low - (high - sum) }
    }

    /// `self - other`, rounded.
    fn minus(self, other: Self) -> f64 {
        (self.high - other.high) + (self.low - other.low)
    }
}

impl Prefix {
    /// `values` ascend; each occurs `counts` times.
    pub(super) fn new(values: &[f64], counts: &[f64]) -> Self {
        let total: f64 = counts.iter().sum();
        let mean = values.iter().zip(counts).map(|(value, count)| value * count).sum::<f64>() / total;
        let mut sums = Vec::with_capacity(values.len() + 1);
        let mut now = Sums::default();
        sums.push(now);
        for (&value, &count) in values.iter().zip(counts) {
            let x = value - mean;
            // Products with their rounding errors: p + e is exact.
            let (p, square) = (count * x, x * x);
            let scaled = count * square;
            now.count += count;
            now.first = now.first.add(p, count.mul_add(x, -p));
            now.second =
                now.second.add(scaled, count.mul_add(square, -scaled) + count * x.mul_add(x, -square));
            sums.push(now);
        }
        Self { mean, sums }
    }

    /// Number of values.
    fn len(&self) -> usize {
        self.sums.len() - 1
    }

    /// Sum of squares of the values `start..end` round their mean.
    #[inline]
    pub(super) fn cost(&self, start: usize, end: usize) -> f64 {
        let (a, b) = (&self.sums[start], &self.sums[end]);
        let (count, first) = (b.count - a.count, b.first.minus(a.first));
        (b.second.minus(a.second) - first * first / count).max(0.0)
    }

    /// Mean of the values `start..end`.
    pub(super) fn mean(&self, start: usize, end: usize) -> f64 {
        let (a, b) = (&self.sums[start], &self.sums[end]);
        self.mean + b.first.minus(a.first) / (b.count - a.count)
    }
}

/// Where the `k` clusters of an optimum end, `1 ≤ k ≤` number of values; none is empty.
pub(super) fn partition(prefix: &Prefix, k: usize) -> Vec<usize> {
    let fits = k.saturating_mul(prefix.len()) <= MAX_CHOICES;
    partition_in(prefix, k, if fits { k } else { k.isqrt() })
}

/// As [`partition`], with the choices of at most `stretch` rows in memory, and every `stretch`-th row.
fn partition_in(prefix: &Prefix, k: usize, stretch: usize) -> Vec<usize> {
    let n = prefix.len();
    // Row q is kept where q - 1 is a multiple of `stretch`; the rows behind the last that is kept are only needed with their choices.
    let last_kept = if k > 1 { (k - 2) / stretch * stretch + 1 } else { 0 };
    let mut kept = Vec::new();
    let mut row: Vec<f64> = std::iter::once(0.0).chain((1..=n).map(|end| prefix.cost(0, end))).collect();
    for q in 1..=last_kept {
        if (q - 1) % stretch == 0 {
            kept.push(row.clone());
        }
        if q < last_kept {
            row = Row { prefix, before: &row, n_before: q }.next().0;
        }
    }
    let mut ends = vec![n];
    let mut at = n;
    for (i, first_row) in kept.into_iter().enumerate().rev() {
        // The rows behind this one up to the next that was kept, or the last: again, with their choices.
        let (first_q, last_q) = (i * stretch + 1, ((i + 1) * stretch + 1).min(k));
        let mut row = first_row;
        let mut choices = Vec::new();
        for q in first_q..last_q {
            let (next, choice) = Row { prefix, before: &row, n_before: q }.next();
            choices.push(choice);
            row = next;
        }
        for choice in choices.iter().rev() {
            at = choice[at] as usize;
            ends.push(at);
        }
    }
    ends.reverse();
    ends
}

/// The step from `n_before` clusters to one more.
#[derive(Clone, Copy)]
struct Row<'a> {
    prefix: &'a Prefix,
    /// Least cost of the first b values in `n_before` clusters.
    before: &'a [f64],
    n_before: usize,
}

impl Row<'_> {
    /// The least costs with one cluster more, and where that cluster starts.
    fn next(self) -> (Vec<f64>, Vec<u32>) {
        let n = self.prefix.len();
        let (mut costs, mut choices) = (vec![f64::INFINITY; n + 1], vec![0; n + 1]);
        let first = self.n_before + 1;
        self.fill(first, &mut costs[first..], &mut choices[first..], self.n_before, n);
        (costs, choices)
    }

    /// Fills the ends from `first` on; their last clusters start between `low` and `high`.
    fn fill(self, first: usize, costs: &mut [f64], choices: &mut [u32], low: usize, high: usize) {
        if costs.is_empty() {
            return;
        }
        let middle = costs.len() / 2;
        let end = first + middle;
        let (mut best, mut choice) = (f64::INFINITY, low);
        for start in low..=high.min(end - 1) {
            let cost = self.before[start] + self.prefix.cost(start, end);
            if cost < best {
                (best, choice) = (cost, start);
            }
        }
        costs[middle] = best;
        choices[middle] = u32::try_from(choice).expect("at most 65,536 values");
        let (left_costs, right_costs) = costs.split_at_mut(middle);
        let (left_choices, right_choices) = choices.split_at_mut(middle);
        let is_long = left_costs.len() >= MIN_PARALLEL;
        let mut left = || self.fill(first, left_costs, left_choices, low, choice);
        let mut right = || self.fill(end + 1, &mut right_costs[1..], &mut right_choices[1..], choice, high);
        if is_long {
            rayon::join(left, right);
        } else {
            left();
            right();
        }
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::rng::Rng;

    use super::*;

    #[test]
    fn rows_computed_again_choose_alike() {
        let mut rng = Rng::keyed(1, "dynamic", &[]);
        let mut values: Vec<f64> = (0..400).map(|_| f64::from(rng.normal())).collect();
        values.sort_by(f64::total_cmp);
        let prefix = Prefix::new(&values, &[1.0; 400]);
        for k in [1, 2, 3, 4, 17, 400] {
            let expected = partition(&prefix, k);
            assert!(expected.len() == k && expected.is_sorted_by(|a, b| a < b) && expected[k - 1] == 400);
            for stretch in [1, 2, 3, 16, 17, 399] {
                assert_eq!(partition_in(&prefix, k, stretch), expected, "{k} clusters, stretch {stretch}");
            }
        }
    }
}
