//! Weights to stored codes and back.

use std::sync::Arc;

use nnc_core::candle::Tensor;
use nnc_core::weight::{
    Affine, AffineGrid, Granularity, Grouping, PackedSymbols, StoredWeight, Values, WeightTensor,
};
use nnc_core::{Error, Result};

use super::{QuantConfig, QuantParams};
use crate::floats::with_floats;
use crate::observer::{Observer, RangeMethod};

/// The scales and zero points of a weight of one shape.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Tensor};
/// use nnc_core::weight::{Granularity, WeightTensor};
/// use nnc_quant::affine::{QuantConfig, WeightGrid};
/// use nnc_quant::observer::RangeMethod;
///
/// let weight = Tensor::new(&[[1.0_f32, -0.3, 0.0], [0.05, 0.1, 0.0]], &Device::Cpu)?;
/// let per_channel = Granularity::PerAxis { axis: 0 };
/// let grid = WeightGrid::fit(&weight, QuantConfig::restricted(4), per_channel, RangeMethod::MinMax)?;
/// let stored = grid.quantize(&weight)?;
/// // One scale a row: 1/7 and 0.1/7.
/// let dense = stored.to_dense_vec()?;
/// assert_eq!(dense, [7.0 / 7.0, -2.0 / 7.0, 0.0, 4.0 * (0.1 / 7.0), 7.0 * (0.1 / 7.0), 0.0]);
/// // Six codes of 4 bits, two scales of 32, one zero point in a byte.
/// assert_eq!((stored.footprint().values.bits, stored.footprint().tables_bits), (24, 72));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WeightGrid {
    config: QuantConfig,
    granularity: Granularity,
    shape: Vec<usize>,
    grouping: Grouping,
    params: Vec<QuantParams>,
}

impl WeightGrid {
    /// The grid whose scales `method` finds, each from the entries that share it.
    ///
    /// A moving average is refused: a weight has no batches.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when an entry is not finite, the weight is empty, bits or the method's setting are out
    /// of range, or the granularity does not fit the shape.
    pub fn fit(
        weight: &Tensor,
        config: QuantConfig,
        granularity: Granularity,
        method: RangeMethod,
    ) -> Result<Self> {
        let fit = |values: &[f32]| Self::fit_values(values, weight.dims(), config, granularity, method);
        with_floats("weight", weight, fit)
    }

    fn fit_values(
        values: &[f32],
        shape: &[usize],
        config: QuantConfig,
        granularity: Granularity,
        method: RangeMethod,
    ) -> Result<Self> {
        if matches!(method, RangeMethod::MovingAverage { .. }) {
            return Err(Error::invalid("method for a weight", "one without batches", "moving average"));
        }
        let grouping = granularity.grouping(shape)?;
        let mut groups = vec![Vec::new(); granularity.n_scales(shape)?];
        grouping.runs().for_each(|(group, run)| groups[group].push(run));
        // One observer at a time: a histogram is larger than most groups.
        let params = groups.into_iter().map(|runs| {
            let mut observer = Observer::new(method)?;
            runs.into_iter().try_for_each(|run| observer.observe(&values[run]))?;
            config.params(observer.interval(&config)?)
        });
        let params = params.collect::<Result<_>>()?;
        Ok(Self { config, granularity, shape: shape.to_vec(), grouping, params })
    }

    /// The grid of a weight that is stored on one.
    ///
    /// The scheme is [`Affine`](super::Scheme::Affine): stored codes have no sign.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when its values are no affine codes.
    pub fn of_stored(stored: &StoredWeight) -> Result<Self> {
        let Values::Affine(affine) = stored.values() else {
            return Err(Error::invalid("stored weight", "affine codes", "other values"));
        };
        let (grid, shape) = (affine.grid(), stored.shape().to_vec());
        let params = grid
            .scales()
            .iter()
            .enumerate()
            .map(|(group, &scale)| QuantParams { scale, zero_point: i32::from(grid.zero_point(group)) });
        Ok(Self {
            config: QuantConfig::affine(grid.bits()),
            granularity: grid.granularity(),
            grouping: grid.granularity().grouping(&shape)?,
            params: params.collect(),
            shape,
        })
    }

    /// Bits and scheme of the codes.
    pub fn config(&self) -> QuantConfig {
        self.config
    }

    /// The shape of the weights.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Which entries share a scale.
    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// Scale and zero point by scale index.
    pub fn params(&self) -> &[QuantParams] {
        &self.params
    }

    /// `weight` in its stored form: a code for every entry.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when it has another shape than the grid; [`Error::InvalidArgument`] for NaN.
    pub fn quantize(&self, weight: &Tensor) -> Result<StoredWeight> {
        self.quantize_stored(&StoredWeight::dense(weight)?)
    }

    /// `stored` with codes in place of its floats; the positions stay, so a mask's zeros cost no code.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] when it has another shape than the grid; [`Error::InvalidArgument`] for NaN, and when its
    /// values are shared or quantized already: that would undo another method's work.
    pub fn quantize_stored(&self, stored: &StoredWeight) -> Result<StoredWeight> {
        if stored.shape() != self.shape {
            return Err(Error::shape("weight on a grid", &self.shape, stored.shape()));
        }
        if !matches!(stored.values(), Values::F32(_) | Values::Half(_)) {
            return Err(Error::invalid("stored weight", "floats to quantize", "codes of another method"));
        }
        let (codes, offset) = (self.config.codes()?, self.config.stored_offset());
        let mut symbols = Vec::with_capacity(stored.n_slots());
        for entry in stored.entries() {
            let (flat, value) = entry?;
            if value.is_nan() {
                return Err(Error::invalid("weight", "numbers", format!("NaN at flat index {flat}")));
            }
            let code = self.params[self.grouping.of(flat)].quantize(value, codes) + offset;
            symbols.push(unsigned(code));
        }
        let packed = PackedSymbols::from_symbols(self.config.bits, &symbols)?;
        let values = Values::Affine(Affine::new(self.stored_grid()?, Arc::new(packed))?);
        StoredWeight::new(self.shape.clone(), stored.positions().clone(), values, stored.order())
    }

    /// The table that is stored with the codes.
    fn stored_grid(&self) -> Result<AffineGrid> {
        let offset = self.config.stored_offset();
        let zero =
            |params: &QuantParams| u16::try_from(params.zero_point + offset).expect("a zero point is a code");
        let mut zero_points: Vec<u16> = self.params.iter().map(zero).collect();
        if offset != 0 {
            // Symmetric: all the same.
            zero_points.truncate(1);
        }
        let scales = self.params.iter().map(|params| params.scale).collect();
        AffineGrid::new(self.config.bits, self.granularity, scales, zero_points)
    }
}

/// A code as it is stored.
fn unsigned(code: i32) -> u16 {
    u16::try_from(code).expect("a code of at most 16 bits, counted from the first or from −2^(b−1)")
}
