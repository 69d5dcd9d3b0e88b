//! Memory that a thread keeps from product to product, so that products allocate nothing.

use std::cell::RefCell;

use crate::kernel::{DEPTH_STEP, Line};

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    strip: Vec<u8>,
    terms: Vec<i32>,
    sums: Vec<i32>,
    lines: Vec<Line>,
    reals: Vec<f32>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Takes what is kept, lends its first `len` elements from a multiple of `align` on, and keeps it again.
///
/// Taken rather than borrowed: a product inside of another finds nothing there, and allocates.
fn lend<T: Copy + Default, R>(
    pick: impl Fn(&mut Kept) -> &mut Vec<T>,
    len: usize,
    align: usize,
    run: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut kept = KEPT.with_borrow_mut(|kept| std::mem::take(pick(kept)));
    if kept.len() < len + align {
        kept.resize(len + align, T::default());
    }
    let start = kept.as_ptr().align_offset(align.max(align_of::<T>()));
    let result = run(&mut kept[start..start + len]);
    KEPT.with_borrow_mut(|place| *pick(place) = kept);
    result
}

/// Lends `len` bytes that begin a cache line, with anything in them.
pub(crate) fn bytes<R>(len: usize, run: impl FnOnce(&mut [u8]) -> R) -> R {
    lend(|kept| &mut kept.bytes, len, DEPTH_STEP, run)
}

/// Lends `len` bytes for a part of an image while [`bytes`] are lent, with anything in them.
pub(crate) fn strip<R>(len: usize, run: impl FnOnce(&mut [u8]) -> R) -> R {
    lend(|kept| &mut kept.strip, len, DEPTH_STEP, run)
}

/// Lends `len` terms of rows, with anything in them.
pub(crate) fn terms<R>(len: usize, run: impl FnOnce(&mut [i32]) -> R) -> R {
    lend(|kept| &mut kept.terms, len, 1, run)
}

/// Lends `len` sums, with anything in them.
pub(crate) fn sums<R>(len: usize, run: impl FnOnce(&mut [i32]) -> R) -> R {
    lend(|kept| &mut kept.sums, len, 1, run)
}

/// Lends `len` lines, with anything in them.
pub(crate) fn lines<R>(len: usize, run: impl FnOnce(&mut [Line]) -> R) -> R {
    lend(|kept| &mut kept.lines, len, 1, run)
}

/// Lends `len` real numbers, with anything in them.
pub(crate) fn reals<R>(len: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
    lend(|kept| &mut kept.reals, len, 1, run)
}
