//! `nnc unpack`: back to dense tensors.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::open::{dense, open};

/// Writes the weights of an archive as dense 32-bit floats into a safetensors file.
///
/// Names, order and values are those that were stored, bit for bit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nnc unpack model.nnc -o model.safetensors")]
pub(super) struct Unpack {
    /// The archive.
    file: PathBuf,
    /// The safetensors file to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Go on where a small file claims very large weights.
    #[arg(long)]
    force: bool,
}

impl Unpack {
    pub(super) fn run(self) -> Result<String, Failure> {
        let archive = open(&self.file, self.force)?;
        let params = dense(&self.file, &archive)?;
        params.save(&self.output).map_err(Failure::of(&self.output))?;
        let (n, count) = (params.len(), params.count());
        Ok(format!("{}: {n} tensors, {count} numbers\n", self.output.display()))
    }
}
