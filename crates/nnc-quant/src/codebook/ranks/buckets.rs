//! The fast form: weights sorted by the upper half of their key, of which only the lower half is kept.
//!
//! A bucket is the weights whose keys share their upper 16 bits, so a weight costs two bytes here: a layer of a hundred million
//! weights is sorted in half of its own memory. Buckets are filled and sorted in parallel, which leaves no trace in the result;
//! the running sums are added one by one, as [`Sorted`](super::Sorted) does it, but only every 64th is kept.

use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use rayon::prelude::*;

use super::{Ranks, key_at_most, key_of, weight_of};

const N_BUCKETS: usize = 1 << 16;

/// Weights between two running sums that are kept.
const STRIDE: usize = 64;

/// Weights a task takes at least: its table of counts must not cost more than its weights.
const MIN_CHUNK: usize = 1 << 18;

/// Tasks at most: each has a table of 256 KiB.
const MAX_CHUNKS: usize = 32;

/// Weights from which a bucket is sorted by its two bytes, one after the other: 256 counters must not cost more than comparing.
const RADIX_FROM: usize = 1 << 8;

/// Weights from which it is sorted by counting its 65,536 possible values.
const COUNTING_FROM: usize = 1 << 16;

pub(in super::super) struct Buckets {
    /// For each bucket, the rank of its first weight; and the number of weights.
    starts: Vec<usize>,
    /// The lower half of each weight's key, ascending in each bucket.
    lows: Vec<u16>,
    /// The sum below each rank that is a multiple of [`STRIDE`], and that of all weights.
    sums: Vec<f64>,
}

impl Buckets {
    /// `weights` are finite and fewer than 2^32.
    pub(in super::super) fn new(weights: &[f32]) -> Self {
        let chunk_len = weights.len().div_ceil(MAX_CHUNKS).max(MIN_CHUNK);
        let mut counts: Vec<Vec<u32>> = weights.par_chunks(chunk_len).map(count).collect();
        let starts = starts(&mut counts);
        let mut lows = scatter(weights, chunk_len, &mut counts);
        drop(counts);
        sort(&mut lows, &starts);
        let mut ranks = Self { starts, lows, sums: Vec::new() };
        ranks.sums = ranks.running_sums();
        ranks
    }

    fn running_sums(&self) -> Vec<f64> {
        let mut sums = Vec::with_capacity(self.lows.len() / STRIDE + 2);
        let (mut sum, mut rank) = (0.0, 0);
        self.visit(0..self.lows.len(), |weight| {
            if rank % STRIDE == 0 {
                sums.push(sum);
            }
            sum += f64::from(weight);
            rank += 1;
        });
        sums.push(sum);
        sums
    }
}

/// How many weights fall into each bucket.
fn count(weights: &[f32]) -> Vec<u32> {
    let mut counts = vec![0; N_BUCKETS];
    for &weight in weights {
        counts[bucket_of(key_of(weight))] += 1;
    }
    counts
}

/// Turns the counts of each chunk into the rank where its first weight of each bucket goes, and returns where buckets start.
fn starts(counts: &mut [Vec<u32>]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(N_BUCKETS + 1);
    let mut total = 0_u32;
    for bucket in 0..N_BUCKETS {
        starts.push(total as usize);
        for chunk in counts.iter_mut() {
            total += std::mem::replace(&mut chunk[bucket], total);
        }
    }
    starts.push(total as usize);
    starts
}

/// The lower halves, bucket by bucket; within a bucket in the order of `weights`.
fn scatter(weights: &[f32], chunk_len: usize, next: &mut [Vec<u32>]) -> Vec<u16> {
    // Atomic, so that all chunks may write into one buffer: each writes its own places, a plain store each.
    let lows: Vec<AtomicU16> =
        weights.par_iter().with_min_len(MIN_CHUNK).map(|_| AtomicU16::new(0)).collect();
    weights.par_chunks(chunk_len).zip(next).for_each(|(chunk, next)| {
        for &weight in chunk {
            let key = key_of(weight);
            let next = &mut next[bucket_of(key)];
            lows[*next as usize].store(low_of(key), Ordering::Relaxed);
            *next += 1;
        }
    });
    lows.into_iter().map(AtomicU16::into_inner).collect()
}

fn sort(mut lows: &mut [u16], starts: &[usize]) {
    let mut buckets = Vec::new();
    for bounds in starts.windows(2).filter(|bounds| bounds[0] < bounds[1]) {
        let (bucket, rest) = lows.split_at_mut(bounds[1] - bounds[0]);
        buckets.push(bucket);
        lows = rest;
    }
    buckets.into_par_iter().for_each_init(Scratch::default, |scratch, bucket| match bucket.len() {
        0..RADIX_FROM => bucket.sort_unstable(),
        RADIX_FROM..COUNTING_FROM => radix_sort(bucket, &mut scratch.lows),
        _ => counting_sort(bucket, &mut scratch.counts),
    });
}

/// What the sort of a bucket needs beside it.
#[derive(Default)]
struct Scratch {
    lows: Vec<u16>,
    counts: Vec<u32>,
}

/// Sorts by the lower bytes into `scratch`, then by the upper bytes back; each step keeps the order of equals.
fn radix_sort(lows: &mut [u16], scratch: &mut Vec<u16>) {
    let bytes = |low: u16| low.to_le_bytes().map(usize::from);
    let mut next = [[0_usize; 256]; 2];
    for &low in &*lows {
        let [lower, upper] = bytes(low);
        next[0][lower] += 1;
        next[1][upper] += 1;
    }
    for next in &mut next {
        let mut total = 0;
        for place in next {
            total += std::mem::replace(place, total);
        }
    }
    scratch.resize(lows.len(), 0);
    for &low in &*lows {
        let place = &mut next[0][bytes(low)[0]];
        scratch[*place] = low;
        *place += 1;
    }
    for &low in &*scratch {
        let place = &mut next[1][bytes(low)[1]];
        lows[*place] = low;
        *place += 1;
    }
}

/// Sorts by counting each value; `counts` is scratch.
fn counting_sort(lows: &mut [u16], counts: &mut Vec<u32>) {
    counts.clear();
    counts.resize(1 << 16, 0);
    for &low in &*lows {
        counts[usize::from(low)] += 1;
    }
    let mut start = 0;
    for (low, &count) in (0..=u16::MAX).zip(&*counts) {
        let end = start + count as usize;
        lows[start..end].fill(low);
        start = end;
    }
}

fn bucket_of(key: u32) -> usize {
    (key >> 16) as usize
}

fn low_of(key: u32) -> u16 {
    (key & 0xffff).try_into().expect("16 bits")
}

impl Ranks for Buckets {
    fn len(&self) -> usize {
        self.lows.len()
    }

    fn visit(&self, ranks: Range<usize>, mut visit: impl FnMut(f32)) {
        let mut start = ranks.start;
        // The last bucket that starts at or before the first rank is the one that holds it: empty ones start where the next does.
        let mut bucket = self.starts.partition_point(|&first| first <= start).saturating_sub(1);
        while start < ranks.end {
            let end = self.starts[bucket + 1].min(ranks.end);
            #[allow(clippy::cast_possible_truncation, reason = "below 2^16")]
            let high = (bucket as u32) << 16;
            for &low in &self.lows[start..end] {
                visit(weight_of(high | u32::from(low)));
            }
            start = end;
            bucket += 1;
        }
    }

    fn n_at_most(&self, boundary: f64) -> usize {
        let key = key_at_most(boundary);
        let (start, end) = (self.starts[bucket_of(key)], self.starts[bucket_of(key) + 1]);
        start + self.lows[start..end].partition_point(|&low| low <= low_of(key))
    }

    fn sum_below(&self, rank: usize) -> f64 {
        if rank == self.lows.len() {
            return self.sums[self.sums.len() - 1];
        }
        let block = rank / STRIDE;
        let mut sum = self.sums[block];
        self.visit(block * STRIDE..rank, |weight| sum += f64::from(weight));
        sum
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::rng::Rng;
    use proptest::prelude::*;

    use super::super::Sorted;
    use super::*;

    fn assert_same(weights: &[f32]) {
        let (plain, fast) = (Sorted::new(weights), Buckets::new(weights));
        assert_eq!(plain.len(), fast.len());
        for rank in 0..=weights.len() {
            assert_eq!(
                plain.sum_below(rank).to_bits(),
                fast.sum_below(rank).to_bits(),
                "sum below rank {rank}"
            );
        }
        for rank in 0..weights.len() {
            let (a, b) = (plain.value(rank), fast.value(rank));
            assert_eq!(a.to_bits(), b.to_bits(), "rank {rank}");
            let beside = f64::midpoint(a.into(), plain.value((7 * rank + 3) % weights.len()).into());
            for boundary in [f64::from(a), f64::from(a.next_down()), beside] {
                assert_eq!(plain.n_at_most(boundary), fast.n_at_most(boundary), "at most {boundary}");
            }
        }
    }

    #[test]
    fn sizes_round_a_stride_and_equal_weights_rank_as_when_sorted() {
        for n in [1, 2, 63, 64, 65, 127, 128, 129] {
            assert_same(&vec![-0.25; n]);
            assert_same(&(0_u8..).map(|i| f32::from(i) - 3.5).take(n).collect::<Vec<_>>());
        }
        assert_same(&[0.0, -0.0, 1e-45, -1e-45, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0, -0.0]);
    }

    #[test]
    fn many_chunks_and_counted_buckets_rank_as_when_sorted() {
        let mut rng = Rng::keyed(1, "ranks", &[]);
        // Between 1 and 1.03 there are four buckets; two in three weights fall there, the others anywhere.
        let near = |rng: &mut Rng| rng.uniform_in(1.0, 1.03);
        let weights: Vec<f32> = (0..2 * MIN_CHUNK + 77)
            .map(|i| if i % 3 == 0 { rng.normal() * 0.05 } else { near(&mut rng) })
            .collect();
        let (plain, fast) = (Sorted::new(&weights), Buckets::new(&weights));
        let mut at = 0;
        fast.visit(0..weights.len(), |weight| {
            assert_eq!(weight.to_bits(), plain.value(at).to_bits(), "rank {at}");
            at += 1;
        });
        assert_eq!(at, weights.len());
        for rank in (0..=weights.len()).step_by(97) {
            assert_eq!(
                plain.sum_below(rank).to_bits(),
                fast.sum_below(rank).to_bits(),
                "sum below rank {rank}"
            );
        }
    }

    #[test]
    fn all_three_sorts_sort() {
        let mut rng = Rng::keyed(2, "ranks", &[]);
        let mut scratch = Scratch::default();
        for n in [0, 1, 255, 256, 257, 5_000, COUNTING_FROM, COUNTING_FROM + 1] {
            for below in [1, 300, 1 << 16] {
                let lows: Vec<u16> = (0..n).map(|_| u16::try_from(rng.below(below)).unwrap()).collect();
                let (mut expected, mut by_bytes, mut by_counts) = (lows.clone(), lows.clone(), lows);
                expected.sort_unstable();
                radix_sort(&mut by_bytes, &mut scratch.lows);
                counting_sort(&mut by_counts, &mut scratch.counts);
                assert!(by_bytes == expected && by_counts == expected, "{n} below {below}");
            }
        }
    }

    proptest! {
        #[test]
        fn drawn_weights_rank_as_when_sorted(
            weights in prop::collection::vec(
                prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO | prop::num::f32::NEGATIVE, 1..300),
            step in 1..40_u8,
        ) {
            let finite: Vec<f32> = weights.iter().map(|&w| if w.abs() < 1e30 { w } else { 0.5 }).collect();
            assert_same(&finite);
            // Few distinct values.
            let rounded: Vec<f32> = finite.iter().map(|w| (w % 2.0 * f32::from(step)).round()).collect();
            assert_same(&rounded);
        }
    }
}
