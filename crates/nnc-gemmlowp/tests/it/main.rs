//! The public API from outside: values of Google's gemmlowp, the laws of each function, arguments that are refused.
#![allow(
    clippy::cast_possible_truncation,
    reason = "tests cast where the numbers at hand fit, and fail where they do not"
)]

mod conv;
mod fixedpoint;
mod gemm;
mod golden;
mod low_bit;
mod multiplier;
mod quantize;
