//! One block: symbols that are coded on their own, with their own table, by the coder that was asked for.
//!
//! | kind | payload |
//! |---|---|
//! | 0 raw | the symbols as they are, low byte first |
//! | 1 constant | the one symbol |
//! | 2 Huffman | code table; from [`STREAMS_FROM`] symbols on the LEB128 lengths of streams 1 to 5; one stream, or six |
//! | 3 rANS | frequency table; 32 states of 32 bits; words of 16 bits |
//! | 4 wide | code table and a block of [`Encoder`](crate::Encoder), for more than 2,048 different symbols |

use std::cell::RefCell;

use crate::kernel::{Isa, N_STREAMS, scalar};
use crate::multi::{MultiTable, TABLE_BITS};
use crate::rans::Model;
use crate::symbol::Symbol;
use crate::varint::{put_varint, take_varint};
use crate::{Code, Decoder, Encoder, Error, Histogram, Result};

/// Symbols from which on a Huffman block has six streams: there, their lengths and ends are below a half per cent.
const STREAMS_FROM: usize = 1 << 12;

/// Different symbols that a code of at most 12 bits serves well; more of them are coded with up to 16 bits.
const NARROW_SYMBOLS: usize = 1 << 11;

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
    /// For each block the one that takes fewer bytes, found by coding it both ways.
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
    /// One-symbol-a-lookup Huffman, for large alphabets.
    Wide,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Raw, Self::Constant, Self::Huffman, Self::Rans, Self::Wide];
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
    let (kind, payload) = match S::narrow(symbols) {
        Some(bytes) => encode::<u8>(isa, coder, &bytes),
        None => encode(isa, coder, symbols),
    };
    put_varint(out, symbols.len() as u64);
    put_varint(out, (payload.len() as u64) << 3 | kind as u64);
    out.extend_from_slice(&payload);
}

/// The shortest payload that `coder` admits; the first among equals in the order of its trials.
fn encode<S: Symbol>(isa: Isa, coder: Coder, symbols: &[S]) -> (Kind, Vec<u8>) {
    let histogram = Histogram::of(symbols);
    if histogram.n_distinct() == 1 {
        return (Kind::Constant, le_bytes(&symbols[..1]));
    }
    if histogram.n_distinct() > NARROW_SYMBOLS {
        return or_raw(Kind::Wide, encode_wide(&histogram, symbols), symbols);
    }
    let narrow = S::narrow(symbols).filter(|_| S::BITS == 8);
    match (coder, narrow) {
        (Coder::Rans, Some(bytes)) => or_raw(Kind::Rans, encode_rans(isa, &histogram, &bytes), symbols),
        (Coder::Smallest, Some(bytes)) => {
            let huffman = encode_huffman(isa, &histogram, symbols);
            let rans = encode_rans(isa, &histogram, &bytes);
            let is_smaller = rans.len() < huffman.len();
            let (kind, best) = if is_smaller { (Kind::Rans, rans) } else { (Kind::Huffman, huffman) };
            or_raw(kind, best, symbols)
        }
        _ => or_raw(Kind::Huffman, encode_huffman(isa, &histogram, symbols), symbols),
    }
}

fn or_raw<S: Symbol>(kind: Kind, payload: Vec<u8>, symbols: &[S]) -> (Kind, Vec<u8>) {
    if payload.len() < size_of_val(symbols) { (kind, payload) } else { (Kind::Raw, le_bytes(symbols)) }
}

/// Bytes for a raw block, in the narrowest type that holds its symbols.
fn le_bytes<S: Symbol>(symbols: &[S]) -> Vec<u8> {
    let wide = symbols.iter().map(|&symbol| symbol.into().to_le_bytes());
    wide.flat_map(|bytes| bytes.into_iter().take(size_of::<S>())).collect()
}

fn encode_wide<S: Symbol>(histogram: &Histogram, symbols: &[S]) -> Vec<u8> {
    let code = Code::from_histogram(histogram);
    let mut payload = Vec::new();
    code.write_table(&mut payload);
    payload.extend(Encoder::new(&code).encode(symbols).expect("the code is made from these symbols"));
    payload
}

fn encode_rans(isa: Isa, histogram: &Histogram, symbols: &[u8]) -> Vec<u8> {
    let model = Model::from_histogram(histogram);
    let mut payload = Vec::with_capacity(symbols.len());
    model.write(&mut payload);
    isa.encode_rans(&model.encode_symbols(), symbols, &mut payload);
    payload
}

fn encode_huffman<S: Symbol>(isa: Isa, histogram: &Histogram, symbols: &[S]) -> Vec<u8> {
    let code = Code::with_max_length(histogram, TABLE_BITS).expect("2048 symbols at most fit 12 bits");
    let mut words = vec![0; histogram.counts().len().max(256)];
    for word in code.codewords() {
        words[usize::from(word.symbol)] =
            u64::from(word.bits) << (u64::BITS - word.length) | u64::from(word.length);
    }
    let mut payload = Vec::new();
    code.write_table(&mut payload);
    let n_streams = n_streams(symbols.len());
    let mut streams = Vec::new();
    let ends = match (S::narrow(symbols).filter(|_| S::BITS == 8), words.first_chunk::<256>()) {
        (Some(bytes), Some(words)) => isa.encode_huffman(words, &bytes, n_streams, &mut streams),
        _ => scalar::encode_huffman(&words, symbols, n_streams, &mut streams),
    };
    let mut start = 0;
    for &end in &ends[..n_streams - 1] {
        put_varint(&mut payload, (end - start) as u64);
        start = end;
    }
    payload.extend_from_slice(&streams);
    payload
}

fn n_streams(n_symbols: usize) -> usize {
    if n_symbols < STREAMS_FROM { 1 } else { N_STREAMS }
}

thread_local! {
    /// The decode table is 96 KiB and filled again for each block.
    static TABLE: RefCell<MultiTable> = RefCell::new(MultiTable::new());
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
            Decoder::new(&code).decode_into(&payload[n_bytes..], out)
        }
        Kind::Rans => {
            let (model, n_bytes) = Model::read(payload)?;
            let (slots, words) = (model.decode_slots(), &payload[n_bytes..]);
            held(S::widen(out, |out| isa.decode_rans(&slots, words, out)), out.len(), words)
        }
        Kind::Huffman => {
            let (code, n_bytes) = Code::read_table(payload)?;
            let streams = &payload[n_bytes..];
            TABLE.with_borrow_mut(|table| {
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
    mut rest: &[u8],
    out: &mut [S],
) -> Result<()> {
    // A symbol costs a bit at least.
    held(out.len() as u64 <= 8 * rest.len() as u64, out.len(), rest)?;
    table.build::<S>(code)?;
    let payload = rest;
    let mut lengths = [0; N_STREAMS];
    let n_streams = n_streams(out.len());
    for length in &mut lengths[..n_streams - 1] {
        *length = take_varint(&mut rest, WHAT)?;
    }
    let mut streams = [&[][..]; N_STREAMS];
    for (stream, length) in streams[..n_streams - 1].iter_mut().zip(lengths) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        (*stream, rest) = rest.split_at_checked(length).ok_or(Error::UnexpectedEnd { what: WHAT })?;
    }
    streams[n_streams - 1] = rest;
    held(isa.decode_huffman(table, &streams[..n_streams], out), out.len(), payload)
}
