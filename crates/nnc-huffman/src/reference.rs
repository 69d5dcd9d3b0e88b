//! The oracle: decoding one bit at a time, straight from the definition.
//!
//! Nothing here is meant to be fast, and nothing is shared with the table decoder but the description of the format.

use std::collections::HashMap;

use crate::{Code, Error, FOUR_STREAMS_FROM, Result};

/// Decodes a block of `n` symbols bit by bit.
///
/// Allocates no more than a few bytes for each bit of the block, and 2 bytes a symbol for a one-symbol code.
///
/// # Errors
/// [`Error::CountMismatch`] where `bytes` hold more or fewer symbols, [`Error::UnexpectedEnd`] or [`Error::Corrupt`] where
/// the streams of a long block do not fit it.
pub fn decode(code: &Code, bytes: &[u8], n: usize) -> Result<Vec<u16>> {
    let mismatch = Error::CountMismatch { symbols: n as u64, bits: 8 * bytes.len() as u64 };
    if let Some(symbol) = code.only_symbol() {
        return if bytes.is_empty() { Ok(vec![symbol; n]) } else { Err(mismatch) };
    }
    if n == 0 {
        return if bytes.is_empty() { Ok(Vec::new()) } else { Err(mismatch) };
    }
    if n > 8 * bytes.len() {
        return Err(mismatch);
    }
    let words = code.codewords().map(|word| ((word.length, word.bits), word.symbol)).collect();
    if n < FOUR_STREAMS_FROM {
        return decode_stream(&words, bytes, n);
    }
    let (mut rest, mut lengths) = (bytes, Vec::new());
    for _ in 0..3 {
        lengths.push(crate::varint::take_varint(&mut rest, "stream lengths")?);
    }
    let mut symbols = Vec::new();
    let quarter = n.div_ceil(4);
    for length in lengths {
        let length = usize::try_from(length).ok().filter(|&length| length <= rest.len());
        let (stream, after) = rest.split_at(length.ok_or(Error::UnexpectedEnd { what: "block" })?);
        symbols.extend(decode_stream(&words, stream, quarter)?);
        rest = after;
    }
    symbols.extend(decode_stream(&words, rest, n - 3 * quarter)?);
    Ok(symbols)
}

fn decode_stream(words: &HashMap<(u32, u16), u16>, stream: &[u8], n: usize) -> Result<Vec<u16>> {
    let mismatch = Error::CountMismatch { symbols: n as u64, bits: 8 * stream.len() as u64 };
    let mut bits = stream.iter().flat_map(|byte| (0..8).map(move |i| byte >> i & 1));
    let mut symbols = Vec::new();
    while symbols.len() < n {
        let (mut length, mut word) = (0, 0);
        let symbol = loop {
            let Some(bit) = bits.next() else { return Err(mismatch) };
            length += 1;
            word = word << 1 | u16::from(bit);
            if let Some(&symbol) = words.get(&(length, word)) {
                break symbol;
            }
            if length == crate::MAX_LENGTH {
                return Err(mismatch);
            }
        };
        symbols.push(symbol);
    }
    let rest: Vec<u8> = bits.collect();
    if rest.len() < 8 && rest.iter().all(|&bit| bit == 0) { Ok(symbols) } else { Err(mismatch) }
}
