//! Work split by its size, never by the number of threads: the same pieces, so the same bits, on any machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Multiply-adds below which a second thread costs more than it brings.
const MIN_PARALLEL_WORK: usize = 1 << 20;

/// Pieces into which sums over a batch are cut at most: one partial result each, added in order.
pub(crate) const MAX_PARTIALS: usize = 8;

/// How long a thread stays awake after its work: waking one takes some 50 µs, as long as a small layer.
const LINGER: Duration = Duration::from_micros(100);

/// How often work was offered to other threads.
static OFFERS: AtomicUsize = AtomicUsize::new(0);

/// Runs `run` on each of `pieces`, in the caller's rayon pool where `work` (multiply-adds in all) makes it worth it.
///
/// The caller takes piece after piece, and so does every thread of the pool that has nothing else to do.
pub(crate) fn for_each<T: Send>(pieces: impl Iterator<Item = T> + Send, work: usize, run: impl Fn(T) + Sync) {
    let threads = rayon::current_num_threads().min(pieces.size_hint().0);
    if work < MIN_PARALLEL_WORK || threads <= 1 {
        return pieces.for_each(run);
    }
    let pieces = Mutex::new(pieces);
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_all = || {
        while let Some(piece) = next() {
            run(piece);
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| {
                take_all();
                rayon::spawn(linger);
            });
        }
        OFFERS.fetch_add(1, Ordering::Relaxed);
        take_all();
    });
}

/// Keeps a thread of the pool awake until work is offered again, [`LINGER`] at most.
fn linger() {
    let (offers, begin) = (OFFERS.load(Ordering::Relaxed), Instant::now());
    while OFFERS.load(Ordering::Relaxed) == offers && begin.elapsed() < LINGER {
        (0..32).for_each(|_| std::hint::spin_loop());
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
