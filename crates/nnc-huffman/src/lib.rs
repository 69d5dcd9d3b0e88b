//! Entropy coding of weight codes and gaps: length-limited canonical Huffman and rANS, fast, and safe on hostile bytes.
//!
//! The last stage of Deep Compression (Han, Mao, Dally, ICLR 2016, §4), usable by anyone who has a slice of `u8` or `u16`
//! symbols. This crate depends on no framework; the feature `tensor` adds nnc-core's `Symbols` for its streams.
//!
//! # Goals
//!
//! - **Exact**: lengths are optimal (Huffman, and package-merge under a limit), every header is counted, and the entropy
//!   that is left on the table can be read off ([`Histogram::entropy_bits`], [`Code::cost_bits`]).
//! - **Reproducible**: equal symbols give equal bytes, on each machine and at any number of threads.
//! - **Safe**: bytes from outside give an `Err` or wrong symbols; never a panic, and never an allocation that they have not
//!   earned.
//! - **Small at small sizes**: a layer of 260 weights must not drown in its table, so tables cost a few bytes and short
//!   blocks have no header at all.
//!
//! - **Fast**: several symbols a table lookup, six streams at once, kernels for what the processor has; faster than zstd's
//!   assembly (`docs/huffman.md` has the figures).
//!
//! # Which call
//!
//! | you have | call |
//! |---|---|
//! | a slice, and want bytes that describe themselves | [`compress`], [`decompress`]; [`compress_with`] for rANS or other blocks |
//! | symbols that arrive one by one | [`FrameWriter`] |
//! | a buffer for one block, or need only some of them | [`Frame::decode_block`]; [`Frame::iter`] for symbols one by one |
//! | a container of your own that knows counts, many small streams, ranges | [`CodedSymbols`], one code for all of its blocks |
//! | something else | the parts: [`Histogram`] → [`Code`] → [`Encoder`] and [`Decoder`] |
//!
//! Which [`Coder`]? [`Huffman`](Coder::Huffman) decodes in the fewest cycles where the entropy is low, on each processor.
//! [`Rans`](Coder::Rans) is within half a per cent of the entropy, and below one bit a symbol far ahead; it wants AVX-512
//! to be fast. [`Smallest`](Coder::Smallest) tries both, block by block, and for small blocks an adaptive code without a
//! table, by which the example below is a frame of 18 bytes.
//!
//! # One code, by hand
//!
//! ```
//! use nnc_huffman::{Code, Histogram};
//!
//! // The lecture slide's example: A 100 times, B 10 times, C and D once.
//! let symbols: Vec<u8> = [vec![0; 100], vec![1; 10], vec![2], vec![3]].concat();
//! let histogram = Histogram::of(&symbols);
//! let code = Code::from_histogram(&histogram);
//! assert_eq!(code.lengths(), [1, 2, 3, 3]);
//! assert_eq!(code.cost_bits(&histogram)?, 126); // against 224 at two bits a symbol
//!
//! // The words are 0, 10, 110, 111, and the first bit of a word goes to the lowest free bit of a byte.
//! assert_eq!(code.encode(&[0u8, 1, 2, 3, 0])?, [0b1101_1010, 0b0000_0001]);
//!
//! let mut decoded = [0u8; 5];
//! code.decode_into(&[0b1101_1010, 0b0000_0001], &mut decoded)?;
//! assert_eq!(decoded, [0, 1, 2, 3, 0]);
//!
//! // Two bytes carry the code itself.
//! let mut table = Vec::new();
//! code.write_table(&mut table);
//! assert_eq!(table, [0b0001_1110, 0b0101_1010]);
//! assert_eq!(Code::read_table(&table)?, (code, 2));
//! # Ok::<(), nnc_huffman::Error>(())
//! ```
//!
//! An exercise: the slide's stream has 64.8 bits of entropy, and no prefix code can give A less than a bit. Let
//! `compress_with` take 1,000 times as many of each, with [`Coder::Rans`]. What is left above the entropy?
//!
//! # Format
//!
//! ```text
//! frame:         'n' 'H' | version | block length and symbol type | block | block | … | 0
//! block:         symbols | bytes and kind | payload
//! payload:       code table | one stream, or five stream lengths and six streams     (Huffman)
//!                frequency table | one state, or 64 | words                          (rANS)
//! CodedSymbols:  code table | block index (several blocks only) | block of Encoder | …
//! ```
//!
//! `docs/huffman.md` of the workspace gives each field in bits.
//!
//! # What is absent
//!
//! rANS and adaptive coding take symbols below 256; the adaptive model knows no context but the bits of its symbol.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod adaptive;
mod bits;
mod block;
mod canonical;
mod coded;
mod decoder;
mod encoder;
mod error;
mod frame;
mod histogram;
mod kernel;
mod lengths;
mod multi;
mod rans;
pub mod reference;
mod symbol;
#[cfg(feature = "tensor")]
mod symbols;
mod table;
mod threads;
mod varint;

pub use block::{Coder, Kind};
pub use canonical::{Code, Codeword};
pub use coded::CodedSymbols;
pub use decoder::Decoder;
pub use encoder::{Encoder, FOUR_STREAMS_FROM};
pub use error::{Error, Result};
pub use frame::{
    Config, Frame, FrameWriter, Iter, VERSION, compress, compress_into, compress_with, decompress,
};
pub use histogram::Histogram;
pub use kernel::Isa;
pub use lengths::{huffman_lengths, limited_lengths};
pub use symbol::Symbol;

/// Bits of the longest codeword that the format can hold.
pub const MAX_LENGTH: u32 = 16;
