//! The operator of fake quantization.

use std::ops::Range;
use std::sync::Arc;

use nnc_core::Result;
use nnc_core::candle::{self, CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor};
use nnc_core::weight::Grouping;
use rayon::prelude::*;

use crate::affine::{QuantConfig, QuantParams, QuantRange, WeightGrid, ends};
use crate::floats::contiguous;

/// Numbers that one thread takes; fewer are not worth a second one.
const PIECE: usize = 1 << 17;

/// `x` of any shape with each number replaced by what its code stands for: S · (clamp(round(x / S + Z)) − Z).
///
/// The gradient passes where x is between the real numbers of the first and the last code, and is 0 outside. NaN stays NaN,
/// so that a training that has gone wrong shows it.
///
/// # Errors
/// [`Error::InvalidArgument`](nnc_core::Error::InvalidArgument) when the bits are not in 2..=16; candle's, when `x` is not
/// f32 on the CPU.
///
/// # Source
/// Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
/// 2018, §3 and equation 12; the straight-through gradient is that of Bengio, Léonard, Courville, 2013.
///
/// # Example
/// ```
/// use nnc_core::candle::{Device, Var};
/// use nnc_quant::affine::{Interval, QuantConfig};
/// use nnc_quant::fake_quant::fake_quantize;
///
/// let config = QuantConfig::affine(2);
/// let params = config.params(Interval::new(0.0, 6.0)?)?; // steps of 2
/// let x = Var::new(&[-1.0_f32, 0.5, 1.1, 5.2, 9.0], &Device::Cpu)?;
/// let y = fake_quantize(&x, &params, &config)?;
/// assert_eq!(y.to_vec1::<f32>()?, [0.0, 0.0, 2.0, 6.0, 6.0]);
/// let gradients = y.sum_all()?.backward()?;
/// assert_eq!(gradients.get(&x).expect("x is used").to_vec1::<f32>()?, [0.0, 1.0, 1.0, 1.0, 0.0]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn fake_quantize(x: &Tensor, params: &QuantParams, config: &QuantConfig) -> Result<Tensor> {
    let op = FakeQuantize { grid: Grid::One(*params), codes: config.codes()? };
    Ok(x.contiguous()?.apply_op1(op)?)
}

/// As [`fake_quantize`], for a weight with a scale per tensor, axis or group.
///
/// # Errors
/// [`Error::ShapeMismatch`](nnc_core::Error::ShapeMismatch) when the grid is of another shape, and those of
/// [`fake_quantize`].
pub fn fake_quantize_weight(weight: &Tensor, grid: &WeightGrid) -> Result<Tensor> {
    if weight.dims() != grid.shape() {
        return Err(nnc_core::Error::shape("weight on a grid", grid.shape(), weight.dims()));
    }
    let params = Arc::from(grid.params());
    let op = FakeQuantize { grid: Grid::Many(*grid.grouping(), params), codes: grid.config().codes()? };
    Ok(weight.contiguous()?.apply_op1(op)?)
}

#[derive(Debug)]
struct FakeQuantize {
    grid: Grid,
    codes: QuantRange,
}

#[derive(Debug)]
enum Grid {
    One(QuantParams),
    Many(Grouping, Arc<[QuantParams]>),
}

impl Grid {
    /// Pieces of neighbours with one scale, for a tensor of `n` numbers.
    fn pieces(&self, n: usize) -> Vec<(QuantParams, Range<usize>)> {
        let cut = |(params, run): (QuantParams, Range<usize>)| {
            let starts = run.clone().step_by(PIECE);
            starts.map(move |start| (params, start..run.end.min(start + PIECE)))
        };
        match self {
            Self::One(params) => cut((*params, 0..n)).collect(),
            Self::Many(grouping, params) => {
                grouping.runs().map(|(group, run)| (params[group], run)).flat_map(cut).collect()
            }
        }
    }

    /// Calls `run` with each piece of `values` and of a new vector of as many numbers.
    fn map(&self, values: &[f32], run: impl Fn(&QuantParams, Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        let mut rest = out.as_mut_slice();
        let mut tasks = Vec::new();
        for (params, range) in self.pieces(values.len()) {
            let (piece, behind) = rest.split_at_mut(range.len());
            rest = behind;
            tasks.push((params, range, piece));
        }
        if values.len() <= PIECE {
            tasks.into_iter().for_each(|(params, range, piece)| run(&params, range, piece));
        } else {
            tasks.into_par_iter().for_each(|(params, range, piece)| run(&params, range, piece));
        }
        out
    }
}

/// What the codes of `x` stand for; the loop that the compiler makes vectors of.
fn round_to_codes(x: &[f32], params: &QuantParams, codes: QuantRange, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        let back = params.dequantize(params.quantize(x, codes));
        *out = if x.is_nan() { x } else { back };
    }
}

/// `gradient` where `x` is between the ends, else 0.
fn pass_inside(x: &[f32], gradient: &[f32], (low, high): (f32, f32), out: &mut [f32]) {
    for ((out, &x), &gradient) in out.iter_mut().zip(x).zip(gradient) {
        // NaN is outside nothing: it passes its gradient on.
        *out = if x < low || x > high { 0.0 } else { gradient };
    }
}

impl CustomOp1 for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake-quantize"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle::Result<(CpuStorage, Shape)> {
        let x = contiguous(storage, layout)?;
        let rounded =
            self.grid.map(x, |params, range, out| round_to_codes(&x[range], params, self.codes, out));
        Ok((CpuStorage::F32(rounded), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _rounded: &Tensor, gradient: &Tensor) -> candle::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let passed = {
            let ((x, x_layout), (gradient, layout)) = (x.storage_and_layout(), gradient.storage_and_layout());
            let (Storage::Cpu(x), Storage::Cpu(gradient)) = (&*x, &*gradient) else {
                candle::bail!("fake-quantize has a CPU kernel only")
            };
            let (x, gradient) = (contiguous(x, x_layout)?, contiguous(gradient, layout)?);
            self.grid.map(x, |params, range, out| {
                let ends = ends(params, self.codes);
                pass_inside(&x[range.clone()], &gradient[range], ends, out);
            })
        };
        Tensor::from_vec(passed, x.dims(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests;
