//! Penalties on weights: `λ · Σ |w|^p` as a loss term.

use nnc_core::candle::{self, CpuStorage, CustomOp1, Layout, Shape, Tensor};
use nnc_core::train::{LossContext, LossTerm};
use nnc_core::{Error, Result};

/// `Σ |w|^p` over the trainables that decay (weights, not biases); the weight of the term is the paper's λ.
///
/// The gradient is `p · |w|^(p-1) · sign(w)`, and 0 where `w = 0` for every `p`: a pruned weight is left alone.
/// For p = 2 the optimizer's weight decay `2λ` does the same work at less cost.
///
/// It sees what the optimizer moves, not what the network sees. Under a [`MaskedSource`](crate::MaskedSource) those are the
/// variables behind the masks: a pruned one that is not 0 counts and shrinks, while the network sees 0 all the same. Shared
/// values (of a codebook source) do not decay, so a weight that is shared is left out. Where no weight is left, the loss is an
/// [`Error::NoMatch`] that lists the trainables, not 0.
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
        sum.ok_or_else(|| Error::NoMatch {
            what: "trainable that decays",
            pattern: "*".into(),
            known: context.trainables.iter().map(|trainable| trainable.name.clone()).collect(),
        })
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
    use nnc_core::data::Batch;
    use nnc_core::model::Outputs;
    use nnc_core::params::{ParamKind, Params};
    use nnc_core::source::{ParamSource, Step, VarSource};

    use super::*;
    use crate::{Gradient, Mask, MaskedSource, Masks};

    /// The penalty on what `source` lets an optimizer move.
    fn penalty(source: &dyn ParamSource) -> Result<Tensor> {
        let nothing = || Tensor::zeros(0, nnc_core::candle::DType::F32, &Device::Cpu).unwrap();
        let batch = Batch { images: nothing(), labels: nothing(), samples: Vec::new() };
        let (outputs, trainables, step) = (Outputs::new(), source.trainables(), Step::train(1, 0));
        let context = LossContext { outputs: &outputs, batch: &batch, trainables: &trainables, step: &step };
        Penalty::l1().loss(&context)
    }

    fn masked(entries: &[(&str, ParamKind)]) -> MaskedSource<VarSource> {
        let mut params = Params::new();
        for (name, kind) in entries {
            params.insert(*name, *kind, Tensor::new(&[1_f32, -2.0, 4.0], &Device::Cpu).unwrap());
        }
        let masks = Masks::new();
        masks.set(entries[0].0, Mask::from_fn(&[3], |i| i == 0)).unwrap();
        MaskedSource::new(VarSource::new(&params).unwrap(), masks, Gradient::Masked).unwrap()
    }

    #[test]
    fn under_masks_the_variables_behind_them_count_and_shrink() {
        let source = masked(&[("w", ParamKind::Weight), ("b", ParamKind::Bias)]);
        let sum = penalty(&source).unwrap();
        assert_eq!(sum.to_scalar::<f32>().unwrap(), 7.0);
        let gradients = sum.backward().unwrap();
        let gradient = |name| gradients.get(source.inner().var(name).unwrap());
        assert_eq!(gradient("w").unwrap().to_vec1::<f32>().unwrap(), [1.0, -1.0, 1.0]);
        assert!(gradient("b").is_none());
    }

    #[test]
    fn a_penalty_on_no_weight_is_an_error_under_masks_too() {
        let source = masked(&[("b", ParamKind::Bias), ("mean", ParamKind::Buffer)]);
        let message = penalty(&source).unwrap_err().to_string();
        assert_eq!(message, "pattern `*` matches no trainable that decays; there are: b");
    }

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
    fn an_exponent_below_1_pulls_small_weights_harder() {
        let w = Var::new(&[0.25_f32, -4.0, 0.0], &Device::Cpu).unwrap();
        let sum = w.apply_op1(PowerSum { exponent: 0.5 }).unwrap();
        assert_eq!(sum.to_scalar::<f32>().unwrap(), 2.5);
        assert_eq!(sum.backward().unwrap().get(&w).unwrap().to_vec1::<f32>().unwrap(), [1.0, -0.25, 0.0]);
    }

    #[test]
    fn an_exponent_that_is_not_positive_is_refused() {
        assert!(Penalty::power(0.0).is_err() && Penalty::power(f32::NAN).is_err());
    }
}
