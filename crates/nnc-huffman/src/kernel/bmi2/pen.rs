//! The encoder: two streams side by side, four symbols to a store.
#![allow(unsafe_code, reason = "writes streams through pointers into reserved room")]
#![allow(clippy::cast_possible_truncation, reason = "the low bits of a word are what is wanted")]

use super::{STORE_BYTES, run_len};
use crate::multi::TABLE_BITS;

/// Streams whose state the registers hold.
const GROUP: usize = 2;

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

/// As [`Isa::encode_huffman`](crate::Isa), for words of at most 12 bits.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(in crate::kernel) fn encode_huffman(
    words: &[u64; 256],
    symbols: &[u8],
    n_streams: usize,
    out: &mut Vec<u8>,
) -> Vec<usize> {
    assert!(words.iter().all(|&word| word & 0xff <= TABLE_BITS.into()), "words of at most 12 bits");
    let mut runs = symbols.chunks(run_len(symbols.len(), n_streams));
    let runs: Vec<&[u8]> = (0..n_streams).map(|_| runs.next().unwrap_or_default()).collect();
    let mut ends = Vec::with_capacity(n_streams);
    let (groups, rest) = runs.as_chunks::<GROUP>();
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
