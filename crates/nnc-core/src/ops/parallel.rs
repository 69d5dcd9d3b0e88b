//! Work split by its size, never by the number of threads: the same pieces, so the same bits, on any machine.

/// Multiply-adds below which a second thread costs more than it brings (waking one takes some 10 µs).
const MIN_PARALLEL_WORK: usize = 1 << 20;

/// Pieces into which sums over a batch are cut at most: one partial result each, added in order.
pub(crate) const MAX_PARTIALS: usize = 8;

/// Runs `run` on each of `pieces`, in the caller's rayon pool where `work` (multiply-adds in all) makes it worth it.
pub(crate) fn for_each<T: Send>(pieces: impl Iterator<Item = T>, work: usize, run: impl Fn(T) + Sync) {
    fn halves<T: Send>(mut pieces: Vec<T>, run: &(impl Fn(T) + Sync)) {
        if pieces.len() > 1 {
            let second = pieces.split_off(pieces.len() / 2);
            rayon::join(|| halves(pieces, run), || halves(second, run));
        } else {
            pieces.into_iter().for_each(run);
        }
    }
    if work < MIN_PARALLEL_WORK || rayon::current_num_threads() == 1 {
        pieces.for_each(run);
    } else {
        halves(pieces.collect(), &run);
    }
}

/// Consecutive ranges of equal size (the last may be shorter) that cover `0..n`: as few as have at most `size` elements.
pub(crate) fn chunk_size(n: usize, size: usize) -> usize {
    let pieces = n.div_ceil(size.max(1)).max(1);
    n.div_ceil(pieces).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_even_and_no_larger_than_asked() {
        assert_eq!(
            [chunk_size(64, 5), chunk_size(64, 64), chunk_size(65, 64), chunk_size(3, 0)],
            [5, 64, 33, 1]
        );
        assert_eq!(chunk_size(0, 8), 1);
    }

    #[test]
    fn every_piece_is_run_once() {
        let mut done = [0_u8; 37];
        for_each(done.iter_mut(), usize::MAX, |piece| *piece += 1);
        for_each(done.iter_mut(), 0, |piece| *piece += 1);
        assert!(done.iter().all(|&count| count == 2));
    }
}
