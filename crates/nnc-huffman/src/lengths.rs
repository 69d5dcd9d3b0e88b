//! Counts → code lengths: Huffman's algorithm, and package-merge where the lengths are limited.
//!
//! Both sort the symbols by (count, symbol) and, between equal weights, take leaves before merged nodes and older nodes
//! before newer ones, so the lengths are a function of the counts alone.

use crate::histogram::Histogram;
use crate::{Error, MAX_LENGTH, Result};

/// Optimal code lengths without a limit, by symbol: 0 for a symbol that does not occur.
///
/// A symbol that occurs alone gets 1 here (its codeword is empty all the same, see [`Code`](crate::Code)). Among equal
/// costs the tie rule gives the shortest longest codeword. Fibonacci counts reach the greatest depth, about 85.
///
/// Cost: O(n log n) time for n different symbols.
///
/// # Source
/// Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952; the two queues are van Leeuwen's, "On the
/// Construction of Huffman Trees", 1976.
///
/// ```
/// let slide = nnc_huffman::Histogram::from_counts(&[100, 10, 1, 1])?;
/// assert_eq!(nnc_huffman::huffman_lengths(&slide), [1, 2, 3, 3]);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
pub fn huffman_lengths(histogram: &Histogram) -> Vec<u8> {
    let leaves = sorted_leaves(histogram);
    by_symbol(histogram, &leaves, &huffman(&weights(&leaves)))
}

/// Optimal code lengths of at most `max_length` bits, by symbol: 0 for a symbol that does not occur.
///
/// Where Huffman's lengths fit the limit, they are the result.
///
/// Cost: O(n · `max_length`) time and memory for n different symbols.
///
/// # Errors
/// [`Error::InvalidArgument`] where `max_length` is not in 1..=16 or too small to tell the symbols apart.
///
/// # Source
/// Larmore and Hirschberg, "A Fast Algorithm for Optimal Length-Limited Huffman Codes", 1990 (package-merge). We differ: a
/// level remembers only which of its items are leaves, and the lengths are counted back from the top.
pub fn limited_lengths(histogram: &Histogram, max_length: u32) -> Result<Vec<u8>> {
    let leaves = sorted_leaves(histogram);
    let needed = leaves.len().next_power_of_two().trailing_zeros().max(1);
    if !(needed..=MAX_LENGTH).contains(&max_length) {
        let expected = format!("{needed}..={MAX_LENGTH} for {} symbols", leaves.len());
        return Err(Error::invalid("max_length", expected, max_length));
    }
    let weights = weights(&leaves);
    let mut lengths = huffman(&weights);
    if lengths.iter().any(|&length| u32::from(length) > max_length) {
        lengths = package_merge(&weights, max_length);
    }
    Ok(by_symbol(histogram, &leaves, &lengths))
}

/// The symbols that occur, by ascending (count, symbol).
fn sorted_leaves(histogram: &Histogram) -> Vec<(u64, u16)> {
    let mut leaves: Vec<_> = histogram.present().map(|(symbol, count)| (count, symbol)).collect();
    leaves.sort_unstable();
    leaves
}

fn weights(leaves: &[(u64, u16)]) -> Vec<u64> {
    leaves.iter().map(|&(count, _)| count).collect()
}

fn by_symbol(histogram: &Histogram, leaves: &[(u64, u16)], lengths: &[u8]) -> Vec<u8> {
    let mut dense = vec![0; histogram.counts().len()];
    for (&(_, symbol), &length) in leaves.iter().zip(lengths) {
        dense[usize::from(symbol)] = length;
    }
    dense
}

/// Huffman's lengths of ascending `weights`, in their order.
fn huffman(weights: &[u64]) -> Vec<u8> {
    let n = weights.len();
    if n < 2 {
        return vec![1; n];
    }
    // Leaves are nodes 0..n, merged nodes n..2n-1 in the order of their creation, which is also that of their weights:
    // the two queues are two cursors.
    let mut node_weights = weights.to_vec();
    let mut parents = vec![0; 2 * n - 1];
    let (mut next_leaf, mut next_merged) = (0, n);
    for merged in n..2 * n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            let leaf_first = next_leaf < n
                && (next_merged == merged || node_weights[next_leaf] <= node_weights[next_merged]);
            let cursor = if leaf_first { &mut next_leaf } else { &mut next_merged };
            sum += node_weights[*cursor];
            parents[*cursor] = merged;
            *cursor += 1;
        }
        node_weights.push(sum);
    }
    // Parents come after their children, so one pass from the root down knows each parent's depth.
    let mut depths = vec![0u8; 2 * n - 1];
    for node in (0..2 * n - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(n);
    depths
}

/// Optimal lengths of at most `max_length` for at least two ascending `weights`, in their order.
///
/// Level by level, pairs of the previous level's items become packages that are merged with the leaves by weight. The
/// first 2n - 2 items of the last level are the solution; a leaf's length is how many levels it is taken in.
fn package_merge(weights: &[u64], max_length: u32) -> Vec<u8> {
    let leaves = [&[0], weights, &[u64::MAX]].concat();
    let (mut packages, mut merged, mut levels) = (vec![0, u64::MAX], Vec::new(), Vec::new());
    for _ in 0..max_length {
        levels.push(merge(&leaves, &packages, &mut merged));
        packages.truncate(1);
        packages.extend(merged.chunks_exact(2).map(|pair| pair[0] + pair[1]));
        packages.push(u64::MAX);
    }
    let mut lengths = vec![0; weights.len()];
    let mut n_taken = 2 * weights.len() - 2;
    for is_leaf in levels.iter().rev() {
        let n_leaves = is_leaf[..n_taken].iter().map(|&leaf| usize::from(leaf)).sum::<usize>();
        lengths[..n_leaves].iter_mut().for_each(|length| *length += 1);
        n_taken = 2 * (n_taken - n_leaves);
    }
    lengths
}

/// Merges two ascending lists, leaves first among equals; says which items are leaves.
///
/// Both lists stand between 0 and `u64::MAX`, which no weight is, so that merging need not ask whether one of them is used up.
/// It goes from both ends to the middle: each choice waits for the one before it, and so two of them are under way at once.
fn merge(leaves: &[u64], packages: &[u64], merged: &mut Vec<u64>) -> Vec<bool> {
    let n = leaves.len() + packages.len() - 4;
    merged.clear();
    merged.resize(n, 0);
    let mut is_leaf = vec![false; n];
    let (mut leaf, mut package) = (1, 1);
    let (mut last_leaf, mut last_package) = (leaves.len() - 2, packages.len() - 2);
    for front in 0..n.div_ceil(2) {
        // Selected rather than branched on: which list comes next cannot be foretold.
        let (of_leaf, of_package) = (leaves[leaf], packages[package]);
        let take_leaf = of_leaf <= of_package;
        (is_leaf[front], merged[front]) = (take_leaf, of_leaf.min(of_package));
        leaf += usize::from(take_leaf);
        package += usize::from(!take_leaf);
        let (of_leaf, of_package) = (leaves[last_leaf], packages[last_package]);
        let take_leaf = of_leaf > of_package;
        (is_leaf[n - 1 - front], merged[n - 1 - front]) = (take_leaf, of_leaf.max(of_package));
        last_leaf -= usize::from(take_leaf);
        last_package -= usize::from(!take_leaf);
    }
    is_leaf
}

#[cfg(test)]
mod tests;
