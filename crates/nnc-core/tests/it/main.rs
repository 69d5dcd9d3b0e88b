//! Integration tests of nnc-core, one binary.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_lossless,
    reason = "small test numbers"
)]

mod forward;
mod ops_backward;
mod ops_candle_faults;
mod ops_case;
mod ops_golden;
mod ops_kernels;
mod ops_threads;
mod training;
mod training_golden;
