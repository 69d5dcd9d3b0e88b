//! Penalties on weights: `λ · Σ |w|^p` as a loss term.

use nnc_core::candle::{self, CpuStorage, CustomOp1, Layout, Shape, Tensor};
use nnc_core::train::{LossContext, LossTerm};
use nnc_core::{Error, Result};

/// `Σ |w|^p` over the trainables that decay (weights, not biases); the weight of the term is the paper's λ.
///
/// The gradient is `p · |w|^(p-1) · sign(w)`, and 0 where `w = 0` for every `p`: a pruned weight is left alone.
/// For p = 2 the optimizer's weight decay `2λ` does the same work at less cost.
///
/// # Source
/// Han et al. 2015, §3.1: p = 1 is better right after pruning, p = 2 after retraining.
#[derive(Debug, Clone, Copy)]
pub struct Penalty {
    exponent: f32,
}

impl Penalty {
    /// L1: `Σ |w|`.
    pub fn l1() -> Self {
        Self { exponent: 1.0 }
    }

    /// L2: `Σ w²`.
    pub fn l2() -> Self {
        Self { exponent: 2.0 }
    }

    /// Any exponent above 0.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `exponent` is not a positive number.
    pub fn power(exponent: f32) -> Result<Self> {
        if exponent > 0.0 && exponent.is_finite() {
            Ok(Self { exponent })
        } else {
            Err(Error::invalid("exponent", "a positive number", exponent))
        }
    }
}

impl LossTerm for Penalty {
    fn want(&self) -> Vec<String> {
        Vec::new()
    }

    fn loss(&self, context: &LossContext<'_>) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for trainable in context.trainables.iter().filter(|trainable| trainable.decay_scale > 0.0) {
            let flat = trainable.var.flatten_all()?;
            let term = flat.apply_op1(PowerSum { exponent: self.exponent })?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        sum.ok_or_else(|| Error::NoMatch { what: "weight", pattern: "penalty".into(), known: Vec::new() })
    }
}

/// `Σ |w|^p` of a flat tensor, as one operator.
struct PowerSum {
    exponent: f32,
}

impl CustomOp1 for PowerSum {
    fn name(&self) -> &'static str {
        "power-sum"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle::Result<(CpuStorage, Shape)> {
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle::Error::Msg("power-sum: not contiguous".into()))?;
        let sum: f64 = storage.as_slice::<f32>()?[start..end]
            .iter()
            .map(|&w| match self.exponent {
                1.0 => f64::from(w.abs()),
                2.0 => f64::from(w) * f64::from(w),
                p => f64::from(w.abs()).powf(f64::from(p)),
            })
            .sum();
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let sum = sum as f32;
        Ok((CpuStorage::F32(vec![sum]), Shape::from(())))
    }

    fn bwd(&self, arg: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle::Result<Option<Tensor>> {
        let scale = gradient.to_scalar::<f32>()?;
        let mut values = arg.to_vec1::<f32>()?;
        for w in &mut values {
            *w = match self.exponent {
                _ if *w == 0.0 => 0.0,
                1.0 => scale * w.signum(),
                2.0 => scale * 2.0 * *w,
                p => scale * p * w.abs().powf(p - 1.0) * w.signum(),
            };
        }
        Tensor::from_vec(values, arg.dims(), arg.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::{Device, Var};

    use super::*;

    #[test]
    fn gradients_match_the_derivative_and_vanish_at_zero() {
        let w = Var::new(&[0.5_f32, -2.0, 0.0, 1.5], &Device::Cpu).unwrap();
        for (p, value, gradient) in [
            (1.0, 4.0, [1.0, -1.0, 0.0, 1.0]),
            (2.0, 6.5, [1.0, -4.0, 0.0, 3.0]),
            (3.0, 0.125 + 8.0 + 3.375, [0.75, -12.0, 0.0, 6.75]),
        ] {
            let sum = w.apply_op1(PowerSum { exponent: p }).unwrap();
            assert_eq!(sum.to_scalar::<f32>().unwrap(), value);
            let got = sum.backward().unwrap().get(&w).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(got, gradient, "p = {p}");
        }
    }

    #[test]
    fn an_exponent_that_is_not_positive_is_refused() {
        assert!(Penalty::power(0.0).is_err() && Penalty::power(f32::NAN).is_err());
    }
}
