//! Which entries of a weight are stored.

use bitvec::order::Lsb0;
use bitvec::slice::IterOnes;
use bitvec::vec::BitVec;

use super::scan::entropy_bits;
use super::{BlockIndices, Blocks, GapIndices, Gaps};
use crate::Result;
use crate::footprint::StreamBits;

/// One bit per entry, least significant bit of each byte first.
pub type MaskBits = BitVec<u8, Lsb0>;

/// Which entries of a weight are stored, in the order of the weight's [`Order`](super::Order).
///
/// A stored entry takes a *slot*: one place in the value stream. Entries without a slot are +0.0.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Positions {
    /// Every entry: the slots are the entries.
    All,
    /// The entries whose bit is set, one bit per entry.
    Mask(MaskBits),
    /// Relative indices; the slots include fillers.
    Gaps(Gaps),
    /// One relative index a block; the slots are all entries of the stored blocks.
    Blocks(Blocks),
}

impl Positions {
    /// How many slots there are in a weight of `n_entries` entries.
    pub fn n_slots(&self, n_entries: usize) -> usize {
        match self {
            Self::All => n_entries,
            Self::Mask(mask) => mask.count_ones(),
            Self::Gaps(gaps) => gaps.len(),
            // Whether they fit the weight is checked where it is put together.
            Self::Blocks(blocks) => blocks.n_blocks().saturating_mul(blocks.size()),
        }
    }

    /// The entry of each slot, as a step of the walk, increasing; `n_entries` is the weight's number of entries.
    pub fn indices(&self, n_entries: usize) -> Indices<'_> {
        Indices(match self {
            Self::All => Form::All(0..n_entries),
            Self::Mask(mask) => Form::Mask(mask.iter_ones()),
            Self::Gaps(gaps) => Form::Gaps(gaps.indices()),
            Self::Blocks(blocks) => Form::Blocks(blocks.indices()),
        })
    }

    /// Bits of the positions, and bits of the tables they need.
    pub(crate) fn footprint(&self) -> (StreamBits, u64) {
        match self {
            Self::All => (StreamBits::default(), 0),
            Self::Mask(mask) => {
                let n_ones = mask.count_ones() as u64;
                let entropy_bits = entropy_bits(&[n_ones, mask.len() as u64 - n_ones]);
                (StreamBits { bits: 8 * (mask.len() as u64).div_ceil(8), entropy_bits }, 0)
            }
            Self::Gaps(gaps) => {
                let bits = gaps.skips().payload_bits();
                (StreamBits { bits, entropy_bits: gaps.entropy_bits() }, gaps.skips().table_bits())
            }
            Self::Blocks(blocks) => {
                let bits = blocks.skips().payload_bits();
                (StreamBits { bits, entropy_bits: blocks.entropy_bits() }, blocks.skips().table_bits())
            }
        }
    }
}

/// The entry of each slot, in order; a coded stream may turn out corrupt on the way.
#[derive(Debug)]
pub struct Indices<'a>(Form<'a>);

#[derive(Debug)]
enum Form<'a> {
    All(std::ops::Range<usize>),
    Mask(IterOnes<'a, u8, Lsb0>),
    Gaps(GapIndices<'a>),
    Blocks(BlockIndices<'a>),
}

impl Iterator for Indices<'_> {
    type Item = Result<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::All(range) => range.next().map(Ok),
            Form::Mask(ones) => ones.next().map(Ok),
            Form::Gaps(indices) => indices.next(),
            Form::Blocks(indices) => indices.next(),
        }
    }
}
