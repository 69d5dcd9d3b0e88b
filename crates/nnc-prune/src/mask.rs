//! Which entries of a weight are kept.

use bitvec::prelude::*;
use nnc_core::candle::{Device, Tensor};
use nnc_core::weight::{Order, Positions, StoredWeight, Values};
use nnc_core::{Error, Result};

/// One bit per entry of a weight, in row-major order: kept or pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    shape: Vec<usize>,
    kept: BitVec<u64, Lsb0>,
}

impl Mask {
    /// The mask of `shape` that keeps the flat indices for which `keep` says so.
    pub fn from_fn(shape: &[usize], keep: impl FnMut(usize) -> bool) -> Self {
        let n: usize = shape.iter().product();
        Self { shape: shape.to_vec(), kept: (0..n).map(keep).collect() }
    }

    /// The mask that keeps everything.
    pub fn all(shape: &[usize]) -> Self {
        Self::from_fn(shape, |_| true)
    }

    /// The mask of `shape` with the given bits, the lowest of each word first; bits past the end are dropped.
    ///
    /// # Panics
    /// When there are not as many words as the entries fill.
    pub(crate) fn from_words(shape: &[usize], words: Vec<u64>) -> Self {
        let n: usize = shape.iter().product();
        assert_eq!(words.len(), n.div_ceil(64), "one bit per entry");
        let mut kept = BitVec::from_vec(words);
        kept.truncate(n);
        // Equality and hashing look at bits, but whoever reads the words must find zeros.
        kept.set_uninitialized(false);
        Self { shape: shape.to_vec(), kept }
    }

    /// The bits, the lowest of each word first; those past the end are 0.
    pub(crate) fn words(&self) -> &[u64] {
        self.kept.as_raw_slice()
    }

    /// The weight's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether the weight has no entries at all.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether the entry at `flat_idx` is kept.
    ///
    /// # Panics
    /// When `flat_idx` is out of range.
    pub fn keeps(&self, flat_idx: usize) -> bool {
        self.kept[flat_idx]
    }

    /// Prunes the entry at `flat_idx`.
    ///
    /// # Panics
    /// When `flat_idx` is out of range.
    pub fn prune(&mut self, flat_idx: usize) {
        self.kept.set(flat_idx, false);
    }

    /// How many entries are kept.
    pub fn n_kept(&self) -> usize {
        self.kept.count_ones()
    }

    /// Share of entries kept, in `[0, 1]`; 1 for an empty weight.
    pub fn density(&self) -> f64 {
        if self.is_empty() { 1.0 } else { self.n_kept() as f64 / self.len() as f64 }
    }

    /// The bits in row-major order.
    pub fn bits(&self) -> &BitSlice<u64, Lsb0> {
        &self.kept
    }

    /// The mask of the entries that both keep.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when the shapes differ.
    pub fn and(&self, other: &Self) -> Result<Self> {
        if self.shape != other.shape {
            return Err(Error::shape("mask", &self.shape, &other.shape));
        }
        Ok(Self { shape: self.shape.clone(), kept: self.kept.clone() & &other.kept })
    }

    /// `weight` with zeros where it is pruned.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when the shapes differ.
    pub fn apply(&self, weight: &Tensor) -> Result<Tensor> {
        if weight.dims() != self.shape {
            return Err(Error::shape("weight", &self.shape, weight.dims()));
        }
        let mut values = weight.flatten_all()?.to_vec1::<f32>()?;
        for flat_idx in self.kept.iter_zeros() {
            values[flat_idx] = 0.0;
        }
        Ok(Tensor::from_vec(values, self.shape.as_slice(), weight.device())?)
    }

    /// The mask as a tensor of ones and zeros.
    ///
    /// # Errors
    /// Those of making a tensor.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = self.kept.iter().map(|kept| f32::from(u8::from(*kept))).collect();
        Ok(Tensor::from_vec(values, self.shape.as_slice(), device)?)
    }

    /// The kept ones of `values` (flat, row-major) in their stored form: a bit mask and 32-bit floats.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when there are not as many values as entries.
    pub fn stored(&self, values: &[f32]) -> Result<StoredWeight> {
        if values.len() != self.len() {
            return Err(Error::invalid("values", format!("{}", self.len()), values.len()));
        }
        let kept = self.kept.iter_ones().map(|i| values[i]).collect();
        let mask = Positions::Mask(self.kept.iter().by_vals().collect());
        StoredWeight::new(self.shape.clone(), mask, Values::F32(kept), Order::RowMajor)
    }

    /// Reads a tensor back: what is not zero is kept.
    ///
    /// # Errors
    /// Those of reading a tensor.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(Self::from_fn(tensor.dims(), |i| values[i] != 0.0))
    }
}
