//! The public API from outside: laws of frames, hostile bytes, golden files.

mod corruption;
mod golden;
mod inputs;
mod laws;
