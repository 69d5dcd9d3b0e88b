//! Compression pipelines, the .nnc archive and the nnc command.

pub mod storage;
