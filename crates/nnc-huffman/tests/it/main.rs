//! The public API from outside: laws of frames, hostile bytes, golden files.

mod allocator;
mod corruption;
mod golden;
mod inputs;
mod laws;
mod memory;
