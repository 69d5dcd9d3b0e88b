//! Integer matrix products, bit-exact with gemmlowp.

mod error;
pub mod fixedpoint;
mod matrix;
mod multiplier;
mod output;
mod quantize;

pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Order};
pub use multiplier::{
    Multiplier, rounding_divide_by_pot, saturating_rounding_doubling_high_mul,
    saturating_rounding_doubling_high_mul_i16,
};
pub use output::{Per, Stage};
pub use quantize::{QuantInt, QuantParams, QuantRange};
