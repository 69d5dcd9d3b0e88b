//! Sums of outer products, and the inverse Cholesky factor: what the second-order methods need.
//!
//! Matrices are slices in row-major order; of a symmetric one, only the upper triangle is read and written while it is worked
//! on. Work is split by its size, so that the thread count changes no bit.

mod gram;
mod inverse;

pub use crate::ops::gemm::{Mat, MatMut, matmul};
pub use gram::Gram;
pub use inverse::{damp, inverse_cholesky};

/// Rows of a product that one task makes.
const STRIP: usize = 128;
