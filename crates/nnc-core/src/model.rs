//! Anything that yields named outputs.
