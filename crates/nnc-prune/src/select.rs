//! Scores → masks: exact counts, ties by index.

use nnc_core::{Error, Result};

use crate::mask::Mask;

/// Keeps the `n_kept` entries of `shape` with the highest `scores`; of equal scores, the lowest flat index is pruned first.
///
/// Cost: O(n) on average.
///
/// # Errors
/// [`Error::ShapeMismatch`] when there are not as many scores as entries, [`Error::InvalidArgument`] when `n_kept` exceeds
/// them or a score is not a number.
///
/// # Example
/// ```
/// let mask = nnc_prune::select::largest(&[3.0, 1.0, 1.0, 2.0], &[2, 2], 3)?;
/// assert_eq!((0..4).map(|i| mask.keeps(i)).collect::<Vec<_>>(), [true, false, true, true]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn largest(scores: &[f32], shape: &[usize], n_kept: usize) -> Result<Mask> {
    let n = check(scores, shape)?;
    if n_kept > n {
        return Err(Error::invalid("n_kept", format!("at most {n}"), n_kept));
    }
    let n_pruned = n - n_kept;
    let mut order: Vec<usize> = (0..n).collect();
    if n_pruned > 0 && n_pruned < n {
        order.select_nth_unstable_by(n_pruned, |&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    }
    let mut mask = Mask::all(shape);
    for &flat_idx in &order[..n_pruned] {
        mask.prune(flat_idx);
    }
    Ok(mask)
}

/// Distiller's level pruner: prunes exactly `floor(sparsity · n)` entries, those with the lowest `scores`.
///
/// # Errors
/// [`Error::InvalidArgument`] when `sparsity` is outside `[0, 1]`, and those of [`largest`].
pub fn level(scores: &[f32], shape: &[usize], sparsity: f64) -> Result<Mask> {
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(Error::invalid("sparsity", "a number in [0, 1]", sparsity));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sparsity is in [0, 1], so the product is a count"
    )]
    let n_pruned = (sparsity * scores.len() as f64).floor() as usize;
    largest(scores, shape, scores.len() - n_pruned)
}

/// Keeps the entries whose score is strictly above `threshold`; one that equals it is pruned.
///
/// Han 2015 sets the threshold of a layer to `quality · σ`, with
/// [`standard_deviation`](crate::importance::magnitude::standard_deviation) measured once on the dense weight.
///
/// # Errors
/// As [`largest`], without the count.
pub fn above(scores: &[f32], shape: &[usize], threshold: f64) -> Result<Mask> {
    check(scores, shape)?;
    Ok(Mask::from_fn(shape, |i| f64::from(scores[i]) > threshold))
}

fn check(scores: &[f32], shape: &[usize]) -> Result<usize> {
    let n = shape.iter().product();
    if scores.len() != n {
        return Err(Error::shape("scores", shape, &[scores.len()]));
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(i) => Err(Error::invalid("scores", "numbers", format!("NaN at flat index {i}"))),
        None => Ok(n),
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test's own making")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn level_prunes_exactly_the_floor_and_the_lowest(
            scores in prop::collection::vec((0_u8..8).prop_map(f32::from), 0..200),
            sparsity in 0.0..=1.0_f64,
        ) {
            let mask = level(&scores, &[scores.len()], sparsity).unwrap();
            let n_pruned = (sparsity * scores.len() as f64).floor() as usize;
            prop_assert_eq!(mask.len() - mask.n_kept(), n_pruned);
            // A sort with the documented order defines which.
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
            for (rank, &i) in order.iter().enumerate() {
                prop_assert_eq!(mask.keeps(i), rank >= n_pruned);
            }
        }

        #[test]
        fn more_sparsity_keeps_a_subset(
            scores in prop::collection::vec(-1.0..1.0_f32, 1..100), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64,
        ) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let dense = level(&scores, &[scores.len()], low).unwrap();
            let sparse = level(&scores, &[scores.len()], high).unwrap();
            prop_assert_eq!(dense.and(&sparse).unwrap(), sparse);
        }
    }

    #[test]
    fn a_score_that_equals_the_threshold_is_pruned() {
        let mask = above(&[0.5, 0.25, 0.75], &[3], 0.5).unwrap();
        assert_eq!([mask.keeps(0), mask.keeps(1), mask.keeps(2)], [false, false, true]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (result, word) in [
            (level(&[1.0], &[1], 1.5), "sparsity"),
            (largest(&[1.0], &[1], 2), "n_kept"),
            (largest(&[1.0], &[2], 1), "scores"),
            (above(&[f32::NAN], &[1], 0.0), "NaN at flat index 0"),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
