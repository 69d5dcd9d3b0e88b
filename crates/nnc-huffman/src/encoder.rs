//! Symbols → bits: one stream for a short block, four for a long one.
//!
//! A **block** of n symbols below [`FOUR_STREAMS_FROM`] is one stream of codewords. A longer one is cut into four runs of
//! `n.div_ceil(4)` symbols (the last may be shorter) that are coded one after the other, so that a decoder keeps four
//! chains of lookups going; the byte lengths of the first three stand before them as LEB128 integers. Each stream starts at
//! a whole byte and is filled up with zeros. A block of a one-symbol code has no bytes at all.

use std::ops::Range;

use crate::bits::{BitWriter, reversed};
use crate::symbol::Symbol;
use crate::varint::put_varint;
use crate::{Code, Error, Result};

/// Symbols from which on a block has four streams: there, the ten bytes they cost are below 0.2 %.
pub const FOUR_STREAMS_FROM: usize = 1 << 15;

/// Symbol ranges of the streams of a block of `n` symbols.
pub(crate) fn stream_ranges(n: usize) -> Vec<Range<usize>> {
    if n < FOUR_STREAMS_FROM {
        return vec![0..n; 1];
    }
    let quarter = n.div_ceil(4);
    (0..4).map(|i| i * quarter..((i + 1) * quarter).min(n)).collect()
}

/// A [`Code`] laid out for encoding: one table entry for each symbol up to the largest.
///
/// ```
/// let code = nnc_huffman::Code::from_lengths(&[1, 2, 3, 3])?;
/// // 0 10 110 111, the first bit lowest: 1 1110 1100 → 0b1_1101_1010, filled up.
/// assert_eq!(nnc_huffman::Encoder::new(&code).encode(&[0u8, 1, 2, 3])?, [0b1101_1010, 0b1]);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Encoder {
    /// `reversed codeword | length << 16`, or [`ABSENT`].
    entries: Vec<u32>,
    is_constant: bool,
}

/// The entry of a symbol without codeword.
const ABSENT: u32 = u32::MAX;

impl Encoder {
    /// Lays out `code`.
    pub fn new(code: &Code) -> Self {
        let n_entries = code.largest_symbol().map_or(0, |largest| usize::from(largest) + 1);
        let mut entries = vec![ABSENT; n_entries];
        for word in code.codewords() {
            entries[usize::from(word.symbol)] =
                u32::from(reversed(word.bits, word.length)) | word.length << 16;
        }
        Self { entries, is_constant: code.only_symbol().is_some() }
    }

    /// Codes `symbols` as one block.
    ///
    /// # Errors
    /// [`Error::UnknownSymbol`] for a symbol without codeword.
    pub fn encode<S: Symbol>(&self, symbols: &[S]) -> Result<Vec<u8>> {
        if self.is_constant {
            return symbols
                .iter()
                .try_for_each(|&symbol| self.entry(symbol).map(|_| ()))
                .map(|()| Vec::new());
        }
        let mut block = Vec::new();
        let mut ends = Vec::new();
        for range in stream_ranges(symbols.len()) {
            self.append_stream(&symbols[range], &mut block)?;
            ends.push(block.len());
        }
        if ends.len() == 1 {
            return Ok(block);
        }
        let mut with_lengths = Vec::with_capacity(block.len() + 16);
        put_varint(&mut with_lengths, ends[0] as u64);
        put_varint(&mut with_lengths, (ends[1] - ends[0]) as u64);
        put_varint(&mut with_lengths, (ends[2] - ends[1]) as u64);
        with_lengths.extend_from_slice(&block);
        Ok(with_lengths)
    }

    fn append_stream<S: Symbol>(&self, symbols: &[S], out: &mut Vec<u8>) -> Result<()> {
        let mut writer = BitWriter::new(out);
        // Two codewords of at most 16 bits fit one write.
        let (pairs, rest) = symbols.as_chunks::<2>();
        for &[first, second] in pairs {
            let (first, second) = (self.entry(first)?, self.entry(second)?);
            let bits = u64::from(first & 0xffff) | u64::from(second & 0xffff) << (first >> 16);
            writer.put(bits, (first >> 16) + (second >> 16));
        }
        for &symbol in rest {
            let entry = self.entry(symbol)?;
            writer.put(u64::from(entry & 0xffff), entry >> 16);
        }
        writer.finish();
        Ok(())
    }

    #[inline]
    fn entry<S: Symbol>(&self, symbol: S) -> Result<u32> {
        let symbol: u16 = symbol.into();
        match self.entries.get(usize::from(symbol)) {
            Some(&entry) if entry != ABSENT => Ok(entry),
            _ => Err(Error::UnknownSymbol { symbol }),
        }
    }
}

impl Code {
    /// Codes `symbols` as one block, without the table.
    ///
    /// # Errors
    /// [`Error::UnknownSymbol`] for a symbol without codeword.
    pub fn encode<S: Symbol>(&self, symbols: &[S]) -> Result<Vec<u8>> {
        Encoder::new(self).encode(symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    #[test]
    fn slide_example_takes_sixteen_bytes() {
        let symbols: Vec<u8> =
            [(0u8, 100), (1, 10), (2, 1), (3, 1)].iter().flat_map(|&(s, n)| vec![s; n]).collect();
        let code = Code::from_histogram(&Histogram::of(&symbols));
        assert_eq!(code.encode(&symbols).unwrap().len(), 126usize.div_ceil(8));
    }

    #[test]
    fn symbols_without_codeword_are_named() {
        let code = Code::from_lengths(&[1, 0, 1]).unwrap();
        for symbol in [1u16, 3, 65_535] {
            assert_eq!(code.encode(&[0, symbol]), Err(Error::UnknownSymbol { symbol }));
            assert_eq!(code.encode(&[symbol]), Err(Error::UnknownSymbol { symbol }));
        }
        let constant = Code::from_lengths(&[0, 1]).unwrap();
        assert_eq!(constant.encode(&[1u8; 70_000]), Ok(vec![]));
        assert_eq!(constant.encode(&[1u8, 0]), Err(Error::UnknownSymbol { symbol: 0 }));
    }

    #[test]
    fn four_streams_cost_their_lengths_and_padding_only() {
        let code = Code::from_lengths(&[2; 4]).unwrap();
        let n = FOUR_STREAMS_FROM + 1;
        // 8193, 8193, 8193 and 8190 symbols of 2 bits, three lengths of two bytes.
        assert_eq!(code.encode(&vec![3u8; n]).unwrap().len(), 3 * 2049 + 2048 + 6);
        assert_eq!(code.encode(&vec![3u8; n - 2]).unwrap().len(), 8192);
    }
}
