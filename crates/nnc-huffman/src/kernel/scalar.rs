//! Plain Rust: what the other kernels are held to, and what finishes the last few symbols of their streams.

#![allow(clippy::cast_possible_truncation, reason = "the low bits of a word are what is wanted")]

use super::{N_STATES, n_states};
use crate::multi::{MultiTable, N_ENTRIES, SYMBOL_BYTES, TABLE_BITS};
use crate::rans::{DecodeSlot, EncodeSymbol, FREQ_BITS, LEAST_STATE};
use crate::symbol::Symbol;

/// Lookups that the 57 bits of an 8-byte load at any bit are enough for.
pub(super) const PER_REFILL: usize = 4;

/// A place in a Huffman stream: the bits below `n_left` are still to be read, the highest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) n_left: usize,
}

impl Place {
    /// Right below the end mark, or nothing where there is none.
    pub(super) fn start(stream: &[u8]) -> Option<Self> {
        let last = *stream.last()?;
        let n_padding = 1 + last.leading_zeros() as usize;
        (last != 0).then(|| Self { n_left: 8 * stream.len() - n_padding })
    }

    /// The next 57 bits or more, the first one highest; zeros after the last one.
    fn window(self, stream: &[u8]) -> u64 {
        if self.n_left > 56 {
            return self.full_window(stream);
        }
        // Fewer than 8 bytes, so that nothing is shifted out below.
        let end = self.n_left.div_ceil(8);
        let bytes = stream[..end].iter().rfold(0, |bits, &byte| bits << 8 | u64::from(byte));
        bytes << ((64 - 8 * end) % 64) << (8 * end - self.n_left)
    }

    /// As [`window`](Self::window), where 57 bits or more are left.
    #[inline(always)]
    fn full_window(self, stream: &[u8]) -> u64 {
        let end = self.n_left.div_ceil(8);
        let bytes = stream[..end].last_chunk().expect("57 bits or more are in 8 bytes");
        u64::from_le_bytes(*bytes) << (self.n_left.wrapping_neg() % 8)
    }
}

/// Streams that are decoded side by side: with more, what changes would leave the registers.
const GROUP: usize = 3;

/// Symbols that a lookup writes, whatever it counts, and those that a step needs room for.
const STORE: usize = 8;
const STEP: usize = 40;

const _: () = assert!((PER_REFILL - 1) * SYMBOL_BYTES < STEP - STORE && (STEP - STORE).is_power_of_two());

/// Where one stream is, and how much of its run is written.
struct Lane<'a, 'o, S> {
    stream: &'a [u8],
    place: Place,
    out: &'o mut [S],
    n_done: usize,
}

pub(super) fn decode_huffman<S: Symbol>(table: &MultiTable, streams: &[&[u8]], out: &mut [S]) -> bool {
    let run = run_len(out.len(), streams.len());
    let mut runs = out.chunks_mut(run);
    let lanes = streams.iter().map(|stream| {
        let out = runs.next().unwrap_or_default();
        Some(Lane { stream, place: Place::start(stream)?, out, n_done: 0 })
    });
    let Some(mut lanes) = lanes.collect::<Option<Vec<_>>>() else { return false };
    for group in lanes.as_chunks_mut::<GROUP>().0 {
        while step(table.entries::<S>(), group) {}
    }
    lanes.into_iter().all(|lane| finish(table, lane.stream, lane.place, &mut lane.out[lane.n_done..]))
}

/// Four lookups of each lane; `false` where one is too near its end.
#[inline(always)]
fn step<S: Symbol, const N: usize>(entries: &[u64; N_ENTRIES], lanes: &mut [Lane<'_, '_, S>; N]) -> bool {
    if !lanes.iter().all(|lane| lane.place.n_left >= 64 && lane.out.len() - lane.n_done >= STEP) {
        return false;
    }
    let mut windows: [u64; N] = std::array::from_fn(|i| lanes[i].place.full_window(lanes[i].stream));
    let (mut n_bits, mut n_symbols) = ([0usize; N], [0usize; N]);
    let parts = lanes
        .each_mut()
        .map(|lane| lane.out[lane.n_done..].first_chunk_mut::<STEP>().expect("the room was seen above"));
    for _ in 0..PER_REFILL {
        for i in 0..N {
            let entry = entries[top(windows[i])];
            // At most three times six symbols come before the last store, so that the remainder changes nothing.
            let at = n_symbols[i] % (STEP - STORE);
            S::unpack(
                entry >> 16,
                parts[i][at..].first_chunk_mut().expect("a store's room after any remainder"),
            );
            windows[i] <<= entry & 63;
            n_bits[i] += usize::from(entry as u8);
            n_symbols[i] += usize::from((entry >> 8) as u8);
        }
    }
    for ((lane, n_bits), n_symbols) in lanes.iter_mut().zip(n_bits).zip(n_symbols) {
        lane.place.n_left -= n_bits;
        lane.n_done += n_symbols;
    }
    true
}

/// Symbols of each stream but the last.
pub(super) fn run_len(n: usize, n_streams: usize) -> usize {
    n.div_ceil(n_streams).max(1)
}

/// Decodes what is left of a stream, which must be exactly the symbols of `out`.
pub(super) fn finish<S: Symbol>(table: &MultiTable, stream: &[u8], place: Place, out: &mut [S]) -> bool {
    let mut lane = [Lane { stream, place, out, n_done: 0 }];
    while step(table.entries::<S>(), &mut lane) {}
    let [lane] = lane;
    finish_slowly(table, stream, lane.place, &mut lane.out[lane.n_done..])
}

/// As [`finish`], word by word where an entry has more than there is.
fn finish_slowly<S: Symbol>(table: &MultiTable, stream: &[u8], mut place: Place, out: &mut [S]) -> bool {
    let entries = table.entries::<S>();
    let mut n_done = 0;
    while n_done < out.len() {
        let index = top(place.window(stream));
        let entry = entries[index];
        let mut n_symbols = usize::from((entry >> 8) as u8);
        let mut n_bits = usize::from(entry as u8);
        if n_bits > place.n_left || n_symbols > out.len() - n_done {
            n_symbols = 1;
            #[allow(clippy::cast_possible_truncation, reason = "12 bits")]
            let first = table.first_length(index as u32);
            n_bits = first as usize;
        }
        if n_bits > place.n_left {
            return false;
        }
        let mut symbols = [S::default(); STORE];
        S::unpack(entry >> 16, &mut symbols);
        out[n_done..n_done + n_symbols].copy_from_slice(&symbols[..n_symbols]);
        n_done += n_symbols;
        place.n_left -= n_bits;
    }
    place.n_left == 0
}

#[allow(clippy::cast_possible_truncation, reason = "12 bits are left")]
fn top(window: u64) -> usize {
    (window >> (u64::BITS - TABLE_BITS)) as usize & (N_ENTRIES - 1)
}

pub(crate) fn encode_huffman<S: Symbol>(
    words: &[u64],
    symbols: &[S],
    n_streams: usize,
    out: &mut Vec<u8>,
) -> Vec<usize> {
    let mut runs = symbols.chunks(run_len(symbols.len(), n_streams));
    (0..n_streams)
        .map(|_| {
            encode_stream(words, runs.next().unwrap_or_default(), out);
            out.len()
        })
        .collect()
}

/// Appends the words of `symbols`, the last one first, and the end mark.
pub(super) fn encode_stream<S: Symbol>(words: &[u64], symbols: &[S], out: &mut Vec<u8>) {
    // The newest bits are the highest of `pending`; its low `64 - n_pending` bits mean nothing.
    let (mut pending, mut n_pending) = (0u64, 0u32);
    let mut push = |word: u64, length: u32| {
        pending = pending >> length | word & !0xff;
        n_pending += length;
        if n_pending >= 32 {
            let bits = pending >> (u64::BITS - n_pending);
            out.extend_from_slice(&bits.to_le_bytes()[..4]);
            n_pending -= 32;
        }
    };
    for &symbol in symbols.iter().rev() {
        let word = words[usize::from(symbol.into())];
        push(word, u32::from(word as u8));
    }
    push(1 << 63, 1);
    if n_pending > 0 {
        let bits = pending >> (u64::BITS - n_pending);
        out.extend_from_slice(&bits.to_le_bytes()[..n_pending.div_ceil(8) as usize]);
    }
}

pub(super) fn decode_rans(slots: &[DecodeSlot; 1 << FREQ_BITS], payload: &[u8], out: &mut [u8]) -> bool {
    let n_states = n_states(out.len());
    let Some((mut states, words)) = split_states(payload, n_states) else { return false };
    decode_rans_rest(slots, &mut states[..n_states], words, out)
}

/// The states, which stand first, and the bytes of the words.
pub(super) fn split_states(payload: &[u8], n_states: usize) -> Option<([u32; N_STATES], &[u8])> {
    let (head, words) = payload.split_at_checked(4 * n_states)?;
    let mut states = [LEAST_STATE; N_STATES];
    states.iter_mut().zip(head.as_chunks().0).for_each(|(state, bytes)| *state = u32::from_le_bytes(*bytes));
    Some((states, words))
}

/// Decodes `out`, whose first symbol belongs to state 0; says whether the words end there and the states are what they
/// began as.
pub(super) fn decode_rans_rest(
    slots: &[DecodeSlot; 1 << FREQ_BITS],
    states: &mut [u32],
    words: &[u8],
    out: &mut [u8],
) -> bool {
    let (words, odd) = words.as_chunks::<2>();
    let mut words = words.iter();
    for group in out.chunks_mut(states.len()) {
        for (slot, state) in group.iter_mut().zip(states.iter_mut()) {
            let entry = slots[(*state & ((1 << FREQ_BITS) - 1)) as usize];
            *slot = entry as u8;
            // The product is below 2^32 for any state: a frequency has 12 bits, and what it multiplies 20.
            *state = (entry >> 8 & 0xfff) * (*state >> FREQ_BITS) + (entry >> 20);
            if *state < LEAST_STATE {
                let Some(word) = words.next() else { return false };
                *state = *state << 16 | u32::from(u16::from_le_bytes(*word));
            }
        }
    }
    odd.is_empty() && words.next().is_none() && states.iter().all(|&state| state == LEAST_STATE)
}

pub(super) fn encode_rans(model: &[EncodeSymbol; 256], symbols: &[u8], out: &mut Vec<u8>) {
    let mut states = vec![LEAST_STATE; n_states(symbols.len())];
    let mut words = Vec::with_capacity(symbols.len() / 2);
    encode_rans_rest(model, &mut states, symbols, &mut words);
    write_rans(&states, words.iter().rev(), out);
}

/// Encodes `symbols`, the last one first; `words` in the order of their making. The first symbol belongs to state 0.
pub(super) fn encode_rans_rest(
    model: &[EncodeSymbol; 256],
    states: &mut [u32],
    symbols: &[u8],
    words: &mut Vec<u16>,
) {
    let n_states = states.len();
    for (i, &symbol) in symbols.iter().enumerate().rev() {
        let (state, entry) = (&mut states[i % n_states], &model[usize::from(symbol)]);
        if *state >= entry.limit() {
            words.push(*state as u16);
            *state >>= 16;
        }
        *state = entry.push(*state);
    }
}

/// Appends the states, and the words in reading order.
pub(super) fn write_rans<'a>(states: &[u32], words: impl Iterator<Item = &'a u16>, out: &mut Vec<u8>) {
    out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    out.extend(words.flat_map(|word| word.to_le_bytes()));
}
