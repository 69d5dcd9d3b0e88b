//! Where the `parallel` feature comes in: blocks in the caller's rayon pool, in order.

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
pub(crate) fn append_by_size<T: Send>(
    items: Vec<T>,
    n_symbols: usize,
    out: &mut Vec<u8>,
    f: impl Fn(T, &mut Vec<u8>) + Sync + Send,
) {
    if !pays(n_symbols, items.len()) {
        return items.into_iter().for_each(|item| f(item, out));
    }
    let parts = map_by_size(items, n_symbols, |item| {
        let mut part = Vec::new();
        f(item, &mut part);
        part
    });
    parts.iter().for_each(|part| out.extend_from_slice(part));
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
pub(crate) fn append_by_size<T>(
    items: Vec<T>,
    _n_symbols: usize,
    out: &mut Vec<u8>,
    f: impl Fn(T, &mut Vec<u8>),
) {
    items.into_iter().for_each(|item| f(item, out));
}
