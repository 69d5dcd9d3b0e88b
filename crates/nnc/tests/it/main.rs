//! The archive, the command and the pipeline from outside.
#![allow(clippy::cast_possible_truncation, reason = "small test numbers")]

mod archive;
mod command;
mod deep_compression;
mod docs;
mod pipeline;
mod samples;
mod source_laws;

#[global_allocator]
static ALLOCATOR: nnc_testing::allocator::Counting = nnc_testing::allocator::Counting;
