//! The last step of a clustering: each weight's code, from the boundaries between the clusters.

use rayon::prelude::*;

use super::ranks::key_of;

/// Weights from which a table over the upper half of the key pays for its 65,536 entries.
const TABLE_FROM: usize = 1 << 16;

/// Weights a task takes.
const CHUNK: usize = 1 << 18;

/// For each weight the number of `thresholds` (ascending keys, fewer than 2^16) below its key.
pub(super) fn assign(weights: &[f32], thresholds: &[u32]) -> Vec<u16> {
    if weights.len() < TABLE_FROM {
        return weights.iter().map(|&weight| n_below(thresholds, key_of(weight))).collect();
    }
    let buckets = buckets(thresholds);
    let mut codes = vec![0; weights.len()];
    codes.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(codes, weights)| {
        for (code, &weight) in codes.iter_mut().zip(weights) {
            let key = key_of(weight);
            let Bucket { next, first, n } = buckets[(key >> 16) as usize];
            // Few buckets have a boundary inside, fewer more than one.
            *code = if n <= 1 {
                first + u16::from(key > next)
            } else {
                first + n_below(&thresholds[first.into()..][..n.into()], key)
            };
        }
    });
    codes
}

/// The keys that share their upper 16 bits.
#[derive(Clone, Copy)]
struct Bucket {
    /// The first threshold inside; where there is none, the largest number, which is no finite weight's key.
    next: u32,
    /// Thresholds below.
    first: u16,
    /// Thresholds inside.
    n: u16,
}

fn buckets(thresholds: &[u32]) -> Vec<Bucket> {
    let n_below = |bucket: u32| thresholds.partition_point(|&threshold| threshold >> 16 < bucket);
    let of = |bucket| {
        let (first, behind) = (n_below(bucket), n_below(bucket + 1));
        let next = if first < behind { thresholds[first] } else { u32::MAX };
        Bucket { next, first: count(first), n: count(behind - first) }
    };
    (0..1 << 16).map(of).collect()
}

fn n_below(thresholds: &[u32], key: u32) -> u16 {
    count(thresholds.partition_point(|&threshold| threshold < key))
}

fn count(n: usize) -> u16 {
    n.try_into().expect("fewer than 2^16 thresholds")
}

#[cfg(test)]
mod tests {
    use nnc_core::rng::Rng;

    use super::*;

    #[test]
    fn the_table_finds_what_a_search_finds() {
        let mut rng = Rng::keyed(1, "assign", &[]);
        let weights: Vec<f32> = (0..TABLE_FROM + CHUNK + 5).map(|_| rng.normal()).collect();
        for n in [0, 1, 2, 15, 255, 65_534] {
            // Some of the weights themselves, and neighbours in one bucket.
            let mut thresholds: Vec<u32> = (0..n)
                .map(
                    |i| if i % 3 == 0 { key_of(weights[i]) } else { key_of(1.0) + u32::try_from(i).unwrap() },
                )
                .collect();
            thresholds.sort_unstable();
            let expected: Vec<u16> = weights.iter().map(|&w| n_below(&thresholds, key_of(w))).collect();
            assert_eq!(assign(&weights, &thresholds), expected, "{n} thresholds");
        }
    }
}
