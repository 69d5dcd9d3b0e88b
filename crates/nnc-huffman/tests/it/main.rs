//! The public API from outside: laws of frames, hostile bytes, golden files.

mod corruption;
mod golden;
mod inputs;
mod laws;
mod memory;

#[global_allocator]
static ALLOCATOR: nnc_testing::allocator::Counting = nnc_testing::allocator::Counting;
