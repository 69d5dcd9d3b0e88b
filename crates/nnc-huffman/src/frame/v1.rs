//! Version 1, which is only read: `CodedSymbols` after a header that counts them.

use super::WHAT;
use crate::coded::CodedSymbols;
use crate::symbol::Symbol;
use crate::varint::take_varint;
use crate::{Error, Result};

/// Decodes what follows the version: bits of the symbol type, LEB128 count, LEB128 block length (0 for one block), coded
/// symbols.
///
/// Nothing is allocated for symbols that the bits cannot hold.
pub(super) fn decompress<S: Symbol>(rest: &[u8], max_symbols: usize) -> Result<Vec<S>> {
    let (&symbol_bits, mut rest) = rest.split_first().ok_or(Error::UnexpectedEnd { what: WHAT })?;
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
