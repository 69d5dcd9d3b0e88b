//! Shared inputs of the benchmarks, what the processor can do at most, and what memory a piece of work takes.

pub mod memory;
pub mod peak;
