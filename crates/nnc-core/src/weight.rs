//! A weight as it is stored: positions × values, with integer streams behind both.
//!
//! Which entries of a weight exist ([`Positions`]) and what they hold ([`Values`]) are two independent choices.
//! [`StoredWeight`] pairs them; whoever writes, counts or runs a weight matches on that pair. Integer streams behind
//! either ([`Symbols`]) may be packed ([`PackedSymbols`]) or entropy-coded, and no reader needs to know which.
//!
//! Any pair is allowed; some have names: `All × F32` is a dense weight, `Mask × F32` a pruned one, `All × Affine` a quantized
//! one, `Gaps × Codebook` that of Deep Compression.

mod affine;
mod blocks;
mod codebook;
mod gaps;
mod order;
mod packed;
mod positions;
mod rearrange;
mod scan;
mod stored;
pub mod symbols;
mod values;

pub use affine::{Affine, AffineGrid, Granularity};
pub use blocks::{BlockIndices, Blocks};
pub use codebook::Codebook;
pub use gaps::{GapCode, GapIndices, Gaps};
pub use order::Order;
pub use packed::{MAX_WIDTH, PackedSymbols};
pub use positions::{Indices, MaskBits, Positions};
pub use rearrange::Form;
pub use stored::{Entries, StoredWeight, StreamRole};
pub use symbols::Symbols;
pub use values::{Half, Values};

pub(crate) use order::checked_count;

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::footprint::{Footprint, StreamBits};

/// What every form of a weight can do: tell its shape and cost, and become dense.
pub trait WeightTensor {
    /// The shape of the dense weight.
    fn shape(&self) -> &[usize];

    /// The dense weight on `device`: contiguous, 32-bit floats.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) when stored streams contradict their format; what candle says of the copy.
    fn to_dense(&self, device: &Device) -> Result<Tensor>;

    /// What it would cost to write, in bits by part, without a container's headers.
    fn footprint(&self) -> Footprint;
}

/// A dense tensor; its footprint is that of its own element type.
impl WeightTensor for Tensor {
    fn shape(&self) -> &[usize] {
        self.dims()
    }

    fn to_dense(&self, device: &Device) -> Result<Tensor> {
        Ok(self.detach().to_device(device)?.to_dtype(DType::F32)?.contiguous()?)
    }

    fn footprint(&self) -> Footprint {
        let bits = 8 * (self.elem_count() * self.dtype().size_in_bytes()) as u64;
        Footprint { values: StreamBits::raw(bits), ..Footprint::default() }
    }
}

#[cfg(test)]
mod tests;
