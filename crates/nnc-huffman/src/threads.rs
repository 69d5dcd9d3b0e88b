//! Where the `parallel` feature comes in: blocks in the caller's rayon pool, in order.

#[cfg(feature = "parallel")]
mod joiner;

/// Symbols below which threads cost more than they save.
#[cfg(feature = "parallel")]
const PARALLEL_FROM: usize = 1 << 16;

/// Maps `items`, which stand for `n_symbols` altogether; results in the order of the items.
#[cfg(feature = "parallel")]
pub(crate) fn map_by_size<T: Send, R: Send>(
    items: Vec<T>,
    n_symbols: usize,
    f: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    use rayon::prelude::*;

    if !pays(n_symbols, items.len()) {
        return items.into_iter().map(f).collect();
    }
    items.into_par_iter().map(f).collect()
}

/// Appends to `out` what `f` appends for each of `items`, in their order.
#[cfg(feature = "parallel")]
pub(crate) fn append_by_size<T: Copy + Sync>(
    items: &[T],
    n_symbols: usize,
    out: &mut Vec<u8>,
    f: impl Fn(T, &mut Vec<u8>) + Sync + Send,
) {
    if !pays(n_symbols, items.len()) {
        return items.iter().for_each(|&item| f(item, out));
    }
    joiner::append_in_parallel(items, out, f);
}

/// Whether threads are worth their cost, and are there: the result is the same.
#[cfg(feature = "parallel")]
fn pays(n_symbols: usize, n_items: usize) -> bool {
    n_symbols >= PARALLEL_FROM && n_items > 1 && rayon::current_num_threads() > 1
}

/// Maps `items`; results in their order.
#[cfg(not(feature = "parallel"))]
pub(crate) fn map_by_size<T, R>(items: Vec<T>, _n_symbols: usize, f: impl Fn(T) -> R) -> Vec<R> {
    items.into_iter().map(f).collect()
}

/// Appends to `out` what `f` appends for each of `items`, in their order.
#[cfg(not(feature = "parallel"))]
pub(crate) fn append_by_size<T: Copy>(
    items: &[T],
    _n_symbols: usize,
    out: &mut Vec<u8>,
    f: impl Fn(T, &mut Vec<u8>),
) {
    items.iter().for_each(|&item| f(item, out));
}
