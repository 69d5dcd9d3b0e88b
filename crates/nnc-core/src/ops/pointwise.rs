//! Functions of one element: activations and their derivatives.

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared};
use super::backward::deliver;
use super::kernel::pointwise::positive;
use super::parallel::for_each;
use crate::{Error, Result};

/// A function of one element and its derivative.
trait Pointwise: Copy + Send + Sync + 'static {
    const NAME: &'static str;

    fn value(self, x: f32) -> f32;

    /// The derivative at `x`, where the value is `y`.
    fn slope(self, x: f32, y: f32) -> f32;
}

macro_rules! pointwise {
    ($(#[$doc:meta])* $visibility:vis $function:ident, $Type:ident { $($field:ident),* }, $value:expr, $slope:expr) => {
        #[derive(Clone, Copy)]
        struct $Type { $($field: f32),* }

        impl Pointwise for $Type {
            const NAME: &'static str = stringify!($function);

            #[inline]
            fn value(self, x: f32) -> f32 {
                let value: fn(Self, f32) -> f32 = $value;
                value(self, x)
            }

            #[inline]
            fn slope(self, x: f32, y: f32) -> f32 {
                let slope: fn(Self, f32, f32) -> f32 = $slope;
                slope(self, x, y)
            }
        }

        $(#[$doc])*
        ///
        /// # Errors
        /// [`InvalidArgument`](Error::InvalidArgument) for a dtype other than f32.
        $visibility fn $function(x: &Tensor $(, $field: f32)*) -> Result<Tensor> {
            apply(x, $Type { $($field),* })
        }
    };
}

pointwise!(
    /// `max(x, 0)`; the derivative at 0 is 0.
    pub relu, Relu {}, |_, x| positive(x), |_, _, y| if y <= 0.0 { 0.0 } else { 1.0 }
);
pointwise!(
    /// `min(max(x, 0), 6)`; the derivative at 0 and at 6 is 0, as in PyTorch's `relu6`.
    pub relu6, Relu6 {}, |_, x| clamped(x, 0.0, 6.0), |_, x, _| if x <= 0.0 || x >= 6.0 { 0.0 } else { 1.0 }
);
pointwise!(
    /// `|x|`; the derivative at 0 is 0.
    pub abs, Abs {}, |_, x| x.abs(), |_, x, _| if x == 0.0 { 0.0 } else { x.signum() }
);
pointwise!(
    /// The hyperbolic tangent.
    pub tanh, Tanh {}, |_, x| x.tanh(), |_, _, y| 1.0 - y * y
);
pointwise!(
    /// `1 / (1 + e^−x)`.
    pub sigmoid, Sigmoid {}, |_, x| 1.0 / (1.0 + (-x).exp()), |_, _, y| y * (1.0 - y)
);
pointwise!(
    /// `x · relu6(x + 3) / 6`; the derivative is 0 at −3 and 1 at 3.
    ///
    /// # Source
    /// Howard et al., "Searching for MobileNetV3", ICCV 2019, §5.2.
    pub hard_swish, HardSwish {},
    |_, x| x * clamped(x + 3.0, 0.0, 6.0) / 6.0,
    |_, x, _| if x <= -3.0 { 0.0 } else if x >= 3.0 { 1.0 } else { x / 3.0 + 0.5 }
);
pointwise!(
    /// `min(max(x, low), high)` with derivative 1 inside and at both bounds, 0 outside, as PyTorch's `clamp`.
    clip_between, Clip { low, high },
    |clip, x| clamped(x, clip.low, clip.high),
    |clip, x, _| if x < clip.low || x > clip.high { 0.0 } else { 1.0 }
);

/// `min(max(x, low), high)` with derivative 1 inside and at both bounds, 0 outside, as PyTorch's `clamp`.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for `low > high`, a NaN bound, or a dtype other than f32.
pub fn clip(x: &Tensor, low: f32, high: f32) -> Result<Tensor> {
    if low <= high {
        clip_between(x, low, high)
    } else {
        Err(Error::invalid("low", format!("at most `high`, {high}"), low))
    }
}

#[inline]
fn clamped(x: f32, low: f32, high: f32) -> f32 {
    // Not `f32::clamp`, which panics on bad bounds and so keeps the loop from being vectorised; NaN stays NaN.
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Elements that one task handles.
const TASK: usize = 32 << 10;

/// An element's cost in multiply-adds, about: reading and writing memory.
const WORK: usize = 8;

fn apply(x: &Tensor, function: impl Pointwise) -> Result<Tensor> {
    Ok(prepared("x", x)?.apply_op1(Map(function))?)
}

struct Map<F>(F);

impl<F: Pointwise> CustomOp1 for Map<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut out = vec![0.0; x.len()];
        let tasks = out.chunks_mut(TASK).zip(x.chunks(TASK));
        for_each(tasks, WORK * x.len(), |(out, x)| {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = self.0.value(*x));
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (values, y, grad) = (Floats::of(x)?, Floats::of(y)?, Floats::of(&grad)?);
        deliver(x, |out, _| {
            let inputs = values.chunks(TASK).zip(y.chunks(TASK)).zip(grad.chunks(TASK));
            let tasks = out.chunks_mut(TASK).zip(inputs);
            for_each(tasks, WORK * y.len(), |(out, ((x, y), grad))| {
                for (((out, x), y), grad) in out.iter_mut().zip(x).zip(y).zip(grad) {
                    *out += self.0.slope(*x, *y) * grad;
                }
            });
            Ok(())
        })
    }
}
