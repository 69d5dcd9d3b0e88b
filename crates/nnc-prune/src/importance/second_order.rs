//! Second-order pruning: what goes is made up for by what stays.
//!
//! With `H` the second derivative of the output error, removing weight `q` costs `w_q² / (2 [H⁻¹]_qq)` once the others have moved
//! by `δw = −w_q / [H⁻¹]_qq · H⁻¹[:, q]`. [`obs`] does exactly that, one weight at a time; [`sparse_gpt`](mod@sparse_gpt) goes through the
//! columns of a whole layer once.

pub mod obs;
pub mod sparse_gpt;

pub use sparse_gpt::{Compensated, Pattern, SparseGptConfig, sparse_gpt};
