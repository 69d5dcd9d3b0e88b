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
    let starts = starts(thresholds);
    let mut codes = vec![0; weights.len()];
    codes.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(codes, weights)| {
        for (code, &weight) in codes.iter_mut().zip(weights) {
            let key = key_of(weight);
            let bucket = (key >> 16) as usize;
            let (first, last) = (starts[bucket], starts[bucket + 1]);
            // Few buckets have a boundary inside.
            *code = first + n_below(&thresholds[first.into()..last.into()], key);
        }
    });
    codes
}

/// For each upper half of a key the number of thresholds whose upper half is less; and the number of thresholds.
fn starts(thresholds: &[u32]) -> Vec<u16> {
    let below = |bucket: u32| count(thresholds.partition_point(|&threshold| threshold >> 16 < bucket));
    (0..=1 << 16).map(below).collect()
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
