//! BMI2: shifts by a register without flags, bits counted in one instruction, six streams in two groups of three.
//!
//! Q: Why three streams at a time, of six? A: Bits, read position and write position of three streams are nine of sixteen
//! registers; four would spill. A lookup waits about seven cycles for the one before it in its stream, and three chains
//! do not fill that. But the processor looks ahead: while one group waits it is in the middle of the other, whose state
//! it loads from the stack.
#![allow(
    unsafe_code,
    reason = "reads streams and writes symbols through pointers, checked once for many steps"
)]
#![allow(clippy::cast_possible_truncation, reason = "the low bits of a word are what is wanted")]

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::N_STREAMS;
use super::scalar::{self, PER_REFILL, Place, run_len};
use crate::multi::{MultiTable, N_ENTRIES, SYMBOL_BYTES, TABLE_BITS};
use crate::symbol::Symbol;
use crate::{Code, Result};

/// Streams whose state the registers hold while they are decoded, and while they are written.
const GROUP: usize = 3;
const PENS: usize = 2;

/// Bytes of symbols that a step writes at most, and one store beyond them.
const STEP_BYTES: usize = PER_REFILL * SYMBOL_BYTES;
const STORE_BYTES: usize = 8;

/// Bytes ahead that are fetched while a step is decoded; by measurement, and flat round it.
const PREFETCH_OUT: usize = 768;
const PREFETCH_IN: usize = 512;

pub(super) fn detect() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
}

/// Where one stream is.
///
/// # Invariants
/// `bits` holds the stream's bits from the next one on at its top, then a 1 as lowest bit set: the number of zeros below
/// it is the number of bits consumed of the 8 bytes at `next`. `first <= next`, `next + 8` is within the stream;
/// `out <= out_end` is within the symbols.
#[derive(Clone, Copy)]
struct Lane {
    bits: u64,
    next: *const u8,
    first: *const u8,
    out: *mut u8,
    out_end: *mut u8,
}

impl Lane {
    /// Begins a stream of 8 bytes or more with an end mark.
    fn start<S: Symbol>(stream: &[u8], out: &mut [S]) -> Option<Self> {
        let tail = stream.last_chunk::<8>()?;
        let first = stream.as_ptr();
        let bits = u64::from_le_bytes(*tail);
        let n_consumed = 1 + bits.leading_zeros();
        if n_consumed > 8 {
            return None;
        }
        let range = out.as_mut_ptr_range();
        // SAFETY: the stream has 8 bytes.
        let next = unsafe { first.add(stream.len() - 8) };
        let mut lane = Self {
            bits: (bits | 1) << n_consumed,
            next,
            first,
            out: range.start.cast(),
            out_end: range.end.cast(),
        };
        if stream.len() > 8 {
            // SAFETY: at most a byte has been consumed, and there is one before `next`.
            (lane.bits, lane.next) = unsafe { refilled(lane.bits, lane.next) };
        }
        Some(lane)
    }

    /// Steps that stay within the stream and the symbols whatever the bits are: a step consumes 48 bits, so that a refill
    /// goes back 6 bytes at most, and writes 24 bytes of symbols.
    #[inline(always)]
    fn n_safe_steps(&self) -> usize {
        let bytes = self.next.addr() - self.first.addr();
        let room = (self.out_end.addr() - self.out.addr()).saturating_sub(STORE_BYTES);
        (bytes / 7).min(room / STEP_BYTES)
    }

    /// Bits of the stream that are not consumed, and symbol bytes written.
    fn place(&self, start: *mut u8) -> (Place, usize) {
        let n_loaded = 8 * (self.next.addr() - self.first.addr()) + 64;
        (Place { n_left: n_loaded - self.bits.trailing_zeros() as usize }, self.out.addr() - start.addr())
    }
}

/// As [`super::Isa::build_table`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn build_table<S: Symbol>(table: &mut MultiTable, code: &Code) -> Result<()> {
    table.build::<S>(code)
}

/// As [`super::Isa::decode_huffman`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn decode_huffman<S: Symbol>(table: &MultiTable, streams: &[&[u8]], out: &mut [S]) -> bool {
    let entries = table.entries::<S>();
    let run = run_len(out.len(), streams.len());
    let runs: Vec<&mut [S]> = out.chunks_mut(run).collect();
    let starts: Option<Vec<Lane>> = if runs.len() == streams.len() {
        let mut runs = runs;
        streams.iter().zip(&mut runs).map(|(stream, run)| Lane::start(stream, run)).collect()
    } else {
        None
    };
    let Some(mut lanes) = starts else { return scalar::decode_huffman(table, streams, out) };
    if let Ok(all) = <&mut [Lane; N_STREAMS]>::try_from(lanes.as_mut_slice()) {
        decode_lanes::<S, N_STREAMS, GROUP>(entries, all);
        for group in all.as_chunks_mut::<GROUP>().0 {
            decode_lanes::<S, GROUP, GROUP>(entries, group);
        }
    }
    for lane in lanes.as_chunks_mut::<1>().0 {
        decode_lanes::<S, 1, 1>(entries, lane);
    }
    let mut runs = out.chunks_mut(run);
    streams.iter().zip(lanes).all(|(stream, lane)| {
        let part = runs.next().unwrap_or_default();
        let (place, n_bytes) = lane.place(part.as_mut_ptr().cast());
        scalar::finish(table, stream, place, &mut part[n_bytes / size_of::<S>()..])
    })
}

/// Decodes `N` lanes, `G` side by side, for as long as all of them may go on unchecked.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline]
fn decode_lanes<S: Symbol, const N: usize, const G: usize>(
    entries: &[u64; N_ENTRIES],
    lanes: &mut [Lane; N],
) {
    loop {
        let n_steps = lanes.iter().map(Lane::n_safe_steps).min().unwrap_or(0);
        if n_steps == 0 {
            return;
        }
        // What changes, apart and by value, so that it lies where the stack pointer says.
        let mut bits = lanes.map(|lane| lane.bits);
        let mut nexts = lanes.map(|lane| lane.next);
        let mut outs = lanes.map(|lane| lane.out);
        for _ in 0..n_steps {
            let groups = bits.as_chunks_mut::<G>().0.iter_mut().zip(nexts.as_chunks_mut().0);
            for ((bits, nexts), outs) in groups.zip(outs.as_chunks_mut().0) {
                // SAFETY: `n_safe_steps` saw that there are bytes and room for this many steps of each lane.
                unsafe { step::<S, G>(entries, bits, nexts, outs) };
            }
        }
        for (((lane, bits), next), out) in lanes.iter_mut().zip(bits).zip(nexts).zip(outs) {
            (lane.bits, lane.next, lane.out) = (bits, next, out);
        }
    }
}

/// Four lookups of each of `G` lanes, and a refill.
///
/// # Safety
/// Each of the lanes must have a safe step left.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline]
unsafe fn step<S: Symbol, const G: usize>(
    entries: &[u64; N_ENTRIES],
    bits: &mut [u64; G],
    nexts: &mut [*const u8; G],
    outs: &mut [*mut u8; G],
) {
    let (mut now, mut at) = (*bits, *outs);
    for _ in 0..PER_REFILL {
        for (bits, out) in now.iter_mut().zip(&mut at) {
            // SAFETY: the index has 12 bits; the lane has room for the bytes of this store.
            unsafe {
                let entry = *entries.get_unchecked((*bits >> (u64::BITS - TABLE_BITS)) as usize);
                out.cast::<u64>().write_unaligned((entry >> 16).to_le());
                *bits <<= entry & 63;
                *out = out.add(usize::from((entry >> 8) as u8) * size_of::<S>());
            }
        }
    }
    for (bits, next) in now.iter_mut().zip(&mut *nexts) {
        // SAFETY: the lane has the bytes of this refill.
        (*bits, *next) = unsafe { refilled(*bits, *next) };
    }
    for (out, next) in at.iter().zip(nexts) {
        // Six streams of 20 KiB are too short and too many for the processor to foresee what they touch.
        _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(PREFETCH_OUT).cast());
        _mm_prefetch::<_MM_HINT_T0>(next.wrapping_sub(PREFETCH_IN).cast());
    }
    (*bits, *outs) = (now, at);
}

/// The 8 bytes whose first bits are the next ones, and where they are.
///
/// # Safety
/// `next` must have as many bytes before it in the stream as have been consumed.
#[inline(always)]
unsafe fn refilled(bits: u64, next: *const u8) -> (u64, *const u8) {
    let n_consumed = bits.trailing_zeros();
    // SAFETY: the caller's promise.
    unsafe {
        let next = next.sub((n_consumed >> 3) as usize);
        ((next.cast::<u64>().read_unaligned().to_le() | 1) << (n_consumed & 7), next)
    }
}

/// Symbols that are encoded between two stores: 48 bits and the 7 that wait fit above the length in a word's lowest byte.
const PER_STORE: usize = 4;

/// One stream that grows.
///
/// # Invariants
/// The newest bits are the highest of `pending`; the low byte of `n_pending` says how many, 7 at most between steps.
#[derive(Clone, Copy)]
struct Pen {
    pending: u64,
    n_pending: u64,
    out: *mut u8,
}

impl Pen {
    fn new(out: *mut u8) -> Self {
        Self { pending: 0, n_pending: 0, out }
    }

    #[inline(always)]
    fn push(&mut self, word: u64) {
        // The length in the lowest byte of the word is shifted out of the way by the words after it.
        self.pending = self.pending >> (word & 63) | word;
        // Only the low byte of the sum counts; masking it once a store is enough.
        self.n_pending = self.n_pending.wrapping_add(word);
    }

    /// # Safety
    /// There must be room for 8 bytes.
    #[inline(always)]
    unsafe fn store(&mut self) {
        let bits = self.pending >> (self.n_pending.wrapping_neg() & 63);
        // SAFETY: the caller's promise.
        unsafe {
            self.out.cast::<u64>().write_unaligned(bits.to_le());
            self.out = self.out.add(usize::from(self.n_pending as u8) >> 3);
        }
        self.n_pending &= 7;
    }

    /// Puts `symbols`, the last one first.
    ///
    /// # Safety
    /// There must be room for their words and 8 bytes.
    #[inline(always)]
    unsafe fn write(&mut self, words: &[u64; 256], symbols: &[u8]) {
        for part in symbols.rchunks(PER_STORE) {
            part.iter().rev().for_each(|&symbol| self.push(words[usize::from(symbol)]));
            // SAFETY: the caller's promise.
            unsafe { self.store() };
        }
    }

    /// Puts the end mark and fills up the last byte.
    ///
    /// # Safety
    /// There must be room for 8 bytes.
    #[inline(always)]
    unsafe fn finish(&mut self) {
        self.push(1 << 63 | 1);
        // Zeros above the mark.
        let n_padding = self.n_pending.wrapping_neg() & 7;
        self.pending >>= n_padding;
        self.n_pending += n_padding;
        // SAFETY: the caller's promise.
        unsafe { self.store() };
    }

    /// Bytes stored since `start`.
    fn n_bytes(&self, start: *mut u8) -> usize {
        self.out.addr() - start.addr()
    }
}

/// Bytes that a stream of `n_symbols` may take while it is written: 12 bits a symbol and its mark, 8 bytes at a time.
fn room_for(n_symbols: usize) -> usize {
    (n_symbols * TABLE_BITS as usize).div_ceil(8) + 2 * STORE_BYTES
}

/// As [`super::Isa::encode_huffman`], for words of at most 12 bits.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn encode_huffman(
    words: &[u64; 256],
    symbols: &[u8],
    n_streams: usize,
    out: &mut Vec<u8>,
) -> Vec<usize> {
    assert!(words.iter().all(|&word| word & 0xff <= TABLE_BITS.into()), "words of at most 12 bits");
    let mut runs = symbols.chunks(run_len(symbols.len(), n_streams));
    let runs: Vec<&[u8]> = (0..n_streams).map(|_| runs.next().unwrap_or_default()).collect();
    let mut ends = Vec::with_capacity(n_streams);
    let (groups, rest) = runs.as_chunks::<PENS>();
    groups.iter().for_each(|group| encode_lanes(words, *group, out, &mut ends));
    rest.iter().for_each(|run| encode_lanes(words, [*run], out, &mut ends));
    ends
}

/// Encodes `N` runs side by side and appends their streams one after the other.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline]
fn encode_lanes<const N: usize>(
    words: &[u64; 256],
    runs: [&[u8]; N],
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) {
    let longest = runs.iter().map(|run| run.len()).max().unwrap_or(0);
    let room = room_for(longest);
    out.reserve(N * room);
    let base = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: room for `N` streams was reserved.
    let starts: [*mut u8; N] = std::array::from_fn(|i| unsafe { base.add(i * room) });
    let mut pens = starts.map(Pen::new);
    let n_steps = runs.iter().map(|run| run.len() / PER_STORE).min().unwrap_or(0);
    let fronts = runs.map(|run| run.split_at(run.len() - n_steps * PER_STORE));
    let tails = fronts.map(|(_, tail)| tail.as_chunks::<PER_STORE>().0);
    for k in (0..n_steps).rev() {
        for (pen, tail) in pens.iter_mut().zip(&tails) {
            tail[k].iter().rev().for_each(|&symbol| pen.push(words[usize::from(symbol)]));
            // SAFETY: the room is for all symbols of the run.
            unsafe { pen.store() };
        }
    }
    let mut end = 0;
    for ((pen, (front, _)), start) in pens.iter_mut().zip(&fronts).zip(starts) {
        // SAFETY: as above; then the stream is moved down to the end of the one before, where it may overlap itself.
        unsafe {
            pen.write(words, front);
            pen.finish();
            let n_bytes = pen.n_bytes(start);
            std::ptr::copy(start, base.add(end), n_bytes);
            end += n_bytes;
        }
        ends.push(out.len() + end);
    }
    // SAFETY: that many bytes have been written.
    unsafe { out.set_len(out.len() + end) };
}
