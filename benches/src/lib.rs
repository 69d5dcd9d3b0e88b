//! Shared inputs of the benchmarks, and what the processor can do at most.

pub mod peak;
