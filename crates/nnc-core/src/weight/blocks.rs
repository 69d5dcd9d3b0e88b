//! Shared indices: one relative index for a whole block of entries.
//!
//! The entries of a weight, in the order of the walk, are cut into blocks of `size`; a block is stored whole or not at all. In
//! row-major order a kernel (R · S entries), a kernel's row (S) and a filter (I · R · S) are such blocks; in column-major order a
//! column of a linear weight is one. A symbol `z` of `b` bits says how many blocks are skipped before a stored one; the
//! highest, `2^b − 1`, skips that many and stores none, so that a long run costs indices and no values:
//!
//! ```text
//! size = 2, b = 2    weight   1 2  0 0  0 0  0 0  0 0  3 0      n = 12
//!                    skips    0 3 1        block 0; skip 3; skip 1 more, then block 5
//!                    values   1 2 3 0
//! ```
//!
//! Blocks after the last stored one have no symbol.
//!
//! # Source
//! Mao et al., "Exploring the Regularity of Sparse Structure in Convolutional Neural Networks", CVPRW 2017, §5.1 (indices shared
//! by a vector or kernel); the escape is ours, the paper's fillers take a value.

use std::sync::Arc;

use super::scan::{SymbolReader, scan};
use super::{MAX_WIDTH, PackedSymbols, Symbols};
use crate::{Error, Result};

/// The positions of a weight that is stored block by block.
#[derive(Debug, Clone)]
pub struct Blocks {
    size: usize,
    bits: u32,
    skips: Arc<dyn Symbols>,
    n_blocks: usize,
    span: u64,
    entropy_bits: f64,
}

impl Blocks {
    /// Takes over a stream of skips, each `< 2^bits`, over blocks of `size` entries; `bits` is in 1..=16.
    ///
    /// Reads the stream once to check it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `size` is 0 or `bits` out of range, [`Corrupt`](Error::Corrupt) when a
    /// skip is too large, and what the stream's decoder says.
    pub fn new(size: usize, bits: u32, skips: Arc<dyn Symbols>) -> Result<Self> {
        let escape = escape(size, bits)?;
        let (mut span, mut n_blocks) = (0_u64, 0);
        let entropy_bits = scan(&*skips, "block skips", 1 << bits, |skip| {
            let is_stored = skip != escape;
            n_blocks += usize::from(is_stored);
            span += u64::from(skip) + u64::from(is_stored);
        })?;
        Ok(Self { size, bits, skips, n_blocks, span, entropy_bits })
    }

    /// Codes strictly increasing numbers of blocks, packed.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `size` is 0, `bits` is not in 1..=16 or the numbers do not increase.
    ///
    /// # Example
    /// ```
    /// use nnc_core::weight::{Blocks, Symbols};
    /// let blocks = Blocks::encode(2, 2, [0, 5])?;
    /// assert_eq!(blocks.skips().to_vec()?, [0, 3, 1]);
    /// assert_eq!(blocks.indices().collect::<Result<Vec<_>, _>>()?, [0, 1, 10, 11]);
    /// # Ok::<(), nnc_core::Error>(())
    /// ```
    pub fn encode(size: usize, bits: u32, blocks: impl IntoIterator<Item = usize>) -> Result<Self> {
        let escape = escape(size, bits)?;
        let (mut skips, mut next) = (Vec::new(), 0);
        for block in blocks {
            let Some(mut n_skipped) = block.checked_sub(next) else {
                let expected = format!("strictly increasing, at least {next} here");
                return Err(Error::invalid("blocks", expected, block));
            };
            while n_skipped >= usize::from(escape) {
                skips.push(escape);
                n_skipped -= usize::from(escape);
            }
            skips.push(narrow(n_skipped));
            next = block + 1;
        }
        Self::new(size, bits, Arc::new(PackedSymbols::from_symbols(bits, &skips)?))
    }

    /// Entries of a block.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bits of a skip.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The stream of skips.
    pub fn skips(&self) -> &Arc<dyn Symbols> {
        &self.skips
    }

    /// How many blocks are stored.
    pub fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    /// How many blocks the stream goes over, stored or skipped.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// The order-0 entropy of the skips in bits.
    pub fn entropy_bits(&self) -> f64 {
        self.entropy_bits
    }

    /// The entries of the stored blocks in order, as steps of the walk.
    pub fn indices(&self) -> BlockIndices<'_> {
        let escape = u16::MAX >> (MAX_WIDTH - self.bits);
        BlockIndices { skips: SymbolReader::new(&*self.skips), size: self.size, escape, next: 0, left: 0..0 }
    }

    /// Refuses a size that does not cut `n_entries` into whole blocks, and a stream that goes beyond the last.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) in both cases.
    pub fn check_fits(&self, n_entries: usize) -> Result<()> {
        check_divides(self.size, n_entries)?;
        let n = (n_entries / self.size) as u64;
        if self.span > n {
            return Err(Error::invalid("block skips", format!("at most {n} blocks"), self.span));
        }
        Ok(())
    }
}

/// Refuses a size that does not cut `n_entries` into whole blocks.
pub(crate) fn check_divides(size: usize, n_entries: usize) -> Result<()> {
    if size > 0 && n_entries.is_multiple_of(size) {
        return Ok(());
    }
    Err(Error::invalid("block size", format!("a divisor of {n_entries} entries"), size))
}

fn narrow(n_skipped: usize) -> u16 {
    u16::try_from(n_skipped).expect("escapes took what exceeds the largest skip")
}

/// The skip that stores nothing.
fn escape(size: usize, bits: u32) -> Result<u16> {
    if size == 0 {
        return Err(Error::invalid("block size", "at least 1", 0));
    }
    if !(1..=MAX_WIDTH).contains(&bits) {
        return Err(Error::invalid("skip bits", format!("1..={MAX_WIDTH}"), bits));
    }
    Ok(u16::MAX >> (MAX_WIDTH - bits))
}

/// The entries of a block-coded weight's slots, in order.
#[derive(Debug)]
pub struct BlockIndices<'a> {
    skips: SymbolReader<'a>,
    size: usize,
    escape: u16,
    /// The next block that is not spoken of yet.
    next: usize,
    /// What is left of the stored block at work.
    left: std::ops::Range<usize>,
}

impl Iterator for BlockIndices<'_> {
    type Item = Result<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left.is_empty() {
            let skip = match self.skips.next() {
                Ok(skip) => skip?,
                Err(error) => return Some(Err(error)),
            };
            self.next = self.next.saturating_add(usize::from(skip));
            if skip != self.escape {
                let start = self.next.saturating_mul(self.size);
                self.left = start..start.saturating_add(self.size);
                self.next = self.next.saturating_add(1);
            }
        }
        self.left.next().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_survive_at_every_width_and_size(
            size in 1_usize..6, bits in 1_u32..=16, runs in prop::collection::vec(prop_oneof![0_usize..4, 0_usize..90_000], 0..20),
        ) {
            let blocks: Vec<usize> = runs.iter().scan(0, |next, run| { *next += run + 1; Some(*next - 1) }).collect();
            let coded = Blocks::encode(size, bits, blocks.iter().copied()).unwrap();
            let expected: Vec<usize> = blocks.iter().flat_map(|block| block * size..(block + 1) * size).collect();
            prop_assert_eq!(coded.indices().collect::<Result<Vec<_>>>().unwrap(), expected);
            prop_assert_eq!(coded.n_blocks(), blocks.len());
            prop_assert_eq!(coded.span(), blocks.last().map_or(0, |last| *last as u64 + 1));
            let reach = (1_usize << bits) - 1;
            prop_assert_eq!(coded.skips().len(), runs.iter().map(|run| run / reach + 1).sum::<usize>());
        }
    }

    #[test]
    fn what_cannot_be_coded_is_refused() {
        assert!(Blocks::encode(0, 4, [1]).is_err());
        assert!(Blocks::encode(1, 0, [1]).is_err());
        assert!(Blocks::encode(1, 17, [1]).is_err());
        assert!(Blocks::encode(1, 4, [3, 3]).is_err());
        let wide = Arc::new(PackedSymbols::from_symbols(4, &[1, 8]).unwrap());
        assert!(matches!(Blocks::new(2, 3, wide.clone()), Err(Error::Corrupt { .. })));
        // Skips of 1 and 8 go over 11 blocks.
        let blocks = Blocks::new(2, 4, wide).unwrap();
        assert!(blocks.check_fits(22).is_ok());
        assert!(blocks.check_fits(20).unwrap_err().to_string().contains("block skips"));
        assert!(blocks.check_fits(23).unwrap_err().to_string().contains("block size"));
    }

    #[test]
    fn a_stream_that_ends_in_escapes_stores_nothing_there() {
        let skips = Arc::new(PackedSymbols::from_symbols(2, &[1, 3, 3]).unwrap());
        let blocks = Blocks::new(3, 2, skips).unwrap();
        assert_eq!(blocks.indices().collect::<Result<Vec<_>>>().unwrap(), [3, 4, 5]);
        assert_eq!((blocks.n_blocks(), blocks.span()), (1, 8));
    }
}
