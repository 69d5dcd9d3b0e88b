//! Softmax, its logarithm, and the cross entropy of class labels.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result as CandleResult, Shape, Tensor};

use super::args::{Floats, floats, prepared};
use super::backward::deliver;
use crate::{Error, Result};

/// `e^x / Σ e^x` over the last dimension.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for a scalar, an empty last dimension, or a dtype other than f32.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let classes = last_dim(x)?;
    Ok(prepared("x", x)?.apply_op1(Softmax { classes, log: false })?)
}

/// `x − ln Σ e^x` over the last dimension.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument) for a scalar, an empty last dimension, or a dtype other than f32.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let classes = last_dim(x)?;
    Ok(prepared("x", x)?.apply_op1(Softmax { classes, log: true })?)
}

/// The mean over a batch of `−ln softmax(logits)[label]`, a scalar, for `logits` (B, K) and `labels` (B) of dtype u32.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument) where shapes or dtypes do
/// not agree, the batch is empty, or a label is not below K.
pub fn softmax_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (batch, classes) = logits.dims2()?;
    if labels.dims() != [batch] {
        return Err(Error::shape("labels", &[batch], labels.dims()));
    }
    if labels.dtype() != DType::U32 {
        return Err(Error::invalid("labels", "dtype u32", labels.dtype().as_str()));
    }
    if batch == 0 {
        return Err(Error::invalid("logits", "at least one row", 0));
    }
    let labels: Vec<usize> = labels.to_vec1::<u32>()?.into_iter().map(|label| label as usize).collect();
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        return Err(Error::invalid("labels", format!("classes below {classes}"), label));
    }
    let op = CrossEntropy { classes, labels, probabilities: OnceLock::new() };
    Ok(prepared("logits", logits)?.apply_op1(op)?)
}

fn last_dim(x: &Tensor) -> Result<usize> {
    match x.dims().last() {
        Some(&classes) if classes > 0 => Ok(classes),
        _ => Err(Error::invalid("x", "a last dimension of at least 1", format!("{:?}", x.dims()))),
    }
}

/// Writes `e^(x − max)` to `out`; returns the maximum and the sum of what was written.
fn exponentials(x: &[f32], out: &mut [f32]) -> (f32, f32) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (out, x) in out.iter_mut().zip(x) {
        *out = (x - max).exp();
        sum += *out;
    }
    (max, sum)
}

struct Softmax {
    classes: usize,
    log: bool,
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut out = vec![0.0; x.len()];
        for (x, out) in x.chunks_exact(self.classes).zip(out.chunks_exact_mut(self.classes)) {
            let (max, sum) = exponentials(x, out);
            if self.log {
                let ln_sum = sum.ln();
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - max) - ln_sum);
            } else {
                out.iter_mut().for_each(|out| *out /= sum);
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (y, grad) = (Floats::of(y)?, Floats::of(&grad)?);
        deliver(x, |out, _| {
            let rows = y.chunks_exact(self.classes).zip(grad.chunks_exact(self.classes));
            for (out, (y, grad)) in out.chunks_exact_mut(self.classes).zip(rows) {
                if self.log {
                    let sum: f32 = grad.iter().sum();
                    let values = y.iter().zip(grad).map(|(y, grad)| grad - y.exp() * sum);
                    out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
                } else {
                    let dot: f32 = y.iter().zip(grad).map(|(y, grad)| y * grad).sum();
                    let values = y.iter().zip(grad).map(|(y, grad)| y * (grad - dot));
                    out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
                }
            }
            Ok(())
        })
    }
}

struct CrossEntropy {
    classes: usize,
    labels: Vec<usize>,
    probabilities: OnceLock<Vec<f32>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let mut probabilities = vec![0.0; x.len()];
        let mut loss = 0.0_f64;
        let rows = x.chunks_exact(self.classes).zip(probabilities.chunks_exact_mut(self.classes));
        for ((x, out), &label) in rows.zip(&self.labels) {
            let (max, sum) = exponentials(x, out);
            loss += f64::from(sum.ln()) + f64::from(max) - f64::from(x[label]);
            out.iter_mut().for_each(|out| *out /= sum);
        }
        let _ = self.probabilities.set(probabilities);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "rounded once, at the end"
        )]
        let mean = (loss / self.labels.len() as f64) as f32;
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _loss: &Tensor, grad: &Tensor) -> CandleResult<Option<Tensor>> {
        #[allow(clippy::cast_precision_loss, reason = "a batch has fewer than 2^24 rows")]
        let scale = grad.to_scalar::<f32>()? / self.labels.len() as f32;
        let probabilities = self.probabilities.get().expect("the forward pass comes first");
        deliver(x, |out, _| {
            let rows = out.chunks_exact_mut(self.classes).zip(probabilities.chunks_exact(self.classes));
            for ((out, p), &label) in rows.zip(&self.labels) {
                out.iter_mut().zip(p).for_each(|(out, p)| *out += p * scale);
                out[label] -= scale;
            }
            Ok(())
        })
    }
}
