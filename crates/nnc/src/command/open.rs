//! Opening an archive for a command that makes its weights dense.

use std::path::Path;

use nnc::archive::{Archive, Reader};
use nnc_core::candle::Device;
use nnc_core::params::Params;
use nnc_core::weight::WeightTensor as _;

use super::Failure;
use super::progress;

/// Dense bytes that any file may ask for, and for each byte of the file so many more.
///
/// A few bytes can claim terabytes of zeros; a network that is really meant stays far below this.
const DENSE_BYTES: (u64, u64) = (256 << 20, 4096);

/// Reads the archive at `path` and checks that its dense weights may be made; `force` says that they may.
pub(super) fn open(path: &Path, force: bool) -> Result<Archive, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::in_file(path, error))?;
    let archive = Reader::new(&bytes).and_then(|reader| reader.archive()).map_err(Failure::of(path))?;
    let allowed = DENSE_BYTES.0.saturating_add(DENSE_BYTES.1.saturating_mul(bytes.len() as u64));
    let dense = archive.dense_bytes();
    if dense > allowed && !force {
        let size = format!("{} bytes claim {} MiB of dense weights", bytes.len(), dense >> 20);
        return Err(Failure::in_file(path, format!("{size}; pass --force if that is meant")));
    }
    Ok(archive)
}

/// The dense weights, with a progress bar.
pub(super) fn dense(path: &Path, archive: &Archive) -> Result<Params, Failure> {
    let bar = progress::bar(archive.weights.len(), "weights");
    let mut params = Params::new();
    for (name, kind, weight) in &archive.weights {
        params.insert(name, *kind, weight.to_dense(&Device::Cpu).map_err(Failure::of(path))?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(params)
}
