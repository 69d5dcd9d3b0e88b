//! A weight as it is stored: positions × values, with integer streams behind both.

pub mod symbols;
