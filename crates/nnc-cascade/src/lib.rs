//! Conditional computation: cascades and early exit.
