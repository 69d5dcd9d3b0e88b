//! The lowest of many scores by counting digits of their bits, in parallel, without a copy of them.
//!
//! The bits of a float can be turned into an integer that is ordered as the floats are. The place where the lowest end is
//! found a digit at a time: a histogram of the highest 11 bits tells in which bin it lies, one of the next 11 bits of the
//! scores in that bin narrows it, and the last 10 give the score itself. Histograms are sums of counts, so neither the number
//! of threads nor the order of their work changes a bit of the result.

use rayon::prelude::*;

/// Scores of one piece of work; a multiple of 64, so that pieces share no word of a mask.
const PIECE: usize = 1 << 16;

/// Bits of each digit, the highest first.
const DIGITS: [u32; 3] = [11, 11, 10];

const N_BINS: usize = 1 << 11;

/// Where the lowest end: what lies below `key` goes, and the first `n_ties` of those equal to it.
struct Cut {
    key: u32,
    n_ties: u64,
    /// How many are equal to it in all.
    n_equal: u64,
}

/// One bit per score, packed by layer: 0 for the `n_pruned` lowest of all layers, in the order of `f32::total_cmp`; of equal
/// ones those of the lowest (layer, index) first. `None` when a score is NaN.
pub(super) fn prune_lowest(layers: &[&[f32]], n_pruned: usize) -> Option<Vec<Vec<u64>>> {
    let pieces: Vec<&[f32]> = layers.iter().flat_map(|scores| scores.chunks(PIECE)).collect();
    if pieces.par_iter().any(|piece| has_nan(piece)) {
        return None;
    }
    if n_pruned == 0 {
        return Some(layers.iter().map(|scores| vec![u64::MAX; scores.len().div_ceil(64)]).collect());
    }
    let cut = find(&pieces, n_pruned as u64 - 1);
    let mut budgets = tie_budgets(&pieces, &cut).into_iter();
    Some(layers.iter().map(|scores| words_below(scores, &cut, &mut budgets)).collect())
}

/// Whether one is NaN; a sum without a branch, so that several are looked at with one instruction.
fn has_nan(scores: &[f32]) -> bool {
    scores.iter().map(|score| u32::from(score.is_nan())).sum::<u32>() > 0
}

/// One bit per score, packed: whether `keep` says so.
pub(super) fn words(scores: &[f32], keep: impl Fn(f32) -> bool + Sync) -> Vec<u64> {
    let pack = |scores: &[f32]| {
        scores.iter().enumerate().fold(0, |word, (i, &score)| word | u64::from(keep(score)) << i)
    };
    let mut words = vec![0; scores.len().div_ceil(64)];
    let pieces = words.par_chunks_mut(PIECE / 64).zip(scores.par_chunks(PIECE));
    pieces.for_each(|(words, scores)| {
        for (word, scores) in words.iter_mut().zip(scores.chunks(64)) {
            *word = pack(scores);
        }
    });
    words
}

/// The bits of a score as an integer that is ordered as `f32::total_cmp` orders scores.
pub(super) fn key(score: f32) -> u32 {
    let bits = score.to_bits();
    // The sign says where positive ones go, and that negative ones are ordered against their bits.
    let is_negative = bits >> 31;
    bits ^ (is_negative.wrapping_neg() | 1 << 31)
}

/// The score of rank `rank` (0 is the lowest) as a cut that includes it.
fn find(pieces: &[&[f32]], mut rank: u64) -> Cut {
    let (mut prefix, mut shift, mut n_equal) = (0, 32, 0);
    for bits in DIGITS {
        let counts = histogram(pieces, &Digit { prefix, shift: shift - bits, bits });
        let mut bin = 0;
        while rank >= counts[bin as usize] {
            rank -= counts[bin as usize];
            bin += 1;
        }
        n_equal = counts[bin as usize];
        prefix = prefix << bits | bin;
        shift -= bits;
    }
    Cut { key: prefix, n_ties: rank + 1, n_equal }
}

/// A digit of the keys that begin with `prefix`.
struct Digit {
    prefix: u32,
    shift: u32,
    bits: u32,
}

impl Digit {
    fn of(&self, key: u32) -> usize {
        (key >> self.shift & ((1 << self.bits) - 1)) as usize % N_BINS
    }

    /// Adds the counts of `scores`; in four tables, since equal digits in a row would wait for each other's addition.
    fn count(&self, scores: &[f32], tables: &mut [[u32; N_BINS]; 4]) {
        let end = self.shift + self.bits;
        if end == 32 {
            let (fours, rest) = scores.as_chunks::<4>();
            for four in fours {
                for (table, &score) in tables.iter_mut().zip(four) {
                    table[self.of(key(score))] += 1;
                }
            }
            rest.iter().for_each(|&score| tables[0][self.of(key(score))] += 1);
            return;
        }
        for key in scores.iter().map(|&score| key(score)).filter(|key| key >> end == self.prefix) {
            tables[0][self.of(key)] += 1;
        }
    }
}

/// How many of the scores that begin with the prefix have which digit.
fn histogram(pieces: &[&[f32]], digit: &Digit) -> Vec<u64> {
    let none = || vec![0_u64; N_BINS];
    let count = |mut counts: Vec<u64>, piece: &&[f32]| {
        let mut tables = [[0; N_BINS]; 4];
        digit.count(piece, &mut tables);
        for (i, count) in counts.iter_mut().enumerate() {
            *count += tables.iter().map(|table| u64::from(table[i])).sum::<u64>();
        }
        counts
    };
    pieces.par_iter().fold(none, count).reduce(none, |mut sum, counts| {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sum
    })
}

/// How many of the scores equal to the cut go in each piece.
fn tie_budgets(pieces: &[&[f32]], cut: &Cut) -> Vec<u64> {
    if cut.n_ties == cut.n_equal {
        return vec![u64::MAX; pieces.len()];
    }
    let n_equal: Vec<u64> = pieces
        .par_iter()
        .map(|piece| piece.iter().map(|&score| u64::from(key(score) == cut.key)).sum())
        .collect();
    let mut left = cut.n_ties;
    let take = |n_equal: &u64| {
        let budget = left.min(*n_equal);
        left -= budget;
        budget
    };
    n_equal.iter().map(take).collect()
}

/// One bit per score of a layer: 1 above the cut.
fn words_below(scores: &[f32], cut: &Cut, budgets: &mut impl Iterator<Item = u64>) -> Vec<u64> {
    let budgets: Vec<u64> = budgets.take(scores.len().div_ceil(PIECE)).collect();
    let mut words = vec![0; scores.len().div_ceil(64)];
    let pieces = words.par_chunks_mut(PIECE / 64).zip(scores.par_chunks(PIECE)).zip(budgets);
    pieces.for_each(|((words, scores), mut budget)| {
        for (word, scores) in words.iter_mut().zip(scores.chunks(64)) {
            let (mut above, mut equal) = (0_u64, 0_u64);
            for (i, &score) in scores.iter().enumerate() {
                let key = key(score);
                above |= u64::from(key > cut.key) << i;
                equal |= u64::from(key == cut.key) << i;
            }
            // Ties go from the lowest index on.
            while equal != 0 && budget > 0 {
                equal &= equal - 1;
                budget -= 1;
            }
            *word = above | equal;
        }
    });
    words
}
