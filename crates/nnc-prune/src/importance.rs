//! How much an entry matters.

pub mod magnitude;
