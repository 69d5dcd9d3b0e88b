//! Self-describing bytes in blocks that decode independently.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | magic `nH` |
//! | 1 | format version, [`VERSION`] |
//! | 1 | log2 of the block length; 128 more for `u16` symbols |
//! | | blocks: LEB128 symbols, LEB128 of 8 · payload bytes + kind, payload; all but the last have the block length |
//! | 1 | 0 |
//!
//! Nothing before a block depends on what comes after it, so a frame is written as its symbols arrive; lengths stand before
//! the blocks, so a reader finds each of them without decoding another.

use crate::block::{self, Coder, Head, Kind};
use crate::kernel::Isa;
use crate::symbol::Symbol;
use crate::threads::append_by_size;
use crate::varint::put_varint;
use crate::{Error, Result};

mod read;
mod v1;
mod write;

pub use read::{Frame, Iter};
pub use write::FrameWriter;

/// The format version that this crate writes. It reads version 1 too.
pub const VERSION: u8 = 2;

const MAGIC: [u8; 2] = *b"nH";
const WHAT: &str = "frame header";

/// In the header's last byte: symbols are `u16`.
const WIDE_FLAG: u8 = 0x80;

/// Powers of two that a block length may be.
const BLOCK_BITS: std::ops::RangeInclusive<u32> = 8..=20;

/// How [`compress_with`] and [`FrameWriter`] code.
///
/// ```
/// use nnc_huffman::{Coder, Config};
///
/// let config = Config::new(Coder::Rans).with_block_bits(16)?;
/// assert_eq!((config.coder(), config.block_len()), (Coder::Rans, 65_536));
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    coder: Coder,
    block_bits: u32,
    isa: Isa,
}

impl Config {
    /// Blocks of 131,072 symbols for Huffman; of 524,288 where rANS, whose 64 states cost 256 bytes, may be chosen.
    pub fn new(coder: Coder) -> Self {
        let block_bits = if coder == Coder::Huffman { 17 } else { 19 };
        Self { coder, block_bits, isa: Isa::best() }
    }

    /// Blocks of `2^block_bits` symbols instead.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `block_bits` is not in 8..=20.
    pub fn with_block_bits(self, block_bits: u32) -> Result<Self> {
        if !BLOCK_BITS.contains(&block_bits) {
            return Err(Error::invalid("block_bits", format!("{BLOCK_BITS:?}"), block_bits));
        }
        Ok(Self { block_bits, ..self })
    }

    /// Another instruction set; it makes no difference to the bytes.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// The coder.
    pub fn coder(&self) -> Coder {
        self.coder
    }

    /// Symbols in a block.
    pub fn block_len(&self) -> usize {
        1 << self.block_bits
    }

    fn put_header<S: Symbol>(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        let wide = if S::BITS == 16 { WIDE_FLAG } else { 0 };
        out.extend([VERSION, u8::try_from(self.block_bits).expect("at most 20") | wide]);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Coder::default())
    }
}

/// Codes `symbols` into self-describing bytes, with Huffman codes; the same bytes on each machine, at any number of threads.
///
/// ```
/// let frame = nnc_huffman::compress(b"abracadabra");
/// assert_eq!(frame.len(), 15);
/// assert_eq!(nnc_huffman::decompress::<u8>(&frame, 100)?, b"abracadabra");
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
pub fn compress<S: Symbol>(symbols: &[S]) -> Vec<u8> {
    compress_with(symbols, &Config::default())
}

/// Codes `symbols` as `config` says, blocks in parallel (feature `parallel`).
///
/// ```
/// use nnc_huffman::{Coder, Config, compress_with, decompress};
///
/// // The slide's example: 126 bits by Huffman's code, 65 of entropy; what remains is tables and states.
/// let symbols: Vec<u8> = [vec![0; 100_000], vec![1; 10_000], vec![2; 1000], vec![3; 1000]].concat();
/// let huffman = compress_with(&symbols, &Config::new(Coder::Huffman));
/// let rans = compress_with(&symbols, &Config::new(Coder::Rans));
/// assert_eq!((huffman.len(), rans.len()), (15_782, 8_340));
/// assert_eq!(decompress::<u8>(&rans, symbols.len())?, symbols);
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
pub fn compress_with<S: Symbol>(symbols: &[S], config: &Config) -> Vec<u8> {
    let mut frame = Vec::new();
    compress_into(symbols, config, &mut frame);
    frame
}

/// Appends to `out` what [`compress_with`] returns.
pub fn compress_into<S: Symbol>(symbols: &[S], config: &Config, out: &mut Vec<u8>) {
    config.put_header::<S>(out);
    let blocks: Vec<&[S]> = symbols.chunks(config.block_len()).collect();
    append_by_size(&blocks, symbols.len(), out, |block, out| {
        block::write(config.isa, config.coder, block, out)
    });
    put_varint(out, 0);
}

/// Decodes a frame of at most `max_symbols` symbols.
///
/// The bound is the caller's because a constant stream of any length is a few bytes. Beside the output, at most 192 KiB
/// and 128 bytes for each byte of `frame` are allocated.
///
/// # Errors
/// [`Error::WrongMagic`] and [`Error::UnsupportedVersion`] for other formats, [`Error::TooManySymbols`] beyond the bound,
/// [`Error::InvalidArgument`] where the frame was written from the other symbol type, and for corrupt bytes the errors of
/// [`Frame::read`] and [`Frame::decode_into`].
pub fn decompress<S: Symbol>(frame: &[u8], max_symbols: usize) -> Result<Vec<S>> {
    if let [b'n', b'H', 1, rest @ ..] = frame {
        return v1::decompress(rest, max_symbols);
    }
    let frame = Frame::read(frame)?;
    let (claimed, max) = (frame.len() as u64, max_symbols as u64);
    if claimed > max {
        return Err(Error::TooManySymbols { claimed, max });
    }
    frame.check_type::<S>()?;
    let mut out = vec![S::default(); frame.len()];
    frame.decode_into(&mut out)?;
    Ok(out)
}

/// Symbol types and versions: what the first four bytes say.
fn take_header(frame: &[u8]) -> Result<(u32, u32, &[u8])> {
    let end = Error::UnexpectedEnd { what: WHAT };
    let (&magic, rest) = frame.split_first_chunk::<2>().ok_or(end.clone())?;
    if magic != MAGIC {
        return Err(Error::WrongMagic);
    }
    let (&version, rest) = rest.split_first().ok_or(end.clone())?;
    if version != VERSION {
        return Err(Error::UnsupportedVersion { got: version });
    }
    let (&packed, rest) = rest.split_first().ok_or(end)?;
    let block_bits = u32::from(packed & !WIDE_FLAG);
    if !BLOCK_BITS.contains(&block_bits) {
        return Err(Error::corrupt(WHAT, format!("blocks of 2^{block_bits} symbols")));
    }
    Ok((if packed & WIDE_FLAG == 0 { 8 } else { 16 }, block_bits, rest))
}
