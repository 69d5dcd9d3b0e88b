//! Dropout whose mask is a function of a seeded stream.

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared};
use super::backward::deliver;
use crate::rng::Rng;
use crate::{Error, Result};

/// Sets each element of `x` to zero with probability `p` and scales the others so that the mean stays (inverted dropout).
///
/// Element `i` is dropped when bytes `2i, 2i + 1` of `rng` (little-endian) are below the threshold `round(p · 2^16)`;
/// the scale is that of the probability so rounded. The mask depends on the stream alone.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for `p` outside of `[0, 1)` or so near to 1 that all would be dropped,
/// and for a dtype other than f32.
///
/// # Source
/// Srivastava et al., "Dropout", JMLR 2014, §4; inverted as its §10 describes.
pub fn dropout(x: &Tensor, p: f32, mut rng: Rng) -> Result<Tensor> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "p < 1, so p · 2^16 fits a u32"
    )]
    let threshold = if (0.0..1.0).contains(&p) { (p * 65536.0).round() as u32 } else { u32::MAX };
    let Ok(threshold) = u16::try_from(threshold) else {
        return Err(Error::invalid("p", "0 ≤ p < 1 − 2^-17", p));
    };
    if threshold == 0 {
        return Ok(x.clone());
    }
    let mut bytes = vec![0; 2 * x.elem_count()];
    rng.fill(&mut bytes);
    let kept = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u8::from(u16::from_le_bytes(*pair) >= threshold))
        .collect();
    let scale = 65536.0 / (65536.0 - f32::from(threshold));
    Ok(prepared("x", x)?.apply_op1(Dropout { kept, scale })?)
}

struct Dropout {
    /// 1 for an element that is kept, 0 for one that is dropped.
    kept: Vec<u8>,
    scale: f32,
}

impl Dropout {
    fn factor(&self, kept: u8) -> f32 {
        if kept == 0 { 0.0 } else { self.scale }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let out = x.iter().zip(&self.kept).map(|(x, &kept)| x * self.factor(kept)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let grad = Floats::of(&grad)?;
        deliver(x, |out, _| {
            for ((out, grad), &kept) in out.iter_mut().zip(&*grad).zip(&self.kept) {
                *out += grad * self.factor(kept);
            }
            Ok(())
        })
    }
}
