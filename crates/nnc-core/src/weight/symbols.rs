//! A stream of small integers, however it is stored.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;

use crate::Result;

/// A finite stream of unsigned symbols of at most 16 bits: codebook indices, gaps, quantized codes.
///
/// Core packs them with a fixed width; `nnc-huffman` codes them. Whoever reads a stored weight asks for ranges and
/// never knows which; a writer that must know upcasts to [`Any`] (`let any: &dyn Any = symbols`).
pub trait Symbols: Any + Debug + Send + Sync {
    /// How many symbols there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bits of the widest symbol: each is `< 2^width`, `width <= 16`.
    fn width(&self) -> u32;

    /// Writes the symbols of `range` to `out`, which has the range's length.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Error::InvalidArgument) when the range or `out`'s length is wrong,
    /// [`Corrupt`](crate::Error::Corrupt) when the stored bytes contradict their format.
    fn decode_into(&self, range: Range<usize>, out: &mut [u16]) -> Result<()>;

    /// Bits of the payload as it would be written (whole bytes for coded streams, without tables).
    fn payload_bits(&self) -> u64;

    /// Bits of the tables that decoding needs beside the payload (code lengths, frequencies), 0 where there are none.
    fn table_bits(&self) -> u64 {
        0
    }

    /// All symbols.
    ///
    /// # Errors
    /// As [`decode_into`](Self::decode_into).
    fn to_vec(&self) -> Result<Vec<u16>> {
        let mut out = vec![0; self.len()];
        self.decode_into(0..self.len(), &mut out)?;
        Ok(out)
    }
}
