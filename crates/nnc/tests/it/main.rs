//! The archive and the command from outside.

mod allocator;
mod archive;
mod command;
mod samples;
