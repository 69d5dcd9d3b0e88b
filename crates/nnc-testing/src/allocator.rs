//! An allocator that counts, per thread, so that tests beside each other do not disturb the count.
//!
//! It is the whole binary's, so a test binary asks for it by name:
//! ```
//! #[global_allocator]
//! static ALLOCATOR: nnc_testing::allocator::Counting = nnc_testing::allocator::Counting;
//! ```
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without; this one only counts and forwards"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

fn count(change: isize) {
    // A thread that is being torn down is not asked for its peak any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is forwarded to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `work` and returns the bytes that this thread held at most in it, beyond those that it held before.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    // The peak began there, so it is not below.
    (result, (PEAK.get() - before).unsigned_abs())
}

/// Allocations of this thread in `work`.
pub fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn the_peak_is_that_of_the_work_alone() {
        let ((), peak) = peak_bytes(|| {
            drop(std::hint::black_box(vec![0_u8; 100_000]));
            drop(std::hint::black_box(vec![0_u8; 50_000]));
        });
        assert!((100_000..101_000).contains(&peak), "{peak}");
    }

    #[test]
    fn the_count_is_that_of_this_threads_work() {
        assert_eq!(allocations(|| {}), 0);
        assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 10]))), 1);
    }
}
