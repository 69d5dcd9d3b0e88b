//! Controls: what a criterion has to beat.

use nnc_core::rng::Rng;

/// `n` scores that say nothing, uniform in `[0, 1)`.
///
/// # Source
/// Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, §4.4 (random filters).
pub fn random(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| rng.uniform()).collect()
}

/// The opposite order: what would stay longest goes first.
///
/// # Source
/// Li et al. 2017, §4.4 (largest filters).
pub fn reversed(mut scores: Vec<f32>) -> Vec<f32> {
    scores.iter_mut().for_each(|score| *score = -*score);
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::largest;

    #[test]
    fn a_seed_fixes_the_random_scores_and_reversing_keeps_the_smallest() {
        let draw = |seed| random(100, &mut Rng::keyed(seed, "scores", &[]));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mask = largest(&reversed(vec![3.0, 1.0, 2.0]), &[3], 1).unwrap();
        assert!(mask.keeps(1));
    }
}
