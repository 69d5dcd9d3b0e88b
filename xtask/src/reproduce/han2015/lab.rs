//! Trains and judges networks for the comparisons: one seed, one course of training, validation errors.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::Result;
use nnc::deep_compression::evaluate;
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization, Splits};
use nnc_core::network::Network;
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::{ParamSource, VarSource};
use nnc_core::train::{
    Checkpoint, CrossEntropy, Fit, FitConfig, KeepBest, LossTerm, OptimizerConfig, Schedule, Trainee, fit,
};
use nnc_prune::importance::magnitude::{magnitude, standard_deviation};
use nnc_prune::regularizer::Penalty;
use nnc_prune::{Gradient, Mask, MaskedSource, Masks, select};

use super::plan::BATCH;
use crate::experiment::{Progress, Span, Told};

/// What every fit of the comparisons shares.
pub(super) struct Lab<'a> {
    pub(super) data: &'a Splits,
    pub(super) normalization: &'a Normalization,
    pub(super) state_dir: PathBuf,
    pub(super) seed: u64,
    pub(super) progress: &'a dyn Progress,
    /// Work of the whole experiment, and of what is done, in epochs of LeNet-300-100.
    pub(super) cost: f64,
    pub(super) done: Cell<f64>,
}

/// One fit: what it is called, how long, how fast, with which penalty.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    /// Names the checkpoint and the stage of the progress bar.
    pub(super) name: &'a str,
    pub(super) n_epochs: usize,
    /// The highest learning rate; it falls along a cosine.
    pub(super) lr: f64,
    /// `Σ |w|^p` and its weight.
    pub(super) penalty: (f64, Penalty),
    /// The work of an epoch.
    pub(super) epoch_cost: f64,
}

impl Lab<'_> {
    /// Trains, leaves the trainee in its best epoch, and gives its parameters with their validation error in per cent.
    pub(super) fn fit(
        &self,
        course: Course<'_>,
        network: &Network,
        source: impl ParamSource + 'static,
    ) -> Result<(Params, f64)> {
        let Course { name, n_epochs, lr, penalty: (weight, penalty), epoch_cost } = course;
        let mut trainee = Trainee::new(network.clone(), source);
        let batches =
            Batches::new(self.data.train(), self.normalization, BatchConfig::training(BATCH, self.seed))?;
        let config = FitConfig {
            seed: self.seed,
            n_epochs,
            schedule: Schedule::Cosine { lr, end: 0.0, warmup: 0.0 },
            optimizer: OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
            clip_norm: None,
        };
        let loss = CrossEntropy::new("logits");
        let terms: [(f64, &dyn LossTerm); 2] = [(1.0, &loss), (weight, &penalty)];
        // The folder belongs to this configuration, so the name is key enough.
        let checkpoint = Checkpoint::new(self.state_dir.join(format!("{name}.safetensors")), name);
        let run = Fit { batches: &batches, terms: &terms, config, checkpoint: Some(&checkpoint) };
        let score =
            |trainee: &Trainee| Ok(-evaluate(trainee, self.data.validation(), self.normalization)?.percent());
        let (before, after) = (self.done.get(), self.done.get() + epoch_cost * n_epochs as f64);
        let span = Span::new(self.progress, before / self.cost, after / self.cost);
        fit(&mut trainee, &run, &mut [&mut KeepBest::new(score), &mut Told::new(name, &span)])?;
        self.done.set(after);
        let params = trainee.source.snapshot()?;
        let error = evaluate(&trainee, self.data.validation(), self.normalization)?.percent();
        Ok((params, error))
    }

    /// Trains what `masks` leave of `params`.
    pub(super) fn retrain(
        &self,
        course: Course<'_>,
        network: &Network,
        params: &Params,
        masks: Masks,
    ) -> Result<(Params, f64)> {
        self.fit(course, network, MaskedSource::new(VarSource::new(params)?, masks, Gradient::Masked)?)
    }

    /// The validation error of a network as it is, in per cent.
    pub(super) fn error(&self, network: &Network, params: &Params) -> Result<f64> {
        Ok(error_on(self.data.validation(), self.normalization, network, params)?)
    }
}

/// The error of a network on a set, in per cent.
pub(super) fn error_on(
    data: &Dataset,
    normalization: &Normalization,
    network: &Network,
    params: &Params,
) -> nnc_core::Result<f64> {
    let trainee = Trainee::new(network.clone(), VarSource::new(params)?);
    Ok(evaluate(&trainee, data, normalization)?.percent())
}

/// Masks that keep `density` of all weights by one quality factor for every layer: entries of magnitude above `s · σ`, σ the
/// layer's standard deviation, with the `s` that leaves that many.
pub(super) fn masks_by_quality(params: &Params, density: f64) -> Result<Masks> {
    let weights = || params.iter().filter(|param| param.kind == ParamKind::Weight);
    let mut scores = Vec::new();
    for param in weights() {
        let sigma = standard_deviation(&param.tensor)?;
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        scores.extend(magnitude(&param.tensor)?.into_iter().map(|score| (f64::from(score) / sigma) as f32));
    }
    let n = scores.len();
    let all = select::largest(&scores, &[n], count(n, density))?;
    let (masks, mut start) = (Masks::new(), 0);
    for param in weights() {
        masks.set(&param.name, Mask::from_fn(param.tensor.dims(), |i| all.keeps(start + i)))?;
        start += param.tensor.elem_count();
    }
    Ok(masks)
}

/// `params` with zeros where `masks` prune.
pub(super) fn masked(params: &Params, masks: &Masks) -> Result<Params> {
    let mut masked = params.clone();
    for name in masks.names() {
        if let Some(mask) = masks.get(&name) {
            masked.replace(&name, mask.apply(params.tensor(&name)?)?)?;
        }
    }
    Ok(masked)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count is a count")]
pub(super) fn count(n: usize, density: f64) -> usize {
    (density * n as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::{Device, Tensor};

    use super::*;

    #[test]
    fn one_quality_factor_keeps_the_wanted_share_of_all_layers_together() {
        let mut params = Params::new();
        let mut insert = |name: &str, values: [f32; 4]| {
            params.insert(name, ParamKind::Weight, Tensor::new(&[values], &Device::Cpu).unwrap());
        };
        // The second layer is the first in another unit.
        insert("a.weight", [1.0, -2.0, 3.0, -4.0]);
        insert("b.weight", [100.0, -200.0, 300.0, -400.0]);
        params.insert("a.bias", ParamKind::Bias, Tensor::new(&[9_f32], &Device::Cpu).unwrap());
        let masks = masks_by_quality(&params, 0.5).unwrap();
        assert_eq!(masks.names(), ["a.weight", "b.weight"]);
        for (name, kept) in [("a.weight", [0.0, 0.0, 3.0, -4.0]), ("b.weight", [0.0, 0.0, 300.0, -400.0])] {
            let pruned = masked(&params, &masks).unwrap();
            assert_eq!(pruned.tensor(name).unwrap().to_vec2::<f32>().unwrap(), [kept]);
        }
    }
}
