//! One block: symbols that are coded on their own, with their own table, by the coder that was asked for.
//!
//! | kind | payload |
//! |---|---|
//! | 0 raw | the symbols as they are, low byte first |
//! | 1 constant | the one symbol |
//! | 2 Huffman | code table; from 4,096 symbols on the lengths of streams 1 to 5, 24 bits each; one stream, or six |
//! | 3 rANS | frequency table; a state of 32 bits, or 64 from 8,192 symbols on; words of 16 bits |
//! | 4 wide | code table and a block of [`Encoder`](crate::Encoder), for more than 2,048 different symbols |
//! | 5 adaptive | bits of a symbol, and an adaptive binary code (`adaptive.rs`) |

use crate::adaptive;
use crate::kernel::{Isa, N_STREAMS, scalar};
use crate::multi::{MultiTable, TABLE_BITS, with_table};
use crate::rans::Model;
use crate::symbol::Symbol;
use crate::varint::{put_varint, take_varint};
use crate::{Code, Decoder, Encoder, Error, Histogram, Result};

/// Symbols from which on a Huffman block has six streams: there, their lengths and ends are a per cent of two bits a symbol.
const STREAMS_FROM: usize = 1 << 12;

/// Different symbols that a code of at most 12 bits serves well; more of them are coded with up to 16 bits.
const NARROW_SYMBOLS: usize = 1 << 11;

/// Bytes of a stream's length: a block has at most 2^20 symbols of 12 bits.
const STREAM_LENGTH_BYTES: usize = 3;

/// Two LEB128 integers below 2^28.
const MAX_HEAD_BYTES: usize = 8;

const WHAT: &str = "block";

/// How the symbols of a frame are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coder {
    /// Huffman codes of at most 12 bits: the fastest to decode. Within a bit a symbol of the entropy, as a rule within 2 %.
    #[default]
    Huffman,
    /// rANS with frequencies of 12 bits: within half a per cent of the entropy, below a bit a symbol too, and slower.
    /// Blocks with symbols above 255 are Huffman-coded.
    Rans,
    /// For each block the one that takes the fewest bytes, found by coding it each way; up to 16,384 symbols also an
    /// adaptive binary code, which needs no table.
    Smallest,
}

/// What a block's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Symbols as they are.
    Raw,
    /// One symbol, over and over.
    Constant,
    /// Huffman streams with words of at most 12 bits.
    Huffman,
    /// rANS states and words.
    Rans,
    /// Huffman streams with words of up to 16 bits, for large alphabets.
    Wide,
    /// An adaptive binary code, for small blocks.
    Adaptive,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Raw, Self::Constant, Self::Huffman, Self::Rans, Self::Wide, Self::Adaptive];
}

/// Where a block's payload is, and what it should hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) n_symbols: usize,
    pub(crate) kind: Kind,
    pub(crate) n_bytes: usize,
}

impl Head {
    /// Takes the head of a block of 1 to `max_symbols` symbols off the front of `rest`; `None` is the mark after the last one.
    pub(crate) fn take(rest: &mut &[u8], max_symbols: usize) -> Result<Option<Self>> {
        let n_symbols = take_varint(rest, WHAT)?;
        if n_symbols == 0 {
            return Ok(None);
        }
        let n_symbols = usize::try_from(n_symbols).ok().filter(|&n| n <= max_symbols);
        let n_symbols = n_symbols.ok_or_else(|| Error::corrupt(WHAT, "more symbols than a block has"))?;
        let size_and_kind = take_varint(rest, WHAT)?;
        let kind = *Kind::ALL
            .get((size_and_kind & 7) as usize)
            .ok_or_else(|| Error::corrupt(WHAT, format!("kind {}", size_and_kind & 7)))?;
        let n_bytes = usize::try_from(size_and_kind >> 3).ok().filter(|&n| n <= rest.len());
        let n_bytes = n_bytes.ok_or(Error::UnexpectedEnd { what: WHAT })?;
        Ok(Some(Self { n_symbols, kind, n_bytes }))
    }
}

/// Appends head and payload of `symbols`, one or more.
pub(crate) fn write<S: Symbol>(isa: Isa, coder: Coder, symbols: &[S], out: &mut Vec<u8>) {
    // The payload's length stands before it and is not known yet: room is left for the head of a payload of four bits a
    // symbol, which as a rule has as many bytes, so that the payload need not be moved.
    let start = out.len();
    put_head(out, symbols.len(), symbols.len() / 2, Kind::Huffman);
    let guess = out.len() - start;
    let kind = match S::narrow(symbols) {
        Some(bytes) => encode_bytes(isa, coder, &bytes, out),
        None => encode_wide(symbols, out),
    };
    let n_bytes = out.len() - start - guess;
    let mut head = Vec::with_capacity(MAX_HEAD_BYTES);
    put_head(&mut head, symbols.len(), n_bytes, kind);
    if head.len() == guess {
        out[start..start + guess].copy_from_slice(&head);
    } else {
        out.splice(start..start + guess, head);
    }
}

fn put_head(out: &mut Vec<u8>, n_symbols: usize, n_bytes: usize, kind: Kind) {
    put_varint(out, n_symbols as u64);
    put_varint(out, (n_bytes as u64) << 3 | kind as u64);
}

/// Appends the shortest payload that `coder` admits; Huffman's among equals, but raw before it.
fn encode_bytes(isa: Isa, coder: Coder, symbols: &[u8], payload: &mut Vec<u8>) -> Kind {
    let histogram = Histogram::of(symbols);
    let start = payload.len();
    if histogram.n_distinct() == 1 {
        payload.push(symbols[0]);
        return Kind::Constant;
    }
    let mut kind = Kind::Huffman;
    if coder != Coder::Rans {
        let code = Code::with_max_length(&histogram, TABLE_BITS).expect("256 symbols at most fit 12 bits");
        code.write_table(payload);
        let words = words_of(&code, 256);
        let words = words.first_chunk().expect("256 words");
        put_streams(symbols.len(), payload, |n, payload| isa.encode_huffman(words, symbols, n, payload));
    }
    if coder != Coder::Huffman {
        let middle = payload.len();
        let model = Model::from_histogram(&histogram);
        model.write(payload);
        isa.encode_rans(&model.encode_symbols(), symbols, payload);
        if keep_smaller(payload, start, middle) {
            kind = Kind::Rans;
        }
    }
    if coder == Coder::Smallest && symbols.len() <= adaptive::MAX_SYMBOLS {
        let middle = payload.len();
        adaptive::encode(symbols, payload);
        if keep_smaller(payload, start, middle) {
            kind = Kind::Adaptive;
        }
    }
    if payload.len() - start >= symbols.len() {
        payload.truncate(start);
        payload.extend_from_slice(symbols);
        kind = Kind::Raw;
    }
    kind
}

/// Keeps `start..middle`, if that is something, or `middle..` where it is smaller; whether it is the latter.
fn keep_smaller(payload: &mut Vec<u8>, start: usize, middle: usize) -> bool {
    let is_smaller = middle == start || payload.len() - middle < middle - start;
    if is_smaller {
        payload.drain(start..middle);
    } else {
        payload.truncate(middle);
    }
    is_smaller
}

/// Appends a payload of symbols of which some are above 255.
fn encode_wide<S: Symbol>(symbols: &[S], payload: &mut Vec<u8>) -> Kind {
    let histogram = Histogram::of(symbols);
    let start = payload.len();
    let le_bytes = |symbols: &[S]| -> Vec<u8> {
        symbols.iter().flat_map(|&symbol| symbol.into().to_le_bytes()).collect()
    };
    if histogram.n_distinct() == 1 {
        payload.extend(le_bytes(&symbols[..1]));
        return Kind::Constant;
    }
    let kind = if histogram.n_distinct() > NARROW_SYMBOLS {
        let code = Code::from_histogram(&histogram);
        code.write_table(payload);
        payload.extend(Encoder::new(&code).encode(symbols).expect("the code is made from these symbols"));
        Kind::Wide
    } else {
        let code = Code::with_max_length(&histogram, TABLE_BITS).expect("2048 symbols at most fit 12 bits");
        code.write_table(payload);
        let words = words_of(&code, histogram.counts().len());
        put_streams(symbols.len(), payload, |n, payload| scalar::encode_huffman(&words, symbols, n, payload));
        Kind::Huffman
    };
    if payload.len() - start < 2 * symbols.len() {
        return kind;
    }
    payload.truncate(start);
    payload.extend(le_bytes(symbols));
    Kind::Raw
}

/// By symbol, for `n` symbols or more: its codeword in the high bits and its length in the lowest byte.
fn words_of(code: &Code, n: usize) -> Vec<u64> {
    let mut words = vec![0; n];
    for word in code.codewords() {
        words[usize::from(word.symbol)] =
            u64::from(word.bits) << (u64::BITS - word.length) | u64::from(word.length);
    }
    words
}

/// Appends the lengths of all streams but the last, and the streams, which `encode` appends: where each ends.
fn put_streams(
    n_symbols: usize,
    payload: &mut Vec<u8>,
    encode: impl FnOnce(usize, &mut Vec<u8>) -> Vec<usize>,
) {
    let n_streams = n_streams(n_symbols);
    let start = payload.len();
    payload.resize(start + STREAM_LENGTH_BYTES * (n_streams - 1), 0);
    let mut previous = payload.len();
    let ends = encode(n_streams, payload);
    let lengths = payload[start..].chunks_exact_mut(STREAM_LENGTH_BYTES);
    for (length, &end) in lengths.zip(&ends[..n_streams - 1]) {
        length.copy_from_slice(&(end - previous).to_le_bytes()[..STREAM_LENGTH_BYTES]);
        previous = end;
    }
}

fn n_streams(n_symbols: usize) -> usize {
    if n_symbols < STREAMS_FROM { 1 } else { N_STREAMS }
}

/// Decodes a payload of exactly the symbols of `out`.
pub(crate) fn decode<S: Symbol>(isa: Isa, kind: Kind, payload: &[u8], out: &mut [S]) -> Result<()> {
    match kind {
        Kind::Raw => decode_raw(payload, out),
        Kind::Constant => {
            let mut first = [S::default()];
            decode_raw(payload, &mut first)?;
            out.fill(first[0]);
            Ok(())
        }
        Kind::Wide => {
            let (code, n_bytes) = Code::read_table(payload)?;
            if code.width() > S::BITS || code.n_symbols() < 2 {
                return Err(Error::corrupt("code table", "not of two symbols or more of the frame's type"));
            }
            Decoder::for_len(&code, out.len()).decode_into(&payload[n_bytes..], out)
        }
        Kind::Rans => {
            let (model, n_bytes) = Model::read(payload)?;
            let (slots, words) = (model.decode_slots(), &payload[n_bytes..]);
            held(S::widen(out, |out| isa.decode_rans(&slots, words, out)), out.len(), words)
        }
        Kind::Adaptive => S::widen(out, |out| adaptive::decode(payload, out)),
        Kind::Huffman => {
            let (code, n_bytes) = Code::read_table(payload)?;
            let streams = &payload[n_bytes..];
            with_table(|table| {
                if code.width() <= u8::BITS {
                    S::widen(out, |out| decode_huffman(isa, table, &code, streams, out))
                } else {
                    decode_huffman(isa, table, &code, streams, out)
                }
            })
        }
    }
}

fn held(holds: bool, n: usize, payload: &[u8]) -> Result<()> {
    let mismatch = Error::CountMismatch { symbols: n as u64, bits: 8 * payload.len() as u64 };
    if holds { Ok(()) } else { Err(mismatch) }
}

/// Raw symbols are of one byte where the payload has one for each.
fn decode_raw<S: Symbol>(payload: &[u8], out: &mut [S]) -> Result<()> {
    if payload.len() == out.len() {
        S::widen(out, |out| out.copy_from_slice(payload));
        return Ok(());
    }
    let pairs = payload.as_chunks::<2>().0;
    held(S::BITS == 16 && payload.len() == 2 * out.len(), out.len(), payload)?;
    for (slot, &pair) in out.iter_mut().zip(pairs) {
        *slot = S::truncate_from(u16::from_le_bytes(pair));
    }
    Ok(())
}

fn decode_huffman<S: Symbol>(
    isa: Isa,
    table: &mut MultiTable,
    code: &Code,
    rest: &[u8],
    out: &mut [S],
) -> Result<()> {
    // A symbol costs a bit at least.
    held(out.len() as u64 <= 8 * rest.len() as u64, out.len(), rest)?;
    isa.build_table::<S>(table, code)?;
    let payload = rest;
    let n_streams = n_streams(out.len());
    let n_lengths = STREAM_LENGTH_BYTES * (n_streams - 1);
    let (lengths, mut rest) = rest.split_at_checked(n_lengths).ok_or(Error::UnexpectedEnd { what: WHAT })?;
    let mut streams = [&[][..]; N_STREAMS];
    for (stream, &[low, mid, high]) in streams.iter_mut().zip(lengths.as_chunks().0) {
        let length = u32::from_le_bytes([low, mid, high, 0]) as usize;
        (*stream, rest) = rest.split_at_checked(length).ok_or(Error::UnexpectedEnd { what: WHAT })?;
    }
    streams[n_streams - 1] = rest;
    held(isa.decode_huffman(table, &streams[..n_streams], out), out.len(), payload)
}
