//! The contract of the kernels, and which one this processor runs.
//!
//! A kernel decodes the streams of one block, or encodes them. All of them read and write the same bytes; [`scalar`] is
//! the plain twin that defines them. A block's symbols are cut into as many runs as there are streams, of
//! `n.div_ceil(streams)` symbols each, the last one shorter.
//!
//! A stream is read **from its end**: its last byte is not 0, and the highest bit set there only says where the codewords
//! stop. The first symbol's word stands right below it, first bit highest.
//!
//! ```text
//! byte 0                          last byte
//! |…… last word ……|…………| second | first word | 1 | 0 0 0 |
//! ```
//!
//! Q: Why backwards? A: The next bits must be the highest of a register to index a table without a mask, and the processor
//! loads the byte at the higher address into the higher bits.
#![allow(unsafe_code, reason = "the calls from a detected instruction set to its kernels")]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bmi2;
mod forward;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use forward::{ForwardLane, ForwardTable};

use std::sync::LazyLock;

use crate::multi::MultiTable;
use crate::rans::{DecodeSlot, EncodeSymbol};
use crate::symbol::Symbol;
use crate::{Code, Result};

/// Streams of a Huffman block that is not small: six chains of lookups, three at a time in the registers.
pub(crate) const N_STREAMS: usize = 6;

/// States of a rANS block that is not small, which take turns symbol by symbol: four registers of sixteen. A pop waits some
/// forty cycles for the one before it, so that four registers are nearly twice as fast as two.
pub(crate) const N_STATES: usize = 64;

/// Symbols from which on a rANS block has all [`N_STATES`]; below, their 256 bytes would be too many.
const STATES_FROM: usize = 1 << 13;

/// States of a rANS block of `n_symbols`.
pub(crate) fn n_states(n_symbols: usize) -> usize {
    if n_symbols < STATES_FROM { 1 } else { N_STATES }
}

/// Asks for the bytes `n_ahead` after those of `bytes`, which there need not be.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8], n_ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: each x86-64 processor has SSE, and fetching ahead does not read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(n_ahead).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, n_ahead);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Bmi2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// An instruction set that this processor has: only detection makes one, so holding it is the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

static BEST: LazyLock<Isa> = LazyLock::new(|| *Isa::available().last().expect("scalar at least"));

impl Isa {
    /// Plain Rust, which the others are held to.
    pub const SCALAR: Self = Self(Level::Scalar);

    /// The instruction sets of this processor that have kernels here, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have no more")]
        let mut all = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        if bmi2::detect() {
            all.push(Self(Level::Bmi2));
            if avx512::detect() {
                all.push(Self(Level::Avx512));
            }
        }
        all
    }

    /// The fastest of them.
    pub fn best() -> Self {
        *BEST
    }

    /// `scalar`, `bmi2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Bmi2 => "bmi2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// Lays out `code` in `table`.
    ///
    /// # Errors
    /// Those of [`MultiTable::build`].
    pub(crate) fn build_table<S: Symbol>(self, table: &mut MultiTable, code: &Code) -> Result<()> {
        match self.0 {
            Level::Scalar => table.build::<S>(code),
            // SAFETY: the token says that detection found the kernel's features.
            #[cfg(target_arch = "x86_64")]
            Level::Bmi2 => unsafe { bmi2::build_table::<S>(table, code) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::build_table::<S>(table, code) },
        }
    }

    /// Decodes Huffman streams that hold exactly the symbols of `out`; says whether they do.
    pub(crate) fn decode_huffman<S: Symbol>(
        self,
        table: &MultiTable,
        streams: &[&[u8]],
        out: &mut [S],
    ) -> bool {
        match self.0 {
            Level::Scalar => scalar::decode_huffman(table, streams, out),
            // SAFETY: the token says that detection found the kernel's features.
            #[cfg(target_arch = "x86_64")]
            Level::Bmi2 | Level::Avx512 => unsafe { bmi2::decode_huffman(table, streams, out) },
        }
    }

    /// Encodes `symbols` as `n_streams` Huffman streams, which are appended to `out`; where each ends in it.
    ///
    /// `words[s]` has the codeword of symbol `s` in its high bits, first bit highest, and its length, at most 12, in the
    /// lowest byte. Symbols above 255 are [`scalar::encode_huffman`]'s.
    pub(crate) fn encode_huffman(
        self,
        words: &[u64; 256],
        symbols: &[u8],
        n_streams: usize,
        out: &mut Vec<u8>,
    ) -> Vec<usize> {
        match self.0 {
            Level::Scalar => scalar::encode_huffman(words, symbols, n_streams, out),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Bmi2 | Level::Avx512 => unsafe { bmi2::encode_huffman(words, symbols, n_streams, out) },
        }
    }

    /// Lays out `code` for streams that are read from their beginning.
    ///
    /// # Errors
    /// Those of [`MultiTable::build`].
    pub(crate) fn build_forward(self, code: &Code) -> Result<ForwardTable> {
        ForwardTable::build(self, code)
    }

    /// Decodes most of streams that are read from their beginning, side by side; the rest is a slower decoder's.
    pub(crate) fn decode_forward<S: Symbol, const N: usize>(
        self,
        table: &ForwardTable,
        lanes: &mut [ForwardLane<'_, '_, S>; N],
    ) {
        match self.0 {
            Level::Scalar => forward::decode(table, lanes),
            // SAFETY: the token says that detection found the kernel's features.
            #[cfg(target_arch = "x86_64")]
            Level::Bmi2 | Level::Avx512 => unsafe { bmi2::decode_forward(table, lanes) },
        }
    }

    /// Decodes a rANS payload that holds exactly the symbols of `out`; says whether it does.
    pub(crate) fn decode_rans(self, slots: &[DecodeSlot; 4096], payload: &[u8], out: &mut [u8]) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::decode_rans(slots, payload, out) },
            _ => scalar::decode_rans(slots, payload, out),
        }
    }

    /// Encodes `symbols` as a rANS payload, appended to `out`.
    pub(crate) fn encode_rans(self, model: &[EncodeSymbol; 256], symbols: &[u8], out: &mut Vec<u8>) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::encode_rans(model, symbols, out) },
            _ => scalar::encode_rans(model, symbols, out),
        }
    }
}
