//! SGD with momentum and Adam, with state that is saved by name.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::range;
use crate::ops::{self, SgdMomentum};
use crate::params::{ParamKind, Params};
use crate::source::Trainable;
use crate::{Error, Result};

/// Which optimizer, and its constants. The learning rate comes from the [`Schedule`](super::Schedule).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent as PyTorch defines it: `v = m·v + (g + d·w)`, `w -= lr·v` (or `lr·(g + d·w + m·v)`).
    Sgd {
        /// Momentum `m` in `[0, 1)`.
        momentum: f64,
        /// Nesterov's look-ahead form.
        nesterov: bool,
        /// Weight decay `d`, at least 0: the gradient of `d/2·|w|²`, on weights only.
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba, ICLR 2015, algorithm 1) with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).
    Adam {
        /// Decay of the first moment, in `[0, 1)`.
        beta1: f64,
        /// Decay of the second moment, in `[0, 1)`.
        beta2: f64,
        /// Added to the root of the second moment, above 0.
        epsilon: f64,
        /// Decoupled decay `d`, at least 0: `w -= lr·d·w`, on weights only.
        weight_decay: f64,
    },
}

impl OptimizerConfig {
    /// SGD with momentum 0.9 and the given weight decay.
    pub fn sgd(weight_decay: f64) -> Self {
        Self::Sgd { momentum: 0.9, nesterov: false, weight_decay }
    }

    /// Adam with the paper's constants and no weight decay.
    pub fn adam() -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// Checks that every constant is in its range.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the constant's name, its range and the number found.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Sgd { momentum, nesterov: _, weight_decay } => {
                range::share("momentum", momentum)?;
                range::not_negative("weight_decay", weight_decay)
            }
            Self::Adam { beta1, beta2, epsilon, weight_decay } => {
                range::share("beta1", beta1)?;
                range::share("beta2", beta2)?;
                range::positive("epsilon", epsilon)?;
                range::not_negative("weight_decay", weight_decay)
            }
        }
    }
}

/// An optimizer with its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    n_steps: u64,
    moments: BTreeMap<String, Moments>,
}

/// Running averages of a trainable's gradients, flat.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    first: Vec<f32>,
    /// Of squared gradients; empty where the optimizer has none.
    second: Vec<f32>,
}

impl Optimizer {
    /// A fresh optimizer: all moments zero.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, n_steps: 0, moments: BTreeMap::new() }
    }

    /// Moves every trainable that has a gradient; the others stay as they are.
    ///
    /// # Errors
    /// Those of the tensor operations.
    pub fn step(&mut self, trainables: &[Trainable], gradients: &GradStore, lr: f64) -> Result<()> {
        self.n_steps += 1;
        for trainable in trainables {
            let Some(gradient) = gradients.get(&trainable.var) else { continue };
            if trainable.lr_scale > 0.0 {
                self.update(trainable, gradient, lr * trainable.lr_scale)?;
            }
        }
        Ok(())
    }

    fn update(&mut self, trainable: &Trainable, gradient: &Tensor, lr: f64) -> Result<()> {
        let (n_steps, config) = (self.n_steps, self.config);
        let Moments { first, second, .. } = self.moments_of(trainable);
        match config {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
                let step = SgdMomentum {
                    learning_rate: to_f32(lr),
                    momentum: to_f32(momentum),
                    weight_decay: to_f32(weight_decay * trainable.decay_scale),
                    nesterov,
                };
                ops::update_in_place(&trainable.var, gradient, |param, gradient| {
                    ops::sgd_momentum_update(param, first, gradient, &step);
                })
            }
            OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                let exponent = i32::try_from(n_steps).unwrap_or(i32::MAX);
                let step = AdamStep {
                    beta1: to_f32(beta1),
                    beta2: to_f32(beta2),
                    epsilon: to_f32(epsilon),
                    rate: to_f32(lr / (1.0 - beta1.powi(exponent))),
                    correction: to_f32(1.0 / (1.0 - beta2.powi(exponent))),
                    shrink: to_f32(1.0 - lr * weight_decay * trainable.decay_scale),
                };
                ops::update_in_place(&trainable.var, gradient, |param, gradient| {
                    step.update(param, first, second, gradient);
                })
            }
        }
    }

    fn moments_of(&mut self, trainable: &Trainable) -> &mut Moments {
        let (shape, n) = (trainable.var.dims(), trainable.var.elem_count());
        let n_second = if matches!(self.config, OptimizerConfig::Adam { .. }) { n } else { 0 };
        let fresh = || Moments { shape: shape.to_vec(), first: vec![0.0; n], second: vec![0.0; n_second] };
        let moments = self.moments.entry(trainable.name.clone()).or_insert_with(fresh);
        if moments.shape != shape {
            // The weight was replaced by a smaller one (surgery): its history is another weight's.
            *moments = fresh();
        }
        moments
    }

    /// The moments by name and the step count.
    ///
    /// # Errors
    /// Those of copying tensors.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        state.insert_number("n_steps", self.n_steps as f64)?;
        for (name, Moments { shape, first, second }) in &self.moments {
            for (which, values) in [("first", first), ("second", second)] {
                if !values.is_empty() {
                    let values = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
                    state.insert(format!("{which}/{name}"), ParamKind::Buffer, values);
                }
            }
        }
        Ok(state)
    }

    /// Returns to a saved state.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Corrupt`] when the state lacks its step count or a second moment.
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count that we wrote, below 2^53"
        )]
        let n_steps = state.number("n_steps")? as u64;
        self.n_steps = n_steps;
        self.moments.clear();
        for param in state.iter() {
            let Some(name) = param.name.strip_prefix("first/") else { continue };
            let first = param.tensor.flatten_all()?.to_vec1()?;
            let second = match self.config {
                OptimizerConfig::Adam { .. } => {
                    state.tensor(&format!("second/{name}"))?.flatten_all()?.to_vec1()?
                }
                OptimizerConfig::Sgd { .. } => Vec::new(),
            };
            if matches!(self.config, OptimizerConfig::Adam { .. }) && second.len() != first.len() {
                return Err(Error::corrupt(
                    "optimizer state",
                    format!("the moments of `{name}` differ in length"),
                ));
            }
            self.moments
                .insert(name.to_owned(), Moments { shape: param.tensor.dims().to_vec(), first, second });
        }
        Ok(())
    }
}

/// The constants of one Adam step.
struct AdamStep {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// The learning rate over the first moment's bias correction.
    rate: f32,
    /// The second moment's bias correction.
    correction: f32,
    /// What decoupled weight decay leaves of the parameter.
    shrink: f32,
}

impl AdamStep {
    fn update(&self, param: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        for (((p, m), v), g) in param.iter_mut().zip(first).zip(second).zip(gradient) {
            *m = self.beta1 * *m + (1.0 - self.beta1) * g;
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *p = self.shrink * *p - self.rate * *m / ((self.correction * *v).sqrt() + self.epsilon);
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
fn to_f32(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    /// Two steps on one weight with gradients 0.5 and -1.
    fn run(config: OptimizerConfig, resume_between: bool) -> f32 {
        let w = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
        let trainables = [Trainable::new("w", w.clone(), ParamKind::Weight)];
        let mut optimizer = Optimizer::new(config);
        for gradient in [0.5_f32, -1.0] {
            let loss = (w.as_tensor() * f64::from(gradient)).unwrap().sum_all().unwrap();
            optimizer.step(&trainables, &ops::backward(&loss).unwrap(), 0.1).unwrap();
            if resume_between {
                let state = optimizer.state().unwrap();
                optimizer = Optimizer::new(config);
                optimizer.load_state(&state).unwrap();
            }
        }
        w.to_vec1::<f32>().unwrap()[0]
    }

    #[test]
    fn adam_follows_the_paper() {
        // By hand: m = 0.05, v = 2.5e-4, w = 2 - 0.1; then m = -0.055, v = 1.24975e-3, both corrected by 1 - beta^2.
        let (m, v) = (-0.055 / (1.0 - 0.81), 1.249_75e-3 / (1.0 - 0.999_f64.powi(2)));
        let expected = 1.9 - 0.1 * m / (v.sqrt() + 1e-8);
        let got = f64::from(run(OptimizerConfig::adam(), false));
        assert!((got - expected).abs() < 1e-6, "expected {expected}, got {got}");
    }

    #[test]
    fn a_restored_optimizer_goes_on_alike() {
        for config in [OptimizerConfig::adam(), OptimizerConfig::sgd(0.1)] {
            assert_eq!(run(config, false).to_bits(), run(config, true).to_bits());
        }
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let sgd = |momentum, weight_decay| OptimizerConfig::Sgd { momentum, nesterov: false, weight_decay };
        let adam = |beta1, beta2, epsilon| OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay: 0.0 };
        for right in [sgd(0.0, 0.0), sgd(0.99, 5e-4), OptimizerConfig::adam(), adam(0.0, 0.0, 1e-3)] {
            right.check().unwrap();
        }
        for (wrong, message) in [
            (sgd(1.0, 0.0), "invalid `momentum`: expected a number in [0, 1), got 1"),
            (sgd(-0.1, 0.0), "invalid `momentum`: expected a number in [0, 1), got -0.1"),
            (sgd(f64::NAN, 0.0), "invalid `momentum`: expected a number in [0, 1), got NaN"),
            (sgd(0.9, -1e-4), "invalid `weight_decay`: expected a finite number of at least 0, got -0.0001"),
            (
                sgd(0.9, f64::INFINITY),
                "invalid `weight_decay`: expected a finite number of at least 0, got inf",
            ),
            (adam(1.0, 0.999, 1e-8), "invalid `beta1`: expected a number in [0, 1), got 1"),
            (adam(0.9, 1.5, 1e-8), "invalid `beta2`: expected a number in [0, 1), got 1.5"),
            (adam(0.9, 0.999, 0.0), "invalid `epsilon`: expected a finite number above 0, got 0"),
        ] {
            assert_eq!(wrong.check().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_frozen_trainable_stays() {
        let w = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
        let frozen = Trainable { lr_scale: 0.0, ..Trainable::new("w", w.clone(), ParamKind::Weight) };
        let gradients = ops::backward(&w.sqr().unwrap().sum_all().unwrap()).unwrap();
        Optimizer::new(OptimizerConfig::sgd(0.0)).step(&[frozen], &gradients, 0.1).unwrap();
        assert_eq!(w.to_vec1::<f32>().unwrap(), [2.0]);
    }
}
