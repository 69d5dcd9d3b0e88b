//! The rectifier with a learned slope below zero.

use candle_core::{CpuStorage, CustomOp2, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared, shaped};
use super::backward::Slot;
use crate::Result;

/// `x` where positive, `slope · x` elsewhere, with one slope for each channel of `x` (B, C, …) or one for all.
///
/// `slope` has shape (C) or (1). The derivative at 0 is the slope, as in PyTorch.
///
/// # Errors
/// [`ShapeMismatch`](crate::Error::ShapeMismatch) where `slope` has another shape, [`InvalidArgument`](crate::Error::InvalidArgument)
/// for a dtype other than f32.
///
/// # Source
/// He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 1.
pub fn prelu(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let channels = if slope.elem_count() == 1 { 1 } else { x.dims().get(1).copied().unwrap_or(1) };
    let plane = if channels == 1 { x.elem_count() } else { x.dims().iter().skip(2).product() };
    Ok(prepared("x", x)?.apply_op2(&shaped("slope", slope, &[channels])?, PRelu { channels, plane })?)
}

struct PRelu {
    channels: usize,
    plane: usize,
}

impl CustomOp2 for PRelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        s: &CpuStorage,
        ls: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (x, slopes) = (floats(x, lx)?, floats(s, ls)?);
        let mut out = Vec::with_capacity(x.len());
        for (i, plane) in x.chunks(self.plane.max(1)).enumerate() {
            let slope = slopes[i % self.channels];
            out.extend(plane.iter().map(|&x| if x > 0.0 { x } else { slope * x }));
        }
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        slope: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (mut slot_x, mut slot_slope) = (Slot::of(x), Slot::of(slope));
        {
            let (x, slopes, grad) = (Floats::of(x)?, Floats::of(slope)?, Floats::of(&grad)?);
            let plane = self.plane.max(1);
            for (i, (x, grad)) in x.chunks(plane).zip(grad.chunks(plane)).enumerate() {
                let channel = i % self.channels;
                if let Some(slot) = &mut slot_x {
                    let out = &mut slot.values[i * plane..][..x.len()];
                    for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
                        *out += if *x > 0.0 { *grad } else { slopes[channel] * grad };
                    }
                }
                if let Some(slot) = &mut slot_slope {
                    let below = x.iter().zip(grad).filter(|(x, _)| **x <= 0.0);
                    #[allow(clippy::cast_possible_truncation, reason = "a sum of f32 products, rounded once")]
                    let sum = below.map(|(x, grad)| f64::from(*x) * f64::from(*grad)).sum::<f64>() as f32;
                    slot.values[channel] += sum;
                }
            }
        }
        Ok((
            slot_x.map_or(Ok(None), |slot| slot.deliver(x))?,
            slot_slope.map_or(Ok(None), |slot| slot.deliver(slope))?,
        ))
    }
}
