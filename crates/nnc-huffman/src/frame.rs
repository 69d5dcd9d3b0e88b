//! Self-describing bytes: what [`compress`] writes and [`decompress`] reads.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | magic `nH` |
//! | 1 | format version, [`VERSION`] |
//! | 1 | bits of the symbol type: 8 or 16 |
//! | LEB128 | n, the number of symbols |
//! | LEB128 | block length in symbols, 0 for one block |
//! | rest | [`CodedSymbols`]: code table, block index, payload |
//!
//! The version also fixes how many streams a block has (see [`FOUR_STREAMS_FROM`](crate::FOUR_STREAMS_FROM)).

use crate::coded::CodedSymbols;
use crate::symbol::Symbol;
use crate::varint::{put_varint, take_varint};
use crate::{Error, Result};

/// The format version that this crate writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// Symbols in a frame's block, where it has more than one: large enough that the index is below a ten-thousandth, small
/// enough that two threads share a megabyte evenly.
const BLOCK_LEN: usize = 1 << 17;

const MAGIC: [u8; 2] = *b"nH";
const WHAT: &str = "frame header";

/// Codes `symbols` into self-describing bytes; the same bytes at any number of threads.
///
/// ```
/// let frame = nnc_huffman::compress(b"abracadabra");
/// assert_eq!(frame.len(), 14);
/// assert_eq!(nnc_huffman::decompress::<u8>(&frame, 100)?, b"abracadabra");
/// # Ok::<(), nnc_huffman::Error>(())
/// ```
pub fn compress<S: Symbol>(symbols: &[S]) -> Vec<u8> {
    let block_len = if symbols.len() > BLOCK_LEN { BLOCK_LEN } else { 0 };
    let coded = CodedSymbols::encode(symbols, block_len);
    let mut frame = MAGIC.to_vec();
    frame.push(VERSION);
    frame.push(S::BITS.to_le_bytes()[0]);
    put_varint(&mut frame, symbols.len() as u64);
    put_varint(&mut frame, block_len as u64);
    coded.write(&mut frame);
    frame
}

/// Decodes a frame of at most `max_symbols` symbols.
///
/// The bound is the caller's because a constant stream of any length is a few bytes. Other frames are also held to the bits
/// that they have: nothing is allocated for symbols that cannot be there.
///
/// # Errors
/// [`Error::WrongMagic`] and [`Error::UnsupportedVersion`] for other formats, [`Error::TooManySymbols`] beyond the bound,
/// [`Error::InvalidArgument`] where the frame was written from the other symbol type, and for corrupt bytes the errors of
/// [`CodedSymbols::read`] and [`CodedSymbols::decode_range`].
pub fn decompress<S: Symbol>(frame: &[u8], max_symbols: usize) -> Result<Vec<S>> {
    let end = Error::UnexpectedEnd { what: WHAT };
    let (&magic, rest) = frame.split_first_chunk::<2>().ok_or(end.clone())?;
    if magic != MAGIC {
        return Err(Error::WrongMagic);
    }
    let (&[version, symbol_bits], mut rest) = rest.split_first_chunk::<2>().ok_or(end)?;
    if version != VERSION {
        return Err(Error::UnsupportedVersion { got: version });
    }
    if u32::from(symbol_bits) != S::BITS {
        return Err(match symbol_bits {
            8 | 16 => Error::invalid("S", format!("symbols of {symbol_bits} bits as in the frame"), S::BITS),
            _ => Error::corrupt(WHAT, format!("symbols of {symbol_bits} bits")),
        });
    }
    let claimed = take_varint(&mut rest, WHAT)?;
    let block_len = take_varint(&mut rest, WHAT)?;
    let len = usize::try_from(claimed).ok().filter(|&len| len <= max_symbols);
    let len = len.ok_or(Error::TooManySymbols { claimed, max: max_symbols as u64 })?;
    // A block longer than memory is one that holds all symbols.
    let coded = CodedSymbols::read(rest, len, usize::try_from(block_len).unwrap_or(0))?;
    if coded.code().width() > S::BITS {
        return Err(Error::corrupt("code table", format!("symbols above {} bits", S::BITS)));
    }
    coded.to_vec()
}
