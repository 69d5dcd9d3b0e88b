//! Shared inputs of the benchmarks, what the processor can do at most, and what memory and processor time a piece of work takes.

pub mod peak;
pub mod process;
