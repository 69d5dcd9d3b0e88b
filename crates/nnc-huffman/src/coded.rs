//! A stream of coded symbols that can be read from the middle: code, block index, payload.
//!
//! As bytes: the code's table, the index, the blocks one after the other to the end of the slice. The index has no bytes
//! where there is one block; otherwise it says how long each block but the last is: the least length as a LEB128 integer,
//! a byte w ≤ 64, then w bits a block for what it has above the least, filled up with zeros. Symbol count and block length
//! are the container's to store, as it often knows them.

use std::ops::Range;

use crate::bits::{BitReader, BitWriter};
use crate::decoder::{Decoder, can_hold};
use crate::encoder::{Encoder, FOUR_STREAMS_FROM};
use crate::histogram::Histogram;
use crate::symbol::Symbol;
use crate::threads::map_by_size;
use crate::varint::{put_varint, take_varint};
use crate::{Code, Error, Result};

const INDEX: &str = "block index";

/// Blocks that are decoded at the same time: a chain of lookups each.
const SIDE_BY_SIDE: usize = 4;

/// Symbols under one [`Code`], in blocks that decode independently.
///
/// ```
/// use nnc_huffman::CodedSymbols;
///
/// let gaps: Vec<u16> = (0..10_000u32).map(|i| (i * i % 7) as u16).collect();
/// let coded = CodedSymbols::encode(&gaps, 1024);
/// let mut bytes = Vec::new();
/// coded.write(&mut bytes);
/// assert_eq!(8 * bytes.len() as u64, coded.table_bits() + coded.payload_bits());
///
/// let read = CodedSymbols::read(&bytes, 10_000, 1024)?;
/// let mut tile = [0u16; 3];
/// read.decode_range(5000..5003, &mut tile)?;
/// assert_eq!(tile, gaps[5000..5003]);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CodedSymbols {
    code: Code,
    decoder: Decoder,
    len: usize,
    block_len: usize,
    /// Where each block ends in `payload`; at least one.
    ends: Vec<usize>,
    payload: Vec<u8>,
}

impl CodedSymbols {
    /// Codes `symbols` with the best code for them, a block every `block_len` symbols; 0 means one block.
    ///
    /// The bytes depend on the arguments only, not on the number of threads.
    #[allow(clippy::missing_panics_doc, reason = "the code has all of the symbols")]
    pub fn encode<S: Symbol>(symbols: &[S], block_len: usize) -> Self {
        let code = Code::from_histogram(&Histogram::of(symbols));
        Self::encode_with(code, symbols, block_len).expect("the code is made from these symbols")
    }

    /// Codes `symbols` with the given code, a block every `block_len` symbols; 0 means one block.
    ///
    /// # Errors
    /// [`Error::UnknownSymbol`] for a symbol without codeword.
    pub fn encode_with<S: Symbol>(code: Code, symbols: &[S], block_len: usize) -> Result<Self> {
        let encoder = Encoder::new(&code);
        let step = block_step(&code, symbols.len(), block_len);
        let mut blocks: Vec<&[S]> = symbols.chunks(step).collect();
        if blocks.is_empty() {
            blocks.push(&[]);
        }
        let blocks = map_by_size(blocks, symbols.len(), |block| encoder.encode(block));
        let (mut payload, mut ends) = (Vec::new(), Vec::new());
        for block in blocks {
            payload.extend_from_slice(&block?);
            ends.push(payload.len());
        }
        let decoder = Decoder::for_len(&code, symbols.len());
        Ok(Self { code, decoder, len: symbols.len(), block_len, ends, payload })
    }

    /// Reads what [`write`](Self::write) wrote; `bytes` is exactly that, `len` and `block_len` are those of the encoder.
    ///
    /// The table and the index are checked here, the blocks where they are decoded (or by [`verify`](Self::verify)).
    /// `len` is refused where the payload is too short for it. A stream of one symbol has no payload: there the bytes
    /// cannot contradict `len`, which the caller must therefore have from a source that it trusts or has bounded.
    ///
    /// # Errors
    /// Those of [`Code::read_table`]; [`Error::CountMismatch`] where `len` symbols cannot be in the payload;
    /// [`Error::UnexpectedEnd`] or [`Error::Corrupt`] where the index is cut or exceeds the payload.
    pub fn read(bytes: &[u8], len: usize, block_len: usize) -> Result<Self> {
        let (code, table_bytes) = Code::read_table(bytes)?;
        let n_blocks = len.div_ceil(block_step(&code, len, block_len)).max(1);
        let mut rest = &bytes[table_bytes..];
        if !can_hold(code.min_length(), code.only_symbol().is_some(), len, rest.len()) {
            return Err(Error::CountMismatch { symbols: len as u64, bits: 8 * rest.len() as u64 });
        }
        let mut ends = read_index(&mut rest, n_blocks)?;
        ends.push(rest.len());
        let decoder = Decoder::for_len(&code, len);
        Ok(Self { code, decoder, len, block_len, ends, payload: rest.to_vec() })
    }

    /// Appends table, index and payload: `(table_bits() + payload_bits()) / 8` bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_tables(out);
        out.extend_from_slice(&self.payload);
    }

    fn write_tables(&self, out: &mut Vec<u8>) {
        self.code.write_table(out);
        write_index(out, &self.ends);
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Symbols from block to block as the encoder was told; 0 for one block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// The code of all blocks.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// The blocks' bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Bits of the blocks, in whole bytes each.
    pub fn payload_bits(&self) -> u64 {
        8 * self.payload.len() as u64
    }

    /// Bits of the code's table and of the block index, in whole bytes each.
    pub fn table_bits(&self) -> u64 {
        let mut tables = Vec::new();
        self.write_tables(&mut tables);
        8 * tables.len() as u64
    }

    /// Decodes the symbols of `range`, in parallel where it spans many blocks (feature `parallel`).
    ///
    /// Cost: a range that begins within a block pays for the symbols before it in its stream.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the range is not within the stream, `out` has another length, or `S` cannot hold
    /// the code's symbols; [`Error::CountMismatch`] and [`Error::UnexpectedEnd`] where a block is corrupt.
    pub fn decode_range<S: Symbol>(&self, range: Range<usize>, out: &mut [S]) -> Result<()> {
        if range.start > range.end || range.end > self.len {
            return Err(Error::invalid("range", format!("within 0..{}", self.len), format!("{range:?}")));
        }
        if out.len() != range.len() {
            return Err(Error::invalid("out", format!("{} symbols", range.len()), out.len()));
        }
        if range.is_empty() && !self.is_empty() {
            return Ok(());
        }
        let step = block_step(&self.code, self.len, self.block_len);
        let first = range.start / step;
        if range.end <= (first + 1) * step {
            return self.decode_in_block(first, range.start - first * step, out);
        }
        let first_whole = range.start.div_ceil(step);
        let (head, tail) = out.split_at_mut(first_whole * step - range.start);
        if !head.is_empty() {
            self.decode_in_block(first, range.start - first * step, head)?;
        }
        // Longer blocks have four streams each.
        let n_side_by_side = if step < FOUR_STREAMS_FROM { SIDE_BY_SIDE } else { 1 };
        let groups = tail.chunks_mut(n_side_by_side * step).enumerate();
        let groups: Vec<_> = groups.map(|(i, group)| (first_whole + n_side_by_side * i, group)).collect();
        let results = map_by_size(groups, range.len(), |(block, group)| self.decode_blocks(block, group));
        results.into_iter().collect()
    }

    /// Decodes the blocks from `first` on that `out` has room for, the last one up to where it ends.
    fn decode_blocks<S: Symbol>(&self, first: usize, out: &mut [S]) -> Result<()> {
        let step = block_step(&self.code, self.len, self.block_len);
        if step < FOUR_STREAMS_FROM && out.len() == SIDE_BY_SIDE * step {
            let blocks = std::array::from_fn(|i| self.block_bytes(first + i));
            let mut parts = out.chunks_mut(step);
            let parts = std::array::from_fn(|_| parts.next().expect("four steps"));
            return self.decoder.decode_four_blocks(blocks, parts);
        }
        let mut parts = out.chunks_mut(step).enumerate();
        parts.try_for_each(|(i, part)| self.decode_in_block(first + i, 0, part))
    }

    /// Decodes `out.len()` symbols of a block from its `start`th on.
    fn decode_in_block<S: Symbol>(&self, block: usize, start: usize, out: &mut [S]) -> Result<()> {
        let step = block_step(&self.code, self.len, self.block_len);
        let n = step.min(self.len - block * step);
        let bytes = self.block_bytes(block);
        if out.len() == n {
            self.decoder.decode_into(bytes, out)
        } else {
            self.decoder.decode_part_into(bytes, n, start, out)
        }
    }

    fn block_bytes(&self, block: usize) -> &[u8] {
        let begin = if block == 0 { 0 } else { self.ends[block - 1] };
        &self.payload[begin..self.ends[block]]
    }

    /// All symbols.
    ///
    /// # Errors
    /// As [`decode_range`](Self::decode_range).
    pub fn to_vec<S: Symbol>(&self) -> Result<Vec<S>> {
        let mut out = vec![S::default(); self.len];
        self.decode_range(0..self.len, &mut out)?;
        Ok(out)
    }

    /// Decodes each block once and drops the symbols: `Ok` means that all later reads succeed.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] or [`Error::UnexpectedEnd`] where a block is corrupt.
    pub fn verify(&self) -> Result<()> {
        if self.code.n_symbols() < 2 {
            return Ok(());
        }
        self.to_vec::<u16>().map(|_| ())
    }
}

/// Symbols from block to block, at least 1: constant streams, having no bytes, have one block.
fn block_step(code: &Code, len: usize, block_len: usize) -> usize {
    if block_len == 0 || code.n_symbols() < 2 { len.max(1) } else { block_len.min(len.max(1)) }
}

fn write_index(out: &mut Vec<u8>, ends: &[usize]) {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let lengths = ends[..ends.len() - 1].iter().zip(starts).map(|(&end, start)| (end - start) as u64);
    let Some(least) = lengths.clone().min() else { return };
    let width = lengths.clone().map(|length| u64::BITS - (length - least).leading_zeros()).max().unwrap_or(0);
    put_varint(out, least);
    out.push(u8::try_from(width).expect("at most 64"));
    let mut writer = BitWriter::new(out);
    for length in lengths {
        writer.put((length - least) & u64::from(u32::MAX), width.min(32));
        writer.put((length - least) >> 32, width.saturating_sub(32));
    }
    writer.finish();
}

/// Takes the index of `n_blocks` off the front of `rest`, checks it against what follows; the ends of all blocks but the last.
fn read_index(rest: &mut &[u8], n_blocks: usize) -> Result<Vec<usize>> {
    if n_blocks == 1 {
        return Ok(Vec::with_capacity(1));
    }
    let least = take_varint(rest, INDEX)?;
    let (&width, fields) = rest.split_first().ok_or(Error::UnexpectedEnd { what: INDEX })?;
    // A block has a byte at least, so the number of blocks is earned by the payload even where the fields have no bits.
    let n_indexed = n_blocks as u64 - 1;
    if least == 0 || width > 64 {
        return Err(Error::corrupt(INDEX, format!("least length {least}, {width} bits a block")));
    }
    if n_indexed > fields.len() as u64 {
        return Err(Error::UnexpectedEnd { what: INDEX });
    }
    let width = u32::from(width);
    let mut reader = BitReader::new(fields);
    let mut end = 0usize;
    let mut ends = Vec::with_capacity(n_blocks);
    for _ in 1..n_blocks {
        let low = reader.get(width.min(32)).ok_or(Error::UnexpectedEnd { what: INDEX })?;
        let high = reader.get(width.saturating_sub(32)).ok_or(Error::UnexpectedEnd { what: INDEX })?;
        let length = least.checked_add(u64::from(high) << 32 | u64::from(low));
        let length = length.and_then(|length| usize::try_from(length).ok());
        end = length
            .and_then(|length| end.checked_add(length))
            .ok_or(Error::UnexpectedEnd { what: "blocks" })?;
        ends.push(end);
    }
    *rest = &fields[reader.finish_byte(INDEX)?..];
    if end > rest.len() {
        return Err(Error::UnexpectedEnd { what: "blocks" });
    }
    Ok(ends)
}

#[cfg(test)]
mod tests;
