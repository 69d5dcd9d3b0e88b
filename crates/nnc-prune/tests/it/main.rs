//! Pruning while a network trains: what callbacks do to it, and that interrupted runs come to the same end.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers of the tests' own making"
)]

mod callbacks;
mod dense_sparse_dense;
mod fixture;
mod pruner;
mod resume;
