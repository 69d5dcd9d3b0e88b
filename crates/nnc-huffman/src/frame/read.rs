//! Frames as something to read from: whole, block by block, symbol by symbol.

use std::ops::Range;

use super::{Head, Isa, Kind, take_header};
use crate::block;
use crate::symbol::Symbol;
use crate::threads::map_by_size;
use crate::{Error, Result};

/// A frame whose blocks have been found and not yet decoded.
///
/// ```
/// use nnc_huffman::{Coder, Config, Frame, compress_with};
///
/// let gaps: Vec<u16> = (0..10_000u32).map(|i| (i * i % 7) as u16).collect();
/// let bytes = compress_with(&gaps, &Config::new(Coder::Huffman).with_block_bits(10)?);
/// let frame = Frame::read(&bytes)?;
/// assert_eq!((frame.len(), frame.n_blocks(), frame.block_range(9)), (10_000, 10, 9216..10_000));
///
/// let mut tile = [0u16; 1024];
/// frame.decode_block(3, &mut tile)?;
/// assert_eq!(tile, gaps[3 * 1024..4 * 1024]);
/// assert_eq!(frame.iter::<u16>()?.collect::<Result<Vec<_>, _>>()?, gaps);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    symbol_bits: u32,
    block_len: usize,
    len: usize,
    blocks: Vec<(Kind, Range<usize>)>,
    isa: Isa,
}

impl<'a> Frame<'a> {
    /// Finds the blocks of `bytes`, which are exactly a frame.
    ///
    /// Heads are checked here, payloads where they are decoded. Allocates at most 24 bytes for each three that there are.
    ///
    /// # Errors
    /// [`Error::WrongMagic`], [`Error::UnsupportedVersion`]; [`Error::UnexpectedEnd`] where the frame is cut;
    /// [`Error::Corrupt`] where a head is wrong, a block is followed by another though it is not full, or bytes follow the
    /// frame.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let (symbol_bits, block_bits, mut rest) = take_header(bytes)?;
        let block_len = 1 << block_bits;
        let (mut blocks, mut len) = (Vec::new(), 0usize);
        while let Some(head) = Head::take(&mut rest, block_len)? {
            if len % block_len != 0 {
                return Err(Error::corrupt("block", "a block that is not full before the last one"));
            }
            let start = bytes.len() - rest.len();
            blocks.push((head.kind, start..start + head.n_bytes));
            rest = &rest[head.n_bytes..];
            len =
                len.checked_add(head.n_symbols).ok_or_else(|| Error::corrupt("block", "too many symbols"))?;
        }
        if !rest.is_empty() {
            return Err(Error::corrupt("frame", format!("{} bytes after its end", rest.len())));
        }
        Ok(Self { bytes, symbol_bits, block_len, len, blocks, isa: Isa::best() })
    }

    /// Decodes with another instruction set.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits of the symbol type: 8 or 16.
    pub fn symbol_bits(&self) -> u32 {
        self.symbol_bits
    }

    /// Symbols from block to block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// How many blocks there are.
    pub fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Which symbols block `index` has.
    ///
    /// # Panics
    /// Where there is no such block.
    pub fn block_range(&self, index: usize) -> Range<usize> {
        assert!(index < self.blocks.len(), "block {index} of {}", self.blocks.len());
        index * self.block_len..((index + 1) * self.block_len).min(self.len)
    }

    /// How block `index` is coded.
    ///
    /// # Panics
    /// Where there is no such block.
    pub fn block_kind(&self, index: usize) -> Kind {
        self.blocks[index].0
    }

    /// Decodes block `index` to `out`, which has the length of its [range](Self::block_range).
    ///
    /// Allocates at most 128 KiB, of which the thread keeps 96 KiB for the next block, and a byte a symbol where `u16`
    /// symbols are all below 256.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a block that there is not, another length, or the other symbol type; for corrupt
    /// bytes [`Error::CountMismatch`], [`Error::UnexpectedEnd`], [`Error::Kraft`] or [`Error::Corrupt`].
    pub fn decode_block<S: Symbol>(&self, index: usize, out: &mut [S]) -> Result<()> {
        self.check_type::<S>()?;
        if index >= self.blocks.len() {
            return Err(Error::invalid("index", format!("below {}", self.blocks.len()), index));
        }
        let n = self.block_range(index).len();
        if out.len() != n {
            return Err(Error::invalid("out", format!("{n} symbols"), out.len()));
        }
        self.decode_known(index, out)
    }

    /// Decodes all symbols to `out`, blocks in parallel (feature `parallel`).
    ///
    /// Allocates as [`decode_block`](Self::decode_block) on each thread, and at most 128 bytes for each block.
    ///
    /// # Errors
    /// As [`decode_block`](Self::decode_block).
    pub fn decode_into<S: Symbol>(&self, out: &mut [S]) -> Result<()> {
        self.check_type::<S>()?;
        if out.len() != self.len {
            return Err(Error::invalid("out", format!("{} symbols", self.len), out.len()));
        }
        let parts: Vec<_> = out.chunks_mut(self.block_len).enumerate().collect();
        map_by_size(parts, self.len, |(index, part)| self.decode_known(index, part)).into_iter().collect()
    }

    /// The symbols one by one, decoded a block at a time; ends after the first error.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for the other symbol type.
    pub fn iter<S: Symbol>(&self) -> Result<Iter<'_, 'a, S>> {
        self.check_type::<S>()?;
        Ok(Iter { frame: self, next_block: 0, symbols: Vec::new().into_iter() })
    }

    fn decode_known<S: Symbol>(&self, index: usize, out: &mut [S]) -> Result<()> {
        let (kind, range) = &self.blocks[index];
        block::decode(self.isa, *kind, &self.bytes[range.clone()], out)
    }

    pub(super) fn check_type<S: Symbol>(&self) -> Result<()> {
        if self.symbol_bits == S::BITS {
            return Ok(());
        }
        Err(Error::invalid("S", format!("symbols of {} bits as in the frame", self.symbol_bits), S::BITS))
    }
}

/// The symbols of a [`Frame`], from [`Frame::iter`].
#[derive(Debug)]
pub struct Iter<'f, 'a, S> {
    frame: &'f Frame<'a>,
    next_block: usize,
    symbols: std::vec::IntoIter<S>,
}

impl<S: Symbol> Iterator for Iter<'_, '_, S> {
    type Item = Result<S>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(symbol) = self.symbols.next() {
            return Some(Ok(symbol));
        }
        if self.next_block == self.frame.n_blocks() {
            return None;
        }
        let mut block = vec![S::default(); self.frame.block_range(self.next_block).len()];
        let decoded = self.frame.decode_known(self.next_block, &mut block);
        self.next_block += 1;
        if let Err(error) = decoded {
            self.next_block = self.frame.n_blocks();
            return Some(Err(error));
        }
        self.symbols = block.into_iter();
        self.symbols.next().map(Ok)
    }
}
