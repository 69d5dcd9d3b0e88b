//! One choice of positions turned into another, with the values kept bit for bit.

use std::sync::Arc;

use half::{bf16, f16};

use super::blocks::check_divides;
use super::order::Walk;
use super::{
    Affine, Blocks, Codebook, Gaps, Half, MaskBits, Order, PackedSymbols, Positions, StoredWeight, Values,
    WeightTensor as _,
};
use crate::{Error, Result};

/// A choice of [`Positions`] without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Every entry stored.
    All,
    /// One bit per entry.
    Mask,
    /// Relative indices of `bits` bits, 1..=16.
    Gaps {
        /// Bits of a gap.
        bits: u32,
    },
    /// The blocks of `size` entries that hold one to keep, with skips of `bits` bits, 1..=16.
    Blocks {
        /// Entries of a block, a divisor of the weight's.
        size: usize,
        /// Bits of a skip.
        bits: u32,
    },
}

impl StoredWeight {
    /// The same dense weight with other positions, or walked in another order.
    ///
    /// The kind of values and their tables stay; integer streams come out packed, at the width they had. Sparse forms
    /// store the entries that are not +0.0 (−0.0 is kept).
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when bits or a block's size are out of range, or when the new form has to hold a zero
    /// that the codebook lacks (entry 0 for gaps); [`Corrupt`](Error::Corrupt) when a coded stream turns out to be.
    pub fn rearrange(&self, form: Form, order: Order) -> Result<Self> {
        let walk = Walk::new(self.shape(), order);
        let kept = self.nonzero_slots(walk, order)?;
        let steps = kept.iter().map(|&(step, _)| step);
        let n_entries = self.n_entries();
        // Where each new slot gets its value from; `None` holds a zero.
        let (positions, sources): (_, Vec<Option<usize>>) = match form {
            Form::All => {
                let mut sources = vec![None; n_entries];
                kept.iter().for_each(|&(step, slot)| sources[step] = Some(slot));
                (Positions::All, sources)
            }
            Form::Mask => {
                let mut mask = MaskBits::repeat(false, n_entries);
                steps.for_each(|step| mask.set(step, true));
                (Positions::Mask(mask), kept.iter().map(|&(_, slot)| Some(slot)).collect())
            }
            Form::Gaps { bits } => {
                let code = Gaps::encode(bits, steps)?;
                let slots: Vec<_> = kept.iter().map(|&(_, slot)| Some(slot)).collect();
                let sources = code.spread(&slots, None);
                (Positions::Gaps(code.gaps), sources)
            }
            Form::Blocks { size, bits } => {
                check_divides(size, n_entries)?;
                let mut blocks: Vec<usize> = steps.map(|step| step / size).collect();
                blocks.dedup();
                let mut sources = vec![None; blocks.len() * size];
                let mut place = 0;
                for &(step, slot) in &kept {
                    while blocks[place] < step / size {
                        place += 1;
                    }
                    sources[place * size + step % size] = Some(slot);
                }
                (Positions::Blocks(Blocks::encode(size, bits, blocks)?), sources)
            }
        };
        let values = self.gather(&sources, &positions, walk)?;
        Self::new(self.shape().to_vec(), positions, values, order)
    }

    /// Step of the new walk and old slot of each entry that is not +0.0, by step.
    fn nonzero_slots(&self, walk: Walk, order: Order) -> Result<Vec<(usize, usize)>> {
        let mut kept = Vec::new();
        for (slot, entry) in self.entries().enumerate() {
            let (flat, value) = entry?;
            if value.to_bits() != 0 {
                kept.push((walk.step(flat), slot));
            }
        }
        if order != self.order() {
            kept.sort_unstable();
        }
        Ok(kept)
    }

    /// The values of the old slots `sources`, in that order, with zeros for `None`.
    fn gather(&self, sources: &[Option<usize>], positions: &Positions, walk: Walk) -> Result<Values> {
        Ok(match self.values() {
            Values::F32(values) => Values::F32(pick(values, sources, 0.0)),
            Values::Half(Half::F16(values)) => Values::Half(Half::F16(pick(values, sources, f16::ZERO))),
            Values::Half(Half::Bf16(values)) => Values::Half(Half::Bf16(pick(values, sources, bf16::ZERO))),
            Values::Affine(affine) => {
                let (grid, old) = (affine.grid(), affine.codes().to_vec()?);
                let grouping = grid.granularity().grouping(self.shape());
                let mut codes = Vec::with_capacity(sources.len());
                for (source, step) in sources.iter().zip(positions.indices(self.n_entries())) {
                    let group = grouping.of(walk.flat(step?));
                    codes.push(source.map_or_else(|| grid.zero_point(group), |slot| old[slot]));
                }
                let packed = PackedSymbols::from_symbols(grid.bits(), &codes)?;
                Values::Affine(Affine::new(grid.clone(), Arc::new(packed))?)
            }
            Values::Codebook(codebook) => {
                let zero = zero_index(codebook, sources, positions)?;
                let indices = pick(&codebook.indices().to_vec()?, sources, zero);
                let packed = PackedSymbols::from_symbols(codebook.indices().width().max(1), &indices)?;
                Values::Codebook(Codebook::new(codebook.table().to_vec(), Arc::new(packed))?)
            }
        })
    }
}

fn pick<T: Copy>(items: &[T], sources: &[Option<usize>], zero: T) -> Vec<T> {
    sources.iter().map(|source| source.map_or(zero, |slot| items[slot])).collect()
}

/// The codebook index that stands for a zero slot: 0 in gaps, else the first +0.0 of the table.
fn zero_index(codebook: &Codebook, sources: &[Option<usize>], positions: &Positions) -> Result<u16> {
    if matches!(positions, Positions::Gaps(_)) || !sources.contains(&None) {
        // A codebook whose entry 0 is not zero is refused by `StoredWeight::new`.
        return Ok(0);
    }
    let zero = codebook.table().iter().position(|value| value.to_bits() == 0);
    zero.and_then(|i| u16::try_from(i).ok()).ok_or_else(|| {
        Error::invalid("codebook", "an entry 0.0, for the entries that are not stored", "none")
    })
}
