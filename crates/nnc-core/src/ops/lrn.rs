//! Local response normalisation across channels.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::args::{Floats, floats, image};
use super::backward::deliver;
use super::parallel::for_each;
use super::scratch::Scratch;
use crate::{Error, Result};

/// The settings of a local response normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrnConfig {
    /// Channels that are summed over, at least 1.
    pub size: usize,
    /// The weight of their mean square.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// What is added to the mean square.
    pub k: f32,
}

impl LrnConfig {
    /// 5 channels, α = 5 · 10⁻⁴ (10⁻⁴ for each), β = 0.75, k = 2: AlexNet's.
    ///
    /// # Source
    /// Krizhevsky, Sutskever, Hinton, NIPS 2012, §3.3. The paper's α multiplies the sum, ours the mean, as in PyTorch.
    pub fn alexnet() -> Self {
        Self { size: 5, alpha: 5e-4, beta: 0.75, k: 2.0 }
    }
}

/// `x / (k + α · mean of x² over `size` channels around each)^β` for `x` (B, C, H, W), zeros beyond the channels' ends.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for another rank or dtype, or a size of 0.
///
/// # Source
/// PyTorch's `local_response_norm`: for an even size the window reaches one channel further down than up.
pub fn local_response_norm(x: &Tensor, config: &LrnConfig) -> Result<Tensor> {
    let (x, [_, channels, height, width]) = image("x", x)?;
    if config.size == 0 {
        return Err(Error::invalid("size", "at least 1", 0));
    }
    Ok(x.apply_op1(Lrn { channels, plane: height * width, config: *config })?)
}

struct Lrn {
    channels: usize,
    plane: usize,
    config: LrnConfig,
}

impl Lrn {
    #[allow(clippy::cast_precision_loss, reason = "a few channels")]
    fn weight(&self) -> f32 {
        self.config.alpha / self.config.size as f32
    }

    /// The channels that `channel` is normalised by.
    fn window(&self, channel: usize) -> Range<usize> {
        let below = self.config.size / 2;
        channel.saturating_sub(below)..(channel + self.config.size - below).min(self.channels)
    }

    /// Whom `channel` normalises: the transposed window.
    fn transposed_window(&self, channel: usize) -> Range<usize> {
        let above = self.config.size - self.config.size / 2 - 1;
        channel.saturating_sub(above)..(channel + self.config.size / 2 + 1).min(self.channels)
    }

    fn image_len(&self) -> usize {
        (self.channels * self.plane).max(1)
    }

    fn work(&self, elements: usize) -> usize {
        elements * (self.config.size + 32)
    }

    /// `k + α · mean square` of each element of one image.
    fn denominators(&self, x: &[f32], out: &mut [f32]) {
        let plane = self.plane.max(1);
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            out.fill(0.0);
            for other in self.window(channel) {
                let squares = x[other * plane..][..plane].iter().map(|x| x * x);
                out.iter_mut().zip(squares).for_each(|(out, square)| *out += square);
            }
            out.iter_mut().for_each(|out| *out = self.config.k + self.weight() * *out);
        }
    }

    /// Adds the gradient of one image to `out`.
    fn image_gradient(&self, x: &[f32], grad: &[f32], out: &mut [f32]) {
        let plane = self.plane.max(1);
        let mut denominators = Scratch::new(x.len());
        self.denominators(x, &mut denominators);
        // What each element passes on to the channels of its window: dy · x · s^(−β−1).
        let mut passed = Scratch::new(x.len());
        for (((out, passed), s), (x, grad)) in
            out.iter_mut().zip(&mut *passed).zip(&*denominators).zip(x.iter().zip(grad))
        {
            let power = s.powf(-self.config.beta);
            *out += grad * power;
            *passed = grad * x * power / s;
        }
        let factor = 2.0 * self.config.beta * self.weight();
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            for other in self.transposed_window(channel) {
                let (x, passed) = (&x[channel * plane..][..plane], &passed[other * plane..][..plane]);
                for ((out, x), passed) in out.iter_mut().zip(x).zip(passed) {
                    *out -= factor * x * passed;
                }
            }
        }
    }
}

impl CustomOp1 for Lrn {
    fn name(&self) -> &'static str {
        "local_response_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut y = vec![0.0; x.len()];
        let tasks = y.chunks_mut(self.image_len()).zip(x.chunks(self.image_len()));
        for_each(tasks, self.work(x.len()), |(y, x)| {
            self.denominators(x, y);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * y.powf(-self.config.beta));
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (values, grad) = (Floats::of(x)?, Floats::of(&grad)?);
        deliver(x, |out, _| {
            let images = values.chunks(self.image_len()).zip(grad.chunks(self.image_len()));
            let tasks = out.chunks_mut(self.image_len()).zip(images);
            for_each(tasks, self.work(values.len()), |(out, (x, grad))| {
                self.image_gradient(x, grad, out);
            });
            Ok(())
        })
    }
}
