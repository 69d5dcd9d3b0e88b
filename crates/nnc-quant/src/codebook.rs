//! Weight sharing: each weight becomes an index into a short table of values.
//!
//! # Source
//! Han, Mao, Dally, "Deep Compression", ICLR 2016, §3.

mod assign;
mod init;
mod lloyd;
mod lookup;
mod optimal;
mod ranks;
mod source;

pub use init::Init;
pub use lloyd::{ClusterConfig, Clustering, cluster};
pub use optimal::{MAX_EXACT, Optimal, cluster_optimal};
pub use source::{CodebookSource, SharedWeight};

/// Compression rate of sharing alone: `n·b / (n·log2 k + k·b)` for `n` weights of `b` bits and `k` shared values.
///
/// # Source
/// Deep Compression, eq. 1.
///
/// # Example
/// ```
/// assert_eq!(nnc_quant::codebook::sharing_rate(16, 4, 32), 3.2);
/// ```
pub fn sharing_rate(n_weights: usize, n_shared: usize, value_bits: u32) -> f64 {
    let (n, k, b) = (n_weights as f64, n_shared as f64, f64::from(value_bits));
    n * b / (n * k.log2() + k * b)
}
