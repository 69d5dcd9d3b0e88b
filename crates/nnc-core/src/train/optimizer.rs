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
    moments: BTreeMap<String, Moments>,
}

/// Running averages of a trainable's gradients, flat.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    /// Steps that went into them: Adam's bias correction is for these, not for the optimizer's own.
    n_steps: u64,
    first: Vec<f32>,
    /// Of squared gradients; empty where the optimizer has none.
    second: Vec<f32>,
}

impl Optimizer {
    /// A fresh optimizer: all moments zero.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// Moves every trainable that has a gradient and is not frozen; the others, their moments and their step counts stay as
    /// they are.
    ///
    /// # Errors
    /// Those of the tensor operations.
    pub fn step(&mut self, trainables: &[Trainable], gradients: &GradStore, lr: f64) -> Result<()> {
        for trainable in trainables {
            let Some(gradient) = gradients.get(&trainable.var) else { continue };
            if trainable.lr_scale > 0.0 {
                self.update(trainable, gradient, lr * trainable.lr_scale)?;
            }
        }
        Ok(())
    }

    fn update(&mut self, trainable: &Trainable, gradient: &Tensor, lr: f64) -> Result<()> {
        let config = self.config;
        let Moments { n_steps, first, second, .. } = self.moments_of(trainable);
        *n_steps += 1;
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
                let exponent = i32::try_from(*n_steps).unwrap_or(i32::MAX);
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
        let fresh = || Moments {
            shape: shape.to_vec(),
            n_steps: 0,
            first: vec![0.0; n],
            second: vec![0.0; n_second],
        };
        let moments = self.moments.entry(trainable.name.clone()).or_insert_with(fresh);
        if moments.shape != shape {
            // The weight was replaced by a smaller one (surgery): its history is another weight's.
            *moments = fresh();
        }
        moments
    }

    /// The moments and step counts by name.
    ///
    /// # Errors
    /// Those of copying tensors.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (name, Moments { shape, n_steps, first, second }) in &self.moments {
            state.insert_number(&format!("n_steps/{name}"), *n_steps as f64)?;
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
    /// [`Error::NotFound`] and [`Error::Corrupt`] when the state lacks a step count or a second moment.
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
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
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count that we wrote, below 2^53"
            )]
            let n_steps = state.number(&format!("n_steps/{name}"))? as u64;
            let shape = param.tensor.dims().to_vec();
            self.moments.insert(name.to_owned(), Moments { shape, n_steps, first, second });
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

    /// Six steps on `w` and `rest`; `w` sits out those of `sits_out`. Returns where `w` was after each of its steps.
    fn steps_of_w(
        config: OptimizerConfig,
        sits_out: impl Fn(usize) -> Option<Absence>,
        resume: bool,
    ) -> Vec<f32> {
        let w = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
        let rest = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let mut optimizer = Optimizer::new(config);
        let mut values = Vec::new();
        for step in 0..6 {
            let of_w = Trainable::new("w", w.clone(), ParamKind::Weight);
            let of_rest = Trainable::new("rest", rest.clone(), ParamKind::Weight);
            let absence = sits_out(step);
            let trainables = match absence {
                Some(Absence::Unlisted) => vec![of_rest],
                Some(Absence::Frozen) => vec![Trainable { lr_scale: 0.0, ..of_w }, of_rest],
                Some(Absence::WithoutGradient) | None => vec![of_w, of_rest],
            };
            let mut loss = rest.sqr().unwrap().sum_all().unwrap();
            if absence != Some(Absence::WithoutGradient) {
                loss = (loss + w.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            optimizer.step(&trainables, &ops::backward(&loss).unwrap(), 0.1).unwrap();
            if resume {
                let state = optimizer.state().unwrap().to_safetensors().unwrap();
                optimizer = Optimizer::new(config);
                optimizer.load_state(&Params::from_safetensors(&state, &Device::Cpu).unwrap()).unwrap();
            }
            if absence.is_none() {
                values.push(w.to_vec1::<f32>().unwrap()[0]);
            }
        }
        values
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Absence {
        Unlisted,
        Frozen,
        WithoutGradient,
    }

    #[test]
    fn steps_that_a_trainable_sits_out_do_not_count_for_it() {
        for config in [OptimizerConfig::adam(), OptimizerConfig::sgd(0.1)] {
            let always = steps_of_w(config, |_| None, false);
            for absence in [Absence::Unlisted, Absence::Frozen, Absence::WithoutGradient] {
                // At the start and in the middle: the fourth of six steps is its second.
                let sits_out = |step| (step < 2 || step == 4).then_some(absence);
                for resume in [false, true] {
                    let got = steps_of_w(config, sits_out, resume);
                    assert_eq!(got, always[..3], "{config:?}, resumed: {resume}");
                }
            }
        }
    }

    #[test]
    fn a_state_without_its_counts_is_refused() {
        let full = {
            let w = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
            let mut optimizer = Optimizer::new(OptimizerConfig::adam());
            let gradients = ops::backward(&w.sqr().unwrap().sum_all().unwrap()).unwrap();
            optimizer.step(&[Trainable::new("w", w, ParamKind::Weight)], &gradients, 0.1).unwrap();
            optimizer.state().unwrap()
        };
        for missing in ["n_steps/w", "second/w"] {
            let mut state = Params::new();
            for param in full.iter().filter(|param| param.name != missing) {
                state.insert(param.name.clone(), param.kind, param.tensor.clone());
            }
            let message = Optimizer::new(OptimizerConfig::adam()).load_state(&state).unwrap_err().to_string();
            assert!(message.contains(missing), "{message}");
        }
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
