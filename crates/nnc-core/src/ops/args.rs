//! From candle's tensors and storages to slices, and the checks that every operator makes.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Layout, Result as CandleResult, Storage, StorageRef, Tensor, bail};

use crate::{Error, Result};

/// `tensor` as the operators need it: f32 and contiguous.
pub(crate) fn prepared(what: &str, tensor: &Tensor) -> Result<Tensor> {
    if tensor.dtype() != DType::F32 {
        return Err(Error::invalid(what, "dtype f32", tensor.dtype().as_str()));
    }
    Ok(tensor.contiguous()?)
}

/// Like [`prepared`], and of the given shape.
pub(crate) fn shaped(what: &str, tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if tensor.dims() != shape {
        return Err(Error::shape(what, shape, tensor.dims()));
    }
    prepared(what, tensor)
}

/// Like [`prepared`], and of rank 4; also returns the dimensions.
pub(crate) fn image(what: &str, tensor: &Tensor) -> Result<(Tensor, [usize; 4])> {
    match *tensor.dims() {
        [batch, channels, height, width] => Ok((prepared(what, tensor)?, [batch, channels, height, width])),
        ref dims => Err(Error::invalid(what, "4 dimensions (B, C, H, W)", format!("{dims:?}"))),
    }
}

/// The elements of an operator's argument in its forward pass.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> CandleResult<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected a contiguous f32 tensor, got {:?} with {layout:?}", storage_dtype(storage)),
    }
}

fn storage_dtype(storage: &CpuStorage) -> DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}

/// The elements of a tensor in a backward pass; holds the tensor's read lock.
pub(crate) struct Floats<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl<'a> Floats<'a> {
    /// The elements of `tensor`, which must be contiguous, f32 and on the CPU.
    pub(crate) fn of(tensor: &'a Tensor) -> CandleResult<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let offsets = layout.contiguous_offsets();
        match (&*storage, offsets) {
            (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(Self { storage, start, end }),
            _ => bail!("expected a contiguous f32 tensor on the CPU, got {tensor:?}"),
        }
    }
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => unreachable!("`Floats::of` accepts nothing else"),
        }
    }
}
