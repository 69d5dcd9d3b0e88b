//! The lowest of each row.

use rayon::prelude::*;

use super::radix::key;

/// Scores of one piece of work, about.
const PIECE: usize = 1 << 16;

/// One bit per score, packed: 0 for the `n_pruned < row_len` lowest of each row, of equal ones those of the lowest index first.
pub(super) fn words(scores: &[f32], row_len: usize, n_pruned: usize) -> Vec<u64> {
    let mut words = vec![0; scores.len().div_ceil(64)];
    // 64 rows fill whole words, whatever their length.
    let n_rows = 64 * (PIECE / 64 / row_len).max(1);
    let pieces = words.par_chunks_mut(n_rows / 64 * row_len).zip(scores.par_chunks(n_rows * row_len));
    pieces.for_each(|(words, scores)| {
        let mut keys = vec![0; row_len];
        for (row_idx, row) in scores.chunks(row_len).enumerate() {
            let (cut, mut n_ties) = cut(row, n_pruned, &mut keys);
            for (i, &score) in (row_idx * row_len..).zip(row) {
                let is_tie = key(score) == cut && n_ties > 0;
                n_ties -= usize::from(is_tie);
                let keep = key(score) >= cut && !is_tie;
                words[i / 64] |= u64::from(keep) << (i % 64);
            }
        }
    });
    words
}

/// The key below which all go, and how many of those equal to it go too.
fn cut(row: &[f32], n_pruned: usize, keys: &mut [u32]) -> (u32, usize) {
    keys.iter_mut().zip(row).for_each(|(key_, &score)| *key_ = key(score));
    let (below, &mut cut, _) = keys.select_nth_unstable(n_pruned);
    // What lies before the place is lower or equal.
    let n_ties = below.iter().filter(|&&key| key == cut).count();
    (cut, n_ties)
}
