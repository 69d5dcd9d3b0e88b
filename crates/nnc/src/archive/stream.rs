//! An integer stream as bytes: packed at its width, or Huffman-coded with its code.

use std::any::Any;
use std::sync::Arc;

use nnc_core::weight::{PackedSymbols, StoredWeight, Symbols};
use nnc_core::{Error, Result};
use nnc_huffman::CodedSymbols;

use super::bytes::{Cursor, put_varint};
use super::{Part, record};

/// Symbols of a coded stream without payload, at most, for each byte of its record.
///
/// A code of one symbol has words of no bits, so the payload cannot vouch for the number of symbols; this does. The
/// writer packs longer streams.
pub(super) const CONSTANT_SYMBOLS_PER_BYTE: usize = 4096;

/// How the integer streams of a weight (gaps, codes, codebook indices) are to be stored.
///
/// An archive stores streams as they are; [`apply`](Self::apply) changes them beforehand.
///
/// # Example
/// ```
/// use nnc::archive::StreamCoding;
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::weight::{Form, Order, StoredWeight, WeightTensor};
/// let dense: Vec<f32> = (0..4000_u16).map(|i| f32::from(u8::from(i % 37 == 0))).collect();
/// let dense = Tensor::from_vec(dense, (40, 100), &Device::Cpu)?;
/// let gaps = StoredWeight::dense(&dense)?.rearrange(Form::Gaps { bits: 8 }, Order::RowMajor)?;
/// // All 108 gaps but the first are 36, so a code needs a bit for each where packing takes 8.
/// let coded = StreamCoding::Smallest { block_len: 0 }.apply(&gaps)?;
/// assert_eq!((gaps.footprint().positions.bits, coded.footprint().positions.bits), (8 * 109, 8 * 14));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamCoding {
    /// Each symbol in its stream's width.
    Packed,
    /// Huffman-coded where that takes fewer bytes of an archive, code table included; packed elsewhere.
    Smallest {
        /// Symbols that decode on their own; 0 for the whole stream. Short blocks cost an index and padding.
        block_len: usize,
    },
}

impl StreamCoding {
    /// The same weight with its integer streams stored this way; the symbols stay what they are.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when a stream turns out to be.
    pub fn apply(self, weight: &StoredWeight) -> Result<StoredWeight> {
        let packed = weight.map_streams(|_, stream| pack(&**stream))?;
        let Self::Smallest { block_len } = self else { return Ok(packed) };
        // Streams are independent, so the best of each is the best of all.
        packed.map_streams(|role, stream| {
            let symbols = stream.to_vec()?;
            let coded: Arc<dyn Symbols> = Arc::new(CodedSymbols::encode(&symbols, block_len));
            let with =
                packed.map_streams(|other, kept| Ok(if other == role { &coded } else { kept }.clone()))?;
            let is_smaller = record::encode(&with)?.len() < record::encode(&packed)?.len();
            Ok(if is_smaller { coded } else { stream.clone() })
        })
    }
}

/// `stream` in the form that a coder gave it, if that is a form of the archive.
pub(super) fn coded(stream: &dyn Symbols) -> Option<&CodedSymbols> {
    let any: &dyn Any = stream;
    any.downcast_ref()
}

/// Whether a coded stream of `len` symbols may stand in a record of `record_len` bytes.
pub(super) fn is_earned(coded: &CodedSymbols, record_len: usize) -> bool {
    coded.code().n_symbols() > 1 || coded.len() <= CONSTANT_SYMBOLS_PER_BYTE.saturating_mul(record_len)
}

/// The same symbols, packed at the stream's width.
pub(super) fn pack(stream: &dyn Symbols) -> Result<Arc<dyn Symbols>> {
    let any: &dyn Any = stream;
    if let Some(packed) = any.downcast_ref::<PackedSymbols>() {
        return Ok(Arc::new(packed.clone()));
    }
    Ok(Arc::new(PackedSymbols::from_symbols(stream.width().max(1), &stream.to_vec()?)?))
}

/// The width of a stream that is written packed, less 1: four bits.
pub(super) fn width_code(stream: &dyn Symbols) -> u8 {
    u8::try_from(stream.width().max(1) - 1).expect("a width of at most 16")
}

/// The bytes of a stream: the blocks' length and the code with its payload where it is coded, else the packed symbols.
pub(super) fn bytes(stream: &dyn Symbols) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let any: &dyn Any = stream;
    if let Some(coded) = coded(stream) {
        put_varint(&mut out, coded.block_len());
        coded.write(&mut out);
    } else if let Some(packed) = any.downcast_ref::<PackedSymbols>() {
        out.extend_from_slice(packed.bytes());
    } else {
        let packed = PackedSymbols::from_symbols(stream.width().max(1), &stream.to_vec()?)?;
        out.extend_from_slice(packed.bytes());
    }
    Ok(out)
}

/// Reads `len` packed symbols of `width` bits.
pub(super) fn take_packed(
    cursor: &mut Cursor<'_>,
    len: usize,
    width: u32,
    payload: Part,
) -> Result<Arc<dyn Symbols>> {
    // In u128 no count overflows; what does not fit a usize is more than there is.
    let n_bytes = (len as u128 * u128::from(width)).div_ceil(8);
    let bytes = cursor.take(usize::try_from(n_bytes).unwrap_or(usize::MAX))?;
    cursor.mark(payload);
    let packed = cursor.blame(PackedSymbols::from_bytes(width, len, bytes.to_vec()))?;
    Ok(Arc::new(packed))
}

/// Reads `len` coded symbols from the next `n_bytes` bytes; `table` and `payload` are what the two parts count as.
pub(super) fn take_coded(
    cursor: &mut Cursor<'_>,
    len: usize,
    n_bytes: usize,
    (table, payload): (Part, Part),
) -> Result<Arc<dyn Symbols>> {
    let before = cursor.left();
    let block_len = cursor.varint()?;
    cursor.mark(Part::Form);
    let n_bytes = n_bytes.checked_sub(before - cursor.left());
    let n_bytes = n_bytes.ok_or_else(|| cursor.corrupt("a coded stream without its code"))?;
    let bytes = cursor.take(n_bytes)?;
    let coded = CodedSymbols::read(bytes, len, block_len).map_err(Error::from);
    let coded = cursor.blame(coded)?;
    if !is_earned(&coded, cursor.len()) {
        return Err(cursor.corrupt(format!("{len} equal symbols in {} bytes", cursor.len())));
    }
    cursor.mark_two(table, n_bytes - coded.payload().len(), payload);
    Ok(Arc::new(coded))
}
