//! The archive and the command from outside.

mod allocator;
mod archive;
mod command;
mod deep_compression;
mod samples;
