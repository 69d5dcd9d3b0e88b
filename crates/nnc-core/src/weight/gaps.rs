//! Relative indices: the one home of gap coding.
//!
//! Of a sparse weight only the distance from one entry to the next is stored, in `b` bits. The convention is that of
//! EIE and of the released AlexNet file: a symbol `z` in `0..2^b` says how many zeros are skipped before the entry, so
//! the entries lie at `cumsum(z + 1) - 1`. (The figure in the Deep Compression paper writes `z + 1`.)
//!
//! A run of `2^b` or more zeros does not fit one symbol. It is broken by *fillers*: a slot with `z = 2^b - 1` whose value
//! is 0, which takes up `2^b` positions. A filler occupies a slot in the gap stream and in the value stream:
//!
//! ```text
//! b = 4    weight   0 0 1 2 0 0 … (18 zeros) … 0 3      n = 23
//!          skips    2 0 15 2
//!          values   1 2 0  3      the third slot is a filler: 15 zeros and its own
//! ```
//!
//! Zeros after the last entry are not stored.
//!
//! # Source
//! Han, Mao, Dally, "Deep Compression", ICLR 2016, §2 and figure 2; Han et al., "EIE", ISCA 2016, §III-B.

use std::sync::Arc;

use super::scan::{SymbolReader, scan};
use super::{MAX_WIDTH, PackedSymbols, Symbols};
use crate::{Error, Result};

/// A stream of skips of `bits` bits each: the positions of a sparse weight's slots, fillers among them.
///
/// The stream does not say which slots are fillers; the values do, by being 0.
#[derive(Debug, Clone)]
pub struct Gaps {
    bits: u32,
    skips: Arc<dyn Symbols>,
    span: u64,
    entropy_bits: f64,
}

impl Gaps {
    /// Takes over a stream of skips, each `< 2^bits`; `bits` is in 1..=16.
    ///
    /// Reads the stream once to check it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `bits` is out of range, [`Corrupt`](Error::Corrupt) when a skip
    /// is too large, and what the stream's decoder says.
    pub fn new(bits: u32, skips: Arc<dyn Symbols>) -> Result<Self> {
        check_bits(bits)?;
        let mut span = 0_u64;
        let entropy_bits = scan(&*skips, "gaps", 1 << bits, |skip| span += u64::from(skip) + 1)?;
        Ok(Self { bits, skips, span, entropy_bits })
    }

    /// Codes strictly increasing `positions` in gaps of `bits` bits, packed.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `bits` is not in 1..=16 or the positions do not increase.
    ///
    /// # Example
    /// ```
    /// use nnc_core::weight::{Gaps, Symbols};
    /// let coded = Gaps::encode(4, [2, 3, 22])?;
    /// assert_eq!(coded.gaps.skips().to_vec()?, [2, 0, 15, 2]);
    /// assert_eq!(coded.fillers, [2]);
    /// assert_eq!(coded.spread(&[1.0, 2.0, 3.0], 0.0), [1.0, 2.0, 0.0, 3.0]);
    /// # Ok::<(), nnc_core::Error>(())
    /// ```
    pub fn encode(bits: u32, positions: impl IntoIterator<Item = usize>) -> Result<GapCode> {
        check_bits(bits)?;
        let largest = u16::MAX >> (MAX_WIDTH - bits);
        let (mut skips, mut fillers) = (Vec::new(), Vec::new());
        let mut next = 0;
        for position in positions {
            let Some(mut n_zeros) = position.checked_sub(next) else {
                let expected = format!("strictly increasing, at least {next} here");
                return Err(Error::invalid("positions", expected, position));
            };
            while n_zeros > usize::from(largest) {
                fillers.push(skips.len());
                skips.push(largest);
                n_zeros -= usize::from(largest) + 1;
            }
            skips.push(narrow(n_zeros));
            next = position + 1;
        }
        let gaps = Self::new(bits, Arc::new(PackedSymbols::from_symbols(bits, &skips)?))?;
        Ok(GapCode { gaps, fillers })
    }

    /// How many fillers [`encode`](Self::encode) would need for these positions: Σ ⌊zeros / 2^bits⌋.
    pub fn count_fillers(bits: u32, positions: impl IntoIterator<Item = usize>) -> usize {
        let mut next = 0;
        let mut n_fillers = 0;
        for position in positions {
            n_fillers += position.saturating_sub(next).checked_shr(bits).unwrap_or(0);
            next = position + 1;
        }
        n_fillers
    }

    /// Bits of a gap.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The stream of skips.
    pub fn skips(&self) -> &Arc<dyn Symbols> {
        &self.skips
    }

    /// How many slots there are, fillers included.
    pub fn len(&self) -> usize {
        self.skips.len()
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many positions the slots take up, the zeros between them included: the last slot's position plus 1.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// The order-0 entropy of the skips in bits.
    pub fn entropy_bits(&self) -> f64 {
        self.entropy_bits
    }

    /// The positions of the slots in order, fillers included.
    pub fn indices(&self) -> GapIndices<'_> {
        GapIndices { skips: SymbolReader::new(&*self.skips), next: 0 }
    }
}

/// What [`Gaps::encode`] gives: the coded positions, and which of the slots are fillers.
#[derive(Debug, Clone)]
pub struct GapCode {
    /// The coded positions.
    pub gaps: Gaps,
    /// The slots that are fillers, increasing.
    pub fillers: Vec<usize>,
}

impl GapCode {
    /// Spreads one item per entry over the slots, with `filler` in the filler slots.
    ///
    /// # Panics
    /// When `entries` is not one item per encoded position.
    pub fn spread<T: Copy>(&self, entries: &[T], filler: T) -> Vec<T> {
        let n_slots = self.gaps.len();
        assert_eq!(entries.len() + self.fillers.len(), n_slots, "one item per encoded position");
        let (mut entries, mut fillers) = (entries.iter(), self.fillers.iter().peekable());
        let mut pick = |slot| match fillers.next_if_eq(&&slot) {
            Some(_) => filler,
            None => *entries.next().expect("as many entries as slots without fillers"),
        };
        (0..n_slots).map(&mut pick).collect()
    }
}

/// The positions of a gap-coded weight's slots, in order.
#[derive(Debug)]
pub struct GapIndices<'a> {
    skips: SymbolReader<'a>,
    next: usize,
}

impl Iterator for GapIndices<'_> {
    type Item = Result<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let skip = match self.skips.next() {
            Ok(skip) => skip?,
            Err(error) => return Some(Err(error)),
        };
        let index = self.next.saturating_add(usize::from(skip));
        self.next = index.saturating_add(1);
        Some(Ok(index))
    }
}

fn narrow(n_zeros: usize) -> u16 {
    u16::try_from(n_zeros).expect("fillers took what exceeds the largest gap")
}

fn check_bits(bits: u32) -> Result<()> {
    if (1..=MAX_WIDTH).contains(&bits) {
        return Ok(());
    }
    Err(Error::invalid("gap bits", format!("1..={MAX_WIDTH}"), bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skips(bits: u32, positions: &[usize]) -> Vec<u16> {
        Gaps::encode(bits, positions.iter().copied()).unwrap().gaps.skips().to_vec().unwrap()
    }

    #[test]
    fn the_papers_examples_come_out() {
        // EIE §III-B: [0, 0, 1, 2, 0 × 18, 3] in 4 bits is v = [1, 2, 0, 3], z = [2, 0, 15, 2].
        assert_eq!(skips(4, &[2, 3, 22]), [2, 0, 15, 2]);
        // Deep Compression, figure 2: 3 bits, entries at 1, 4, 15.
        let code = Gaps::encode(3, [1, 4, 15]).unwrap();
        assert_eq!(code.gaps.skips().to_vec().unwrap(), [1, 2, 7, 2]);
        assert_eq!(code.spread(&[3.4, 0.9, 1.7], 0.0), [3.4, 0.9, 0.0, 1.7]);
        assert_eq!(code.gaps.span(), 16);
    }

    #[test]
    fn a_filler_is_needed_from_two_to_the_b_zeros() {
        for bits in 1..=16 {
            let reach = 1_usize << bits;
            let largest = u16::try_from(reach - 1).unwrap();
            assert_eq!(skips(bits, &[0]), [0]);
            assert_eq!(skips(bits, &[reach - 1]), [largest]);
            assert_eq!(skips(bits, &[reach]), [largest, 0]);
            assert_eq!(skips(bits, &[2 * reach]), [largest, largest, 0]);
            assert!(skips(bits, &[]).is_empty());
        }
    }

    #[test]
    fn what_cannot_be_coded_is_refused() {
        assert!(Gaps::encode(0, [1]).is_err());
        assert!(Gaps::encode(17, [1]).is_err());
        assert!(Gaps::encode(4, [3, 3]).is_err());
        assert!(Gaps::encode(4, [3, 2]).is_err());
        let wide = Arc::new(PackedSymbols::from_symbols(4, &[1, 8]).unwrap());
        assert!(matches!(Gaps::new(3, wide.clone()), Err(Error::Corrupt { .. })));
        assert_eq!(Gaps::new(4, wide).unwrap().span(), 11);
    }

    fn positions() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![3 => 0_usize..4, 2 => 0_usize..40, 1 => 0_usize..70_000], 0..60)
            .prop_map(|runs| {
                runs.iter()
                    .scan(0, |next, run| {
                        let position = *next + run;
                        *next = position + 1;
                        Some(position)
                    })
                    .collect()
            })
    }

    proptest! {
        #[test]
        fn positions_survive_at_every_width(bits in 1_u32..=16, positions in positions()) {
            let code = Gaps::encode(bits, positions.iter().copied()).unwrap();
            let slots: Vec<usize> = code.gaps.indices().collect::<Result<_>>().unwrap();
            prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]));
            // The slots that are no fillers are the positions, in order.
            let marks = code.spread(&vec![true; positions.len()], false);
            let kept: Vec<usize> = slots.iter().zip(&marks).filter(|(_, mark)| **mark).map(|(&slot, _)| slot).collect();
            prop_assert_eq!(&kept, &positions);
            prop_assert_eq!(code.fillers.len(), Gaps::count_fillers(bits, positions.iter().copied()));
            prop_assert_eq!(code.gaps.span(), positions.last().map_or(0, |&last| last as u64 + 1));
            prop_assert!(code.gaps.entropy_bits() <= f64::from(bits) * slots.len() as f64 + 1e-6);
        }
    }
}
