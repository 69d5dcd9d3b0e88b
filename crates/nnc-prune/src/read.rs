//! A tensor's values as a slice, without a copy where they lie in order on the CPU.

use nnc_core::Result;
use nnc_core::candle::{self, Device, Storage, Tensor};

/// What `f` says of the values of `tensor` (32-bit floats), in row-major order.
pub(crate) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(candle::Error::Msg("a contiguous tensor on the CPU has values in order".into()).into());
    };
    Ok(f(&storage.as_slice::<f32>()?[start..end]))
}
