//! Scores → masks: exact counts, ties by index.
//!
//! | scope | functions |
//! |---|---|
//! | one layer | [`largest`], [`level`], [`above`] |
//! | each output's row | [`per_row`] (Wanda) |
//! | each window | [`quota`] (N of M, strided) |
//! | all layers together | [`global`], [`global_largest`] |
//! | by granularity | [`level_of_groups`], [`quota_of_groups`] |
//!
//! A selection by granularity keeps groups: reduce scores to one per group, select with any of the above, and
//! [expand](Groups::expand) the choice. The number pruned is `floor(sparsity · n)`, and of equal scores the one with the lowest
//! (layer, flat) index is pruned first. A score that is not a number is refused, and so is a sparsity outside `[0, 1)`:
//! a layer without weights is no layer.

use nnc_core::{Error, Result};

use crate::granularity::{Groups, Reduction};
use crate::mask::Mask;

mod radix;
mod rows;

/// Keeps the `n_kept` entries of `shape` with the highest `scores`; of equal scores, the lowest flat index is pruned first.
///
/// Cost: O(n), in parallel; four passes over the scores, and no memory beside the mask.
///
/// # Errors
/// [`Error::ShapeMismatch`] when there are not as many scores as entries, [`Error::InvalidArgument`] when `n_kept` exceeds
/// them, there are none, or a score is not a number.
///
/// # Example
/// ```
/// let mask = nnc_prune::select::largest(&[3.0, 1.0, 1.0, 2.0], &[2, 2], 3)?;
/// assert_eq!((0..4).map(|i| mask.keeps(i)).collect::<Vec<_>>(), [true, false, true, true]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn largest(scores: &[f32], shape: &[usize], n_kept: usize) -> Result<Mask> {
    let layer = Layer { name: "", scores, shape };
    Ok(global_largest(&[layer], n_kept)?.remove(0))
}

/// Distiller's level pruner: prunes exactly `floor(sparsity · n)` entries, those with the lowest `scores`.
///
/// # Errors
/// [`Error::InvalidArgument`] when `sparsity` is outside `[0, 1)`, and those of [`largest`].
pub fn level(scores: &[f32], shape: &[usize], sparsity: f64) -> Result<Mask> {
    largest(scores, shape, n_kept(sparsity, scores.len())?)
}

/// Keeps the entries whose score is strictly above `threshold`; one that equals it is pruned.
///
/// Han 2015 sets the threshold of a layer to `quality · σ`, with
/// [`standard_deviation`](crate::importance::magnitude::standard_deviation) measured once on the dense weight.
///
/// # Errors
/// As [`largest`], without the count; and [`Error::InvalidArgument`] when the threshold is not a number.
pub fn above(scores: &[f32], shape: &[usize], threshold: f64) -> Result<Mask> {
    let layer = Layer { name: "", scores, shape };
    layer.check()?;
    if threshold.is_nan() {
        return Err(Error::invalid("threshold", "a number", threshold));
    }
    layer.check_numbers()?;
    Ok(Mask::from_words(shape, radix::words(scores, |score| f64::from(score) > threshold)))
}

/// Prunes `floor(sparsity · row length)` entries of each row, one row per output (the first axis of `shape`).
///
/// # Errors
/// As [`level`].
///
/// # Source
/// Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (Wanda), ICLR 2024, §3.
pub fn per_row(scores: &[f32], shape: &[usize], sparsity: f64) -> Result<Mask> {
    let layer = Layer { name: "", scores, shape };
    layer.check()?;
    layer.check_numbers()?;
    let row_len = scores.len() / shape.first().copied().unwrap_or(1);
    let n_pruned = row_len - n_kept(sparsity, row_len)?;
    Ok(Mask::from_words(shape, rows::words(scores, row_len, n_pruned)))
}

/// Keeps the `n` highest of each `m` consecutive `scores`; the mask has one flat axis.
///
/// # Errors
/// [`Error::InvalidArgument`] when `n` is not in `1..=m`, `m` does not divide the number of scores, there are none, or one is
/// not a number.
pub fn quota(scores: &[f32], n: usize, m: usize) -> Result<Mask> {
    let shape = [scores.len()];
    let layer = Layer { name: "", scores, shape: &shape };
    layer.check()?;
    layer.check_numbers()?;
    if !(1..=m).contains(&n) {
        return Err(Error::invalid("n of N:M", format!("1..={m}"), n));
    }
    if !scores.len().is_multiple_of(m) {
        return Err(Error::invalid("m of N:M", format!("a divisor of the {} scores", scores.len()), m));
    }
    Ok(Mask::from_words(&shape, rows::words(scores, m, m - n)))
}

/// What a selection across layers knows of one.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// For messages.
    pub name: &'a str,
    /// One score per entry (or per group), comparable with those of the other layers.
    pub scores: &'a [f32],
    /// The mask's shape.
    pub shape: &'a [usize],
}

/// Prunes the `floor(sparsity · n)` lowest of all layers' entries together; one mask per layer, in order.
///
/// With group scores the share is one of groups. A layer may lose all its entries: look at [`Mask::n_kept`].
///
/// # Errors
/// As [`level`]; messages name the layer.
///
/// # Example
/// ```
/// use nnc_prune::select::{Layer, global};
/// let first = Layer { name: "a", scores: &[0.1, 5.0], shape: &[2] };
/// let second = Layer { name: "b", scores: &[0.3, 0.2], shape: &[1, 2] };
/// let masks = global(&[first, second], 0.5)?;
/// assert_eq!([masks[0].n_kept(), masks[1].n_kept()], [1, 1]);
/// assert!(masks[1].keeps(0));
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn global(layers: &[Layer<'_>], sparsity: f64) -> Result<Vec<Mask>> {
    let n = layers.iter().map(|layer| layer.scores.len()).sum();
    if n == 0 {
        return Err(Error::invalid("layers", "at least one with an entry", layers.len()));
    }
    global_largest(layers, n_kept(sparsity, n)?)
}

/// Keeps the `n_kept` highest of all layers' entries together; one mask per layer, in order.
///
/// # Errors
/// As [`largest`]; messages name the layer.
pub fn global_largest(layers: &[Layer<'_>], n_kept: usize) -> Result<Vec<Mask>> {
    layers.iter().try_for_each(Layer::check)?;
    let n: usize = layers.iter().map(|layer| layer.scores.len()).sum();
    if n_kept > n {
        return Err(Error::invalid("n_kept", format!("at most {n}"), n_kept));
    }
    let scores: Vec<&[f32]> = layers.iter().map(|layer| layer.scores).collect();
    let Some(words) = radix::prune_lowest(&scores, n - n_kept) else {
        layers.iter().try_for_each(Layer::check_numbers)?;
        unreachable!("a score that is not a number has just been seen");
    };
    Ok(layers.iter().zip(words).map(|(layer, words)| Mask::from_words(layer.shape, words)).collect())
}

/// Prunes `floor(sparsity · groups)` groups, those with the lowest reduced score.
///
/// # Errors
/// [`Error::InvalidArgument`] when the granularity fixes how many stay (see [`quota_of_groups`]), and those of [`level`].
///
/// # Example
/// ```
/// use nnc_prune::granularity::{Granularity, Reduction};
/// let rows = Granularity::Filter.groups(&[2, 2])?;
/// let mask = nnc_prune::select::level_of_groups(&[0.0, 3.0, 1.0, 1.0], &rows, Reduction::Sum, 0.5)?;
/// assert_eq!((0..4).map(|i| mask.keeps(i)).collect::<Vec<_>>(), [true, true, false, false]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn level_of_groups(scores: &[f32], groups: &Groups, reduction: Reduction, sparsity: f64) -> Result<Mask> {
    if let Some((n, m)) = groups.granularity().quota() {
        let expected = format!("no sparsity: granularity {} keeps {n} of {m}", groups.granularity());
        return Err(Error::invalid("sparsity", expected, sparsity));
    }
    groups.expand(&level(&groups.reduce(scores, reduction)?, &[groups.len()], sparsity)?)
}

/// Keeps of each window of groups as many as the granularity says: N of M, or one offset of a stride.
///
/// # Errors
/// [`Error::InvalidArgument`] when the granularity fixes no number, and those of [`quota`].
pub fn quota_of_groups(scores: &[f32], groups: &Groups, reduction: Reduction) -> Result<Mask> {
    let Some((n, m)) = groups.granularity().quota() else {
        return Err(Error::invalid("granularity", "one that fixes how many stay", groups.granularity()));
    };
    groups.expand(&quota(&groups.reduce(scores, reduction)?, n, m)?)
}

/// How many of `n > 0` entries a sparsity leaves, at least one.
fn n_kept(sparsity: f64, n: usize) -> Result<usize> {
    if !(0.0..1.0).contains(&sparsity) {
        return Err(Error::invalid("sparsity", "a number in [0, 1)", sparsity));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sparsity is in [0, 1), so the product is a count"
    )]
    let n_pruned = (sparsity * n as f64).floor() as usize;
    // The product may be rounded up to n.
    Ok(n - n_pruned.min(n.saturating_sub(1)))
}

impl Layer<'_> {
    fn what(&self) -> String {
        if self.name.is_empty() { "scores".into() } else { format!("scores of `{}`", self.name) }
    }

    fn check(&self) -> Result<()> {
        if self.scores.len() != self.shape.iter().product::<usize>() {
            return Err(Error::shape(self.what(), self.shape, &[self.scores.len()]));
        }
        if self.scores.is_empty() {
            return Err(Error::invalid(self.what(), "at least one", 0));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        match self.scores.iter().position(|score| score.is_nan()) {
            Some(i) => Err(Error::invalid(self.what(), "numbers", format!("NaN at flat index {i}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
