//! Weights in ascending order, as far as k-means in one dimension needs them: ranks, and sums of the lowest.
//!
//! [`Sorted`] defines the numbers; [`Buckets`] gives the same, bit for bit, for a hundred million weights.

mod buckets;

use std::ops::Range;

pub(super) use buckets::Buckets;

/// Weights in ascending order (`-0.0` before `0.0`); a rank is an index into that order.
pub(super) trait Ranks: Sync {
    /// Number of weights, at least 1.
    fn len(&self) -> usize;

    /// Hands the weights of `ranks` to `visit`, in order.
    fn visit(&self, ranks: Range<usize>, visit: impl FnMut(f32));

    /// Number of weights that are at most `boundary`; a finite number in the range of `f32`.
    fn n_at_most(&self, boundary: f64) -> usize;

    /// Sum of the `rank` lowest weights: added one by one in `f64`, from the lowest up.
    fn sum_below(&self, rank: usize) -> f64;

    /// The weight of one rank.
    fn value(&self, rank: usize) -> f32 {
        let mut value = 0.0;
        self.visit(rank..rank + 1, |weight| value = weight);
        value
    }
}

/// The plain form: a sorted copy and all its running sums; 12 bytes a weight.
pub(super) struct Sorted {
    values: Vec<f32>,
    sums: Vec<f64>,
}

impl Sorted {
    pub(super) fn new(weights: &[f32]) -> Self {
        let mut values = weights.to_vec();
        values.sort_unstable_by(f32::total_cmp);
        let mut sum = 0.0;
        let following = values.iter().map(|&value| {
            sum += f64::from(value);
            sum
        });
        let sums = std::iter::once(0.0).chain(following).collect();
        Self { values, sums }
    }
}

impl Ranks for Sorted {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn visit(&self, ranks: Range<usize>, visit: impl FnMut(f32)) {
        self.values[ranks].iter().copied().for_each(visit);
    }

    fn n_at_most(&self, boundary: f64) -> usize {
        self.values.partition_point(|&weight| f64::from(weight) <= boundary)
    }

    fn sum_below(&self, rank: usize) -> f64 {
        self.sums[rank]
    }
}

/// A number that is ordered as `weight` is: by `f32::total_cmp`.
pub(super) fn key_of(weight: f32) -> u32 {
    let bits = weight.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The weight behind a key.
pub(super) fn weight_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// The key of the largest `f32` that is at most `boundary`: a weight is at most `boundary` if and only if its key is at most this.
pub(super) fn key_at_most(boundary: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant, and mended below")]
    let nearest = boundary as f32;
    let below = if f64::from(nearest) > boundary { nearest.next_down() } else { nearest };
    // Both zeros are at most zero.
    key_of(if below == 0.0 { 0.0 } else { below })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_weights_and_come_back(a in any::<f32>(), b in any::<f32>()) {
            prop_assert_eq!(key_of(a).cmp(&key_of(b)), a.total_cmp(&b));
            prop_assert_eq!(weight_of(key_of(a)).to_bits(), a.to_bits());
        }

        #[test]
        fn the_key_of_a_boundary_parts_the_weights_as_the_boundary_does(
            a in -1e30..1e30_f32, b in -1e30..1e30_f32, w in prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO,
        ) {
            for boundary in [f64::midpoint(a.into(), b.into()), a.into(), w.into(), 0.0, -0.0, f64::from(w) / 3.0, 1e-60, -1e-60] {
                for weight in [a, b, w, 0.0, -0.0, w.next_down(), w.next_up()] {
                    let at_most = f64::from(weight) <= boundary;
                    prop_assert_eq!(key_of(weight) <= key_at_most(boundary), at_most, "{} and {}", weight, boundary);
                }
            }
        }
    }
}
