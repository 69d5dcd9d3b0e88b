//! SGD with momentum and Adam, with state that is saved by name.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::ops::{self, Gradients};
use crate::params::{ParamKind, Params};
use crate::source::Trainable;
use crate::{Error, Result};

/// Which optimizer, and its constants. The learning rate comes from the [`Schedule`](super::Schedule).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent as PyTorch defines it: `v = m·v + (g + d·w)`, `w -= lr·v` (or `lr·(g + d·w + m·v)`).
    Sgd {
        /// Momentum `m` in `[0, 1)`.
        momentum: f64,
        /// Nesterov's look-ahead form.
        nesterov: bool,
        /// Weight decay `d`: the gradient of `d/2·|w|²`, on weights only.
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba, ICLR 2015, algorithm 1) with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decoupled decay: `w -= lr·d·w`, on weights only.
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
}

/// An optimizer with its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    n_steps: u64,
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug)]
struct Moments {
    first: Var,
    second: Option<Var>,
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
    pub fn step(&mut self, trainables: &[Trainable], gradients: &Gradients, lr: f64) -> Result<()> {
        self.n_steps += 1;
        for trainable in trainables {
            let Some(gradient) = gradients.get(&trainable.var) else { continue };
            if trainable.lr_scale > 0.0 {
                self.update(trainable, &gradient, lr * trainable.lr_scale)?;
            }
        }
        Ok(())
    }

    fn update(&mut self, trainable: &Trainable, gradient: &Tensor, lr: f64) -> Result<()> {
        let n_steps = self.n_steps;
        let config = self.config;
        let moments = self.moments_of(trainable)?;
        match config {
            OptimizerConfig::Sgd { momentum, nesterov, weight_decay } => {
                let decay = weight_decay * trainable.decay_scale;
                let sgd = ops::SgdUpdate { lr, momentum, weight_decay: decay, nesterov };
                ops::sgd_update(&trainable.var, &moments.first, gradient, sgd)?;
            }
            OptimizerConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                let second = moments.second.as_ref().expect("made together with the first moment");
                let first = ((moments.first.as_tensor() * beta1)? + (gradient * (1.0 - beta1))?)?;
                let squared = ((second.as_tensor() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                let exponent = i32::try_from(n_steps).unwrap_or(i32::MAX);
                let corrected = (&first / (1.0 - beta1.powi(exponent)))?;
                let scale = ((&squared / (1.0 - beta2.powi(exponent)))?.sqrt()? + epsilon)?;
                let shrink = 1.0 - lr * weight_decay * trainable.decay_scale;
                let value = ((trainable.var.as_tensor() * shrink)? - ((corrected / scale)? * lr)?)?;
                moments.first.set(&first)?;
                second.set(&squared)?;
                trainable.var.set(&value)?;
            }
        }
        Ok(())
    }

    fn moments_of(&mut self, trainable: &Trainable) -> Result<&Moments> {
        let shape = trainable.var.dims();
        if self.moments.get(&trainable.name).is_none_or(|moments| moments.first.dims() != shape) {
            let zeros = || Var::zeros(shape, trainable.var.dtype(), trainable.var.device());
            let second = matches!(self.config, OptimizerConfig::Adam { .. }).then(zeros).transpose()?;
            self.moments.insert(trainable.name.clone(), Moments { first: zeros()?, second });
        }
        Ok(&self.moments[&trainable.name])
    }

    /// The moments by name and the step count.
    ///
    /// # Errors
    /// Those of copying tensors.
    pub fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        for (name, moments) in &self.moments {
            state.insert(format!("first/{name}"), ParamKind::Buffer, moments.first.detach().copy()?);
            if let Some(second) = &moments.second {
                state.insert(format!("second/{name}"), ParamKind::Buffer, second.detach().copy()?);
            }
        }
        let n_steps = i64::try_from(self.n_steps).unwrap_or(i64::MAX);
        state.insert("n_steps", ParamKind::Buffer, Tensor::new(&[n_steps], &candle_core::Device::Cpu)?);
        Ok(state)
    }

    /// Returns to a saved state.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the state lacks its step count or a second moment.
    pub fn load_state(&mut self, state: &Params) -> Result<()> {
        let n_steps = state.tensor("n_steps")?.to_vec1::<i64>()?;
        self.n_steps = n_steps
            .first()
            .and_then(|&n| u64::try_from(n).ok())
            .ok_or_else(|| Error::corrupt("optimizer state", "`n_steps` is not a count"))?;
        self.moments.clear();
        for param in state.iter() {
            let Some(name) = param.name.strip_prefix("first/") else { continue };
            let second = match self.config {
                OptimizerConfig::Adam { .. } => {
                    Some(Var::from_tensor(&state.tensor(&format!("second/{name}"))?.copy()?)?)
                }
                OptimizerConfig::Sgd { .. } => None,
            };
            self.moments.insert(name.to_owned(), Moments { first: Var::from_tensor(&param.tensor.copy()?)?, second });
        }
        Ok(())
    }
}
