//! Where a network gets its parameters from.
