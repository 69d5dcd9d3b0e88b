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

mod pen;

pub(super) use pen::encode_huffman;

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::N_STREAMS;
use super::forward::{self, ForwardLane, ForwardTable};
use super::scalar::{self, PER_REFILL, Place, run_len};
use crate::multi::{MultiTable, N_ENTRIES, SYMBOL_BYTES, TABLE_BITS};
use crate::symbol::Symbol;
use crate::{Code, Result};

/// Streams whose state the registers hold.
const GROUP: usize = 3;

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

/// As [`super::Isa::decode_forward`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn decode_forward<S: Symbol, const N: usize>(
    table: &ForwardTable,
    lanes: &mut [ForwardLane<'_, '_, S>; N],
) {
    forward::decode(table, lanes);
}

/// As [`super::Isa::decode_huffman`].
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn decode_huffman<S: Symbol>(table: &MultiTable, streams: &[&[u8]], out: &mut [S]) -> bool {
    let entries = table.entries::<S>();
    let run = run_len(out.len(), streams.len());
    let mut runs = out.chunks_mut(run);
    let starts: Option<Vec<Lane>> = streams.iter().map(|stream| Lane::start(stream, runs.next()?)).collect();
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
