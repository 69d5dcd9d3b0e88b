//! Inner loops, each compiled for every instruction set that pays and chosen when it runs.
//!
//! All of them are plain loops over slices without fused multiply-adds, so a kernel gives the same bits on every
//! instruction set; only the products of [`gemm`](super::gemm) depend on the processor.

pub(crate) mod border;
pub(crate) mod fresh;
mod isa;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod windows;
