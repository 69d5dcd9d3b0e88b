//! Buffers that a thread keeps from one call to the next.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers a thread keeps at most.
const KEPT: usize = 12;

/// A buffer whose contents are unspecified; it goes back to the pool of the thread that drops it.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// A buffer of `len` floats, of unspecified values.
    pub(crate) fn new(len: usize) -> Self {
        let kept = POOL.with_borrow_mut(|pool| {
            let fitting = (0..pool.len()).filter(|&i| pool[i].len() >= len);
            fitting.min_by_key(|&i| pool[i].len()).map(|i| pool.swap_remove(i))
        });
        Self { buffer: kept.unwrap_or_else(|| vec![0.0; len]), len }
    }

    /// A buffer of `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut scratch = Self::new(len);
        scratch.fill(0.0);
        scratch
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // At a thread's end the pool may be gone already; then the buffer is simply freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.push(buffer);
            if pool.len() > KEPT {
                // The smallest is the cheapest to make again.
                let smallest = (0..pool.len()).min_by_key(|&i| pool[i].len());
                smallest.map(|i| pool.swap_remove(i));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let first = Scratch::new(1000).as_ptr();
        assert_eq!(Scratch::new(900).as_ptr(), first);
        assert_eq!(Scratch::zeros(900).len(), 900);
        assert_ne!(Scratch::new(1001).as_ptr(), first);
    }
}
