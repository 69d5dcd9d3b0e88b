//! A weight as it is stored: shape, positions, values, order.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::order::{Walk, checked_count};
use super::positions::Indices;
use super::values::ValueReader;
use super::{Affine, Blocks, Codebook, Gaps, Order, Positions, Symbols, Values, WeightTensor};
use crate::footprint::Footprint;
use crate::{Error, Result};

/// A weight as it is stored: positions × values.
///
/// One that exists is valid: as many values as slots, positions inside the shape, symbols in their ranges, and a zero
/// that fillers can hold. [`rearrange`](Self::rearrange) turns one choice of positions into another, losslessly.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::weight::{Form, Order, StoredWeight, WeightTensor};
/// let dense = Tensor::new(&[[0_f32, 0.0, 1.5], [0.0, -2.0, 0.0]], &Device::Cpu)?;
/// let sparse = StoredWeight::dense(&dense)?.rearrange(Form::Gaps { bits: 2 }, Order::RowMajor)?;
/// let entries: Vec<(usize, f32)> = sparse.entries().collect::<Result<_, _>>()?;
/// assert_eq!(entries, [(2, 1.5), (4, -2.0)]);
/// assert_eq!(sparse.to_dense(&Device::Cpu)?.to_vec2::<f32>()?, dense.to_vec2::<f32>()?);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoredWeight {
    shape: Vec<usize>,
    positions: Positions,
    values: Values,
    order: Order,
}

/// Which of a stored weight's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamRole {
    /// The gaps between entries, or the skips between blocks.
    Gaps,
    /// Affine codes or codebook indices.
    Values,
}

impl StoredWeight {
    /// Puts a weight together and checks that its parts agree.
    ///
    /// Unused bits of a mask's last byte are cleared. Nothing here is sized by `shape`, but
    /// [`to_dense`](WeightTensor::to_dense) and [`rearrange`](Self::rearrange) are, so whoever reads bytes from outside
    /// compares the shape with what the network wants before calling those.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the shape cannot be addressed, the numbers of slots and values
    /// disagree, positions reach beyond the shape or cut it into blocks with a remainder, the grid's scales do not fit the shape, or a codebook does not reserve
    /// entry 0 where positions are gap-coded.
    pub fn new(shape: Vec<usize>, mut positions: Positions, values: Values, order: Order) -> Result<Self> {
        let n_entries = checked_count("stored weight", &shape)?;
        match &mut positions {
            Positions::Mask(mask) if mask.len() != n_entries => {
                return Err(Error::invalid("mask", format!("{n_entries} bits"), mask.len()));
            }
            Positions::Mask(mask) => mask.set_uninitialized(false),
            Positions::Gaps(gaps) if gaps.span() > n_entries as u64 => {
                return Err(Error::invalid("gaps", format!("at most {n_entries} positions"), gaps.span()));
            }
            Positions::Blocks(blocks) => blocks.check_fits(n_entries)?,
            Positions::All | Positions::Gaps(_) => {}
        }
        let n_slots = positions.n_slots(n_entries);
        if values.len() != n_slots {
            return Err(Error::invalid("values", format!("{n_slots}, one per slot"), values.len()));
        }
        match &values {
            Values::Affine(affine) => {
                let (grid, n_scales) = (affine.grid(), affine.grid().granularity().n_scales(&shape)?);
                if grid.scales().len() != n_scales {
                    return Err(Error::invalid("scales", format!("{n_scales}"), grid.scales().len()));
                }
            }
            Values::Codebook(codebook)
                if matches!(positions, Positions::Gaps(_)) && n_slots > 0 && !codebook.reserves_zero() =>
            {
                let got = codebook.table().first().map_or("an empty table".into(), ToString::to_string);
                return Err(Error::invalid(
                    "codebook entry 0",
                    "0, for the fillers of gap-coded positions",
                    got,
                ));
            }
            _ => {}
        }
        Ok(Self { shape, positions, values, order })
    }

    /// Every entry of a dense tensor as a 32-bit float, bit for bit where the tensor is one of those.
    ///
    /// # Errors
    /// What candle says of the copy.
    pub fn dense(tensor: &Tensor) -> Result<Self> {
        let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()?;
        Self::new(tensor.dims().to_vec(), Positions::All, Values::F32(values), Order::RowMajor)
    }

    /// Which entries are stored.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What they hold, one value per slot.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The order of the walk.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Entries of the dense weight.
    pub fn n_entries(&self) -> usize {
        self.shape.iter().product()
    }

    /// Stored slots, fillers included.
    pub fn n_slots(&self) -> usize {
        self.values.len()
    }

    /// Slots that do not hold +0.0; in gap-coded positions the others are fillers.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when a coded stream turns out to be.
    pub fn n_nonzero(&self) -> Result<usize> {
        self.entries().try_fold(0, |n, entry| Ok(n + usize::from(entry?.1.to_bits() != 0)))
    }

    /// The flat row-major position of each slot, in the order of the walk.
    pub fn indices(&self) -> impl Iterator<Item = Result<usize>> + '_ {
        let walk = self.walk();
        self.positions.indices(self.n_entries()).map(move |step| step.map(|step| walk.flat(step)))
    }

    /// Flat row-major position and value of each slot, in the order of the walk; fillers come as zeros.
    ///
    /// Streams are decoded a block at a time, nothing dense is built.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            steps: self.positions.indices(self.n_entries()),
            values: self.values.reader(&self.shape),
            walk: self.walk(),
        }
    }

    /// The dense weight, flat and row-major.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when a coded stream turns out to be,
    /// [`InvalidArgument`](Error::InvalidArgument) when there is no memory for it.
    pub fn to_dense_vec(&self) -> Result<Vec<f32>> {
        let n_entries = self.n_entries();
        let mut dense = Vec::new();
        if dense.try_reserve_exact(n_entries).is_err() {
            return Err(Error::invalid(
                "shape of stored weight",
                "one that fits memory",
                format!("{:?}", self.shape),
            ));
        }
        if let (Positions::All, Values::F32(values), Order::RowMajor) =
            (&self.positions, &self.values, self.order)
        {
            dense.extend_from_slice(values);
            return Ok(dense);
        }
        dense.resize(n_entries, 0.0);
        for entry in self.entries() {
            let (flat, value) = entry?;
            // The span was checked when the positions were made; a stream that decodes differently now is corrupt.
            *dense
                .get_mut(flat)
                .ok_or_else(|| Error::corrupt("stored weight", "a position beyond the shape"))? = value;
        }
        Ok(dense)
    }

    /// The same weight with its integer streams replaced: `f` gets each and returns one that holds the same symbols.
    ///
    /// This is how an entropy coder comes in: positions and values stay what they are. The symbols are compared.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when a stream comes back with other symbols, and what `f` says.
    pub fn map_streams<F>(&self, mut f: F) -> Result<Self>
    where
        F: FnMut(StreamRole, &Arc<dyn Symbols>) -> Result<Arc<dyn Symbols>>,
    {
        let mut replace = |role, old: &Arc<dyn Symbols>| {
            let new = f(role, old)?;
            if new.len() != old.len() || new.to_vec()? != old.to_vec()? {
                return Err(Error::invalid(
                    "replaced stream",
                    "the same symbols",
                    format!("{role:?} with others"),
                ));
            }
            Ok(new)
        };
        let positions = match &self.positions {
            Positions::Gaps(gaps) => {
                Positions::Gaps(Gaps::new(gaps.bits(), replace(StreamRole::Gaps, gaps.skips())?)?)
            }
            Positions::Blocks(blocks) => {
                let skips = replace(StreamRole::Gaps, blocks.skips())?;
                Positions::Blocks(Blocks::new(blocks.size(), blocks.bits(), skips)?)
            }
            Positions::All | Positions::Mask(_) => self.positions.clone(),
        };
        let values = match &self.values {
            Values::Affine(affine) => {
                let codes = replace(StreamRole::Values, affine.codes())?;
                Values::Affine(Affine::new(affine.grid().clone(), codes)?)
            }
            Values::Codebook(codebook) => {
                let indices = replace(StreamRole::Values, codebook.indices())?;
                Values::Codebook(Codebook::new(codebook.table().to_vec(), indices)?)
            }
            Values::F32(_) | Values::Half(_) => self.values.clone(),
        };
        Self::new(self.shape.clone(), positions, values, self.order)
    }

    pub(crate) fn walk(&self) -> Walk {
        Walk::new(&self.shape, self.order)
    }
}

impl WeightTensor for StoredWeight {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn to_dense(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.to_dense_vec()?, self.shape.as_slice(), device)?)
    }

    fn footprint(&self) -> Footprint {
        let (positions, position_tables) = self.positions.footprint();
        let (values, value_tables) = self.values.footprint();
        Footprint { values, positions, tables_bits: position_tables + value_tables, headers_bits: 0 }
    }
}

/// Flat position and value of each slot, in the order of the walk.
#[derive(Debug)]
pub struct Entries<'a> {
    steps: Indices<'a>,
    values: ValueReader<'a>,
    walk: Walk,
}

impl Iterator for Entries<'_> {
    type Item = Result<(usize, f32)>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        Some(step.and_then(|step| {
            let flat = self.walk.flat(step);
            Ok((flat, self.values.next(flat)?))
        }))
    }
}
