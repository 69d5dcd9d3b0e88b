//! From candle's tensors to slices.

use nnc_core::candle::{self, CpuStorage, DType, Layout, Storage, Tensor};
use nnc_core::{Error, Result};

/// The elements of an operator's argument.
pub(crate) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle::Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle::bail!("expected a contiguous tensor, got {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Runs `read` on the elements of `tensor`, which are copied only where they are not contiguous.
///
/// # Errors
/// [`Error::InvalidArgument`] when `what` is not of dtype f32 on the CPU.
pub(crate) fn with_floats<T>(
    what: &str,
    tensor: &Tensor,
    read: impl FnOnce(&[f32]) -> Result<T>,
) -> Result<T> {
    if tensor.dtype() != DType::F32 {
        return Err(Error::invalid(what, "dtype f32", tensor.dtype().as_str()));
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(contiguous(storage, layout)?),
        _ => Err(Error::invalid(what, "a tensor on the CPU", format!("{:?}", tensor.device()))),
    }
}
