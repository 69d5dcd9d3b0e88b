//! Integer matrix products, bit-exact with gemmlowp.

mod error;
pub mod fixedpoint;
mod gemm;
mod job;
mod kernel;
mod matrix;
mod multiplier;
mod output;
mod pack;
mod parallel;
mod quantize;
mod reference;
mod scratch;

pub use error::{Error, Result};
pub use gemm::{Gemm, PackedLhs, PackedRhs, Quantized, gemm, gemm_packed, gemm_packed_lhs};
pub use kernel::Isa;
pub use matrix::{MatMut, MatRef, Order};
pub use multiplier::{
    Multiplier, rounding_divide_by_pot, saturating_rounding_doubling_high_mul,
    saturating_rounding_doubling_high_mul_i16,
};
pub use output::{Element, Per, Stage};
pub use pack::Byte;
pub use quantize::{QuantInt, QuantParams, QuantRange};
pub use reference::reference_gemm;
