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

    if n_symbols < PARALLEL_FROM || items.len() == 1 {
        return items.into_iter().map(f).collect();
    }
    items.into_par_iter().map(f).collect()
}

/// Maps `items`; results in their order.
#[cfg(not(feature = "parallel"))]
pub(crate) fn map_by_size<T, R>(items: Vec<T>, _n_symbols: usize, f: impl Fn(T) -> R) -> Vec<R> {
    items.into_iter().map(f).collect()
}
