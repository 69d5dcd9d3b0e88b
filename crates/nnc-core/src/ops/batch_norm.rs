//! Batch normalisation, in training and in evaluation.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared, shaped};
use super::backward::Slot;
use super::parallel::for_each;
use crate::{Error, Result};

/// The mean and variance of each channel over one batch.
#[derive(Clone, Debug)]
pub struct BatchMoments {
    /// Shape (C).
    pub mean: Tensor,
    /// Shape (C): the mean squared deviation, what the batch is normalised by.
    pub variance: Tensor,
    /// Elements of a channel in the batch.
    pub count: usize,
}

impl BatchMoments {
    /// The variance with divisor `count − 1`, which PyTorch's running variance is an average of; shape (C).
    ///
    /// # Errors
    /// None in practice: a multiplication.
    #[allow(clippy::cast_precision_loss, reason = "a ratio near 1")]
    pub fn unbiased_variance(&self) -> Result<Tensor> {
        let ratio = self.count as f64 / self.count.saturating_sub(1).max(1) as f64;
        Ok((&self.variance * ratio)?)
    }
}

/// `(x − mean) / √(variance + ε) · scale + shift` with the batch's own moments, for `x` (B, C, …), `scale` and `shift` (C).
///
/// Also returns the moments, for the running averages; no gradient flows through them.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) where shapes or dtypes do
/// not agree, or a channel has no element.
///
/// # Source
/// Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1 and the gradients below it.
pub fn batch_norm_train(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    epsilon: f32,
) -> Result<(Tensor, BatchMoments)> {
    let sizes = Sizes::of(x)?;
    if sizes.count() == 0 {
        return Err(Error::invalid("x", "at least one element in a channel", format!("{:?}", x.dims())));
    }
    let moments = Arc::new(OnceLock::new());
    let op = BatchNorm { sizes, epsilon, moments: Arc::clone(&moments), batch: true };
    let y = op.apply(x, scale, shift)?;
    let Some(moments) = moments.get() else { unreachable!("the forward pass has run") };
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu);
    let (mean, variance) = (tensor(&moments.mean)?, tensor(&moments.variance)?);
    Ok((y, BatchMoments { mean, variance, count: sizes.count() }))
}

/// `(x − mean) / √(variance + ε) · scale + shift` with given moments of shape (C), which get no gradient.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) where shapes or dtypes do
/// not agree.
pub fn batch_norm_eval(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    epsilon: f32,
) -> Result<Tensor> {
    let sizes = Sizes::of(x)?;
    let values =
        |what, tensor| -> Result<Vec<f32>> { Ok(shaped(what, tensor, &[sizes.channels])?.to_vec1()?) };
    let moments = Moments { mean: values("mean", mean)?, variance: values("variance", variance)? };
    BatchNorm { sizes, epsilon, moments: Arc::new(OnceLock::from(moments)), batch: false }
        .apply(x, scale, shift)
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    channels: usize,
    plane: usize,
}

impl Sizes {
    fn of(x: &Tensor) -> Result<Self> {
        match *x.dims() {
            [batch, channels, ref rest @ ..] => Ok(Self { batch, channels, plane: rest.iter().product() }),
            ref dims => Err(Error::invalid("x", "at least 2 dimensions (B, C, …)", format!("{dims:?}"))),
        }
    }

    fn count(&self) -> usize {
        self.batch * self.plane
    }

    fn work(&self) -> usize {
        8 * self.channels * self.count()
    }

    /// Where the elements of a channel lie, image by image.
    fn planes(self, channel: usize) -> impl Iterator<Item = Range<usize>> {
        (0..self.batch).map(move |image| {
            let start = (image * self.channels + channel) * self.plane;
            start..start + self.plane
        })
    }
}

struct Moments {
    mean: Vec<f32>,
    variance: Vec<f32>,
}

struct BatchNorm {
    sizes: Sizes,
    epsilon: f32,
    moments: Arc<OnceLock<Moments>>,
    /// Whether the moments are those of the batch, so that the gradient flows through them.
    batch: bool,
}

impl BatchNorm {
    fn apply(self, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let channels = [self.sizes.channels];
        let (scale, shift) = (shaped("scale", scale, &channels)?, shaped("shift", shift, &channels)?);
        Ok(prepared("x", x)?.apply_op3(&scale, &shift, self)?)
    }

    /// For each channel `f(channel)`, in parallel where it pays.
    fn per_channel<T: Send + Default + Clone>(&self, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let mut out = vec![T::default(); self.sizes.channels];
        for_each(out.iter_mut().enumerate(), self.sizes.work(), |(channel, out): (usize, &mut T)| {
            *out = f(channel);
        });
        out
    }

    /// Mean and variance of each channel of `x`, in two passes.
    fn batch_moments(&self, x: &[f32]) -> Moments {
        #[allow(clippy::cast_precision_loss, reason = "an element count")]
        let count = self.sizes.count() as f64;
        let sum = |channel, f: &dyn Fn(f32) -> f32| -> f64 {
            self.sizes.planes(channel).map(|plane| f64::from(lane_sum(&x[plane], f))).sum()
        };
        #[allow(clippy::cast_possible_truncation, reason = "f64 sums, rounded to f32 once")]
        let (mean, variance) = self
            .per_channel(|channel| {
                let mean = (sum(channel, &|x| x) / count) as f32;
                (mean, (sum(channel, &|x| (x - mean) * (x - mean)) / count) as f32)
            })
            .into_iter()
            .unzip();
        Moments { mean, variance }
    }

    fn inverse_deviation(&self, moments: &Moments, channel: usize) -> f32 {
        1.0 / (moments.variance[channel] + self.epsilon).sqrt()
    }

    fn forward(&self, x: &[f32], scale: &[f32], shift: &[f32]) -> Vec<f32> {
        let moments = self.moments.get_or_init(|| self.batch_moments(x));
        let plane = self.sizes.plane.max(1);
        let mut y = vec![0.0; x.len()];
        let tasks = y.chunks_mut(plane).zip(x.chunks(plane)).enumerate();
        for_each(tasks, self.sizes.work(), |(i, (y, x))| {
            let channel = i % self.sizes.channels;
            let (factor, mean) =
                (scale[channel] * self.inverse_deviation(moments, channel), moments.mean[channel]);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * factor + shift[channel]);
        });
        y
    }

    /// Σ dy and Σ dy · x̂ of each channel: the gradients of shift and scale.
    fn sums(&self, x: &[f32], grad: &[f32], moments: &Moments) -> Vec<(f32, f32)> {
        self.per_channel(|channel| {
            let (mean, inverse) = (moments.mean[channel], self.inverse_deviation(moments, channel));
            let (mut shift, mut scale) = (0.0_f64, 0.0_f64);
            for plane in self.sizes.planes(channel) {
                let (x, grad) = (&x[plane.clone()], &grad[plane]);
                shift += f64::from(super::kernel::rows::sum(grad));
                scale += f64::from(lane_dot(x, grad, mean));
            }
            #[allow(clippy::cast_possible_truncation, reason = "f64 sums, rounded to f32 once")]
            let sums = (shift as f32, (scale * f64::from(inverse)) as f32);
            sums
        })
    }
}

/// Σ f(x) in 16 running sums.
fn lane_sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, tail) = x.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += f(*x));
    }
    lanes.iter().sum::<f32>() + tail.iter().map(|x| f(*x)).sum::<f32>()
}

/// Σ (x − mean) · grad in 16 running sums.
fn lane_dot(x: &[f32], grad: &[f32], mean: f32) -> f32 {
    let ((chunks, tail), (grad_chunks, grad_tail)) = (x.as_chunks::<16>(), grad.as_chunks::<16>());
    let mut lanes = [0.0_f32; 16];
    for (x, grad) in chunks.iter().zip(grad_chunks) {
        lanes.iter_mut().zip(x.iter().zip(grad)).for_each(|(lane, (x, grad))| *lane += (x - mean) * grad);
    }
    lanes.iter().sum::<f32>() + tail.iter().zip(grad_tail).map(|(x, grad)| (x - mean) * grad).sum::<f32>()
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        scale: &CpuStorage,
        l_scale: &Layout,
        shift: &CpuStorage,
        l_shift: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let y = self.forward(floats(x, lx)?, floats(scale, l_scale)?, floats(shift, l_shift)?);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let mut slots = [Slot::of(x), Slot::of(scale), Slot::of(shift)];
        let moments = self.moments.get().expect("the forward pass comes first");
        {
            let (x, factors, grad) = (Floats::of(x)?, Floats::of(scale)?, Floats::of(&grad)?);
            let sums = self.sums(&x, &grad, moments);
            let [slot_x, slot_scale, slot_shift] = &mut slots;
            if let Some(slot) = slot_shift {
                slot.values.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum.0);
            }
            if let Some(slot) = slot_scale {
                slot.values.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum.1);
            }
            if let Some(slot) = slot_x {
                self.input_gradient(&x, &grad, &factors, moments, &sums, &mut slot.values);
            }
        }
        let [slot_x, slot_scale, slot_shift] = slots;
        let deliver = |slot: Option<Slot>, arg| slot.map_or(Ok(None), |slot| slot.deliver(arg));
        Ok((deliver(slot_x, x)?, deliver(slot_scale, scale)?, deliver(slot_shift, shift)?))
    }
}

impl BatchNorm {
    fn input_gradient(
        &self,
        x: &[f32],
        grad: &[f32],
        scale: &[f32],
        moments: &Moments,
        sums: &[(f32, f32)],
        out: &mut [f32],
    ) {
        let plane = self.sizes.plane.max(1);
        #[allow(clippy::cast_precision_loss, reason = "an element count")]
        let share = if self.batch { 1.0 / self.sizes.count() as f32 } else { 0.0 };
        let tasks = out.chunks_mut(plane).zip(x.chunks(plane).zip(grad.chunks(plane))).enumerate();
        for_each(tasks, self.sizes.work(), |(i, (out, (x, grad)))| {
            let channel = i % self.sizes.channels;
            let (mean, inverse) = (moments.mean[channel], self.inverse_deviation(moments, channel));
            let (constant, slope) = (sums[channel].0 * share, sums[channel].1 * share * inverse);
            let factor = scale[channel] * inverse;
            for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
                *out += factor * (grad - constant - (x - mean) * slope);
            }
        });
    }
}
