//! The loop itself.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::checkpoint::Position;
use super::{
    Callback, Checkpoint, EpochEnd, Flow, Learner, LossContext, LossTerm, Optimizer, OptimizerConfig,
};
use super::{Schedule, StepEnd};
use crate::data::{Batch, Batches};
use crate::ops;
use crate::source::{Step, Trainable};
use crate::{Error, Result};

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitConfig {
    /// Keys every random draw of the run.
    pub seed: u64,
    /// Passes over the data.
    pub n_epochs: usize,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Gradients are scaled down to this global L2 norm where they exceed it.
    pub clip_norm: Option<f64>,
}

/// What to train on, to which end, and where to save.
#[derive(Debug, Clone, Copy)]
pub struct Fit<'a> {
    /// The data, in batches.
    pub batches: &'a Batches<'a>,
    /// The loss is the sum of these terms, each times its weight.
    pub terms: &'a [(f64, &'a dyn LossTerm)],
    /// How to train.
    pub config: FitConfig,
    /// Where the run saves itself after each epoch, and goes on from when it is there already.
    pub checkpoint: Option<&'a Checkpoint>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Mean training loss of each epoch that was run by this call.
    pub epoch_losses: Vec<f64>,
}

/// Trains `learner` as `run` says.
///
/// With a checkpoint whose file exists, the run goes on from there; one that had finished is only loaded.
///
/// # Errors
/// [`Error::InvalidArgument`] without terms, for rates outside their ranges ([`OptimizerConfig::check`],
/// [`Schedule::check`]), or when the checkpoint is of another configuration; [`Error::Cancelled`] when a
/// callback says so (the last epoch's checkpoint stays), and those of the operators.
pub fn fit<L: Learner + ?Sized>(
    learner: &mut L,
    run: &Fit<'_>,
    callbacks: &mut [&mut dyn Callback<L>],
) -> Result<Summary> {
    if run.terms.is_empty() {
        return Err(Error::invalid("terms", "at least one loss term", 0));
    }
    run.config.optimizer.check()?;
    run.config.schedule.check()?;
    let mut optimizer = Optimizer::new(run.config.optimizer);
    let mut position = Position { n_epochs_done: 0, finished: run.config.n_epochs == 0 };
    if let Some(checkpoint) = run.checkpoint
        && let Some(saved) = checkpoint.load(learner, &mut optimizer, callbacks)?
    {
        position = saved;
    }
    let mut summary = Summary::default();
    while !position.finished {
        let mean_loss = run.epoch(position.n_epochs_done, learner, &mut optimizer, callbacks)?;
        summary.epoch_losses.push(mean_loss);
        position.n_epochs_done += 1;
        let n_epochs = run.config.n_epochs;
        let event = EpochEnd { n_epochs_done: position.n_epochs_done, n_epochs, mean_loss };
        position.finished = position.n_epochs_done >= n_epochs;
        for callback in callbacks.iter_mut() {
            position.finished |= callback.on_epoch(learner, &mut optimizer, &event)? == Flow::Stop;
        }
        if let Some(checkpoint) = run.checkpoint {
            checkpoint.save(&position, learner, &optimizer, callbacks)?;
        }
    }
    for callback in callbacks.iter_mut() {
        callback.on_finish(learner)?;
    }
    Ok(summary)
}

impl Fit<'_> {
    /// One pass over the data; returns the mean loss of its batches.
    fn epoch<L: Learner + ?Sized>(
        &self,
        epoch: usize,
        learner: &mut L,
        optimizer: &mut Optimizer,
        callbacks: &mut [&mut dyn Callback<L>],
    ) -> Result<f64> {
        let per_epoch = self.batches.n_batches();
        let n_steps = self.config.n_epochs * per_epoch;
        let order = self.batches.epoch(epoch as u64);
        let want = self.wanted();
        let mut total_loss = 0.0;
        for batch_idx in 0..per_epoch {
            let n_done = epoch * per_epoch + batch_idx;
            let batch = order.batch(batch_idx, &Device::Cpu)?;
            let lr = self.config.schedule.lr(n_done, n_steps, per_epoch);
            let step = Step::train(self.config.seed, n_done as u64);
            let loss = self.step(learner, optimizer, &batch, &want, &step, lr)?;
            total_loss += f64::from(loss);
            let event = StepEnd { n_steps_done: n_done + 1, n_steps, epoch, loss, lr };
            for callback in callbacks.iter_mut() {
                callback.on_step(learner, optimizer, &event)?;
            }
        }
        Ok(total_loss / per_epoch.max(1) as f64)
    }

    /// Forward, backward, update; returns the loss before the update.
    fn step<L: Learner + ?Sized>(
        &self,
        learner: &L,
        optimizer: &mut Optimizer,
        batch: &Batch,
        want: &[String],
        step: &Step,
        lr: f64,
    ) -> Result<f32> {
        let trainables = learner.trainables();
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        let outputs = learner.outputs(&batch.images, &want, step)?;
        let context = LossContext { outputs: &outputs, batch, trainables: &trainables, step };
        let loss = self.loss(&context)?;
        let mut gradients = ops::backward(&loss)?;
        if let Some(limit) = self.config.clip_norm {
            clip(&mut gradients, &trainables, limit)?;
        }
        optimizer.step(&trainables, &gradients, lr)?;
        Ok(loss.to_scalar::<f32>()?)
    }

    /// The outputs that the terms read, each once.
    fn wanted(&self) -> Vec<String> {
        let mut want = Vec::new();
        for name in self.terms.iter().flat_map(|(_, term)| term.want()) {
            if !want.contains(&name) {
                want.push(name);
            }
        }
        want
    }

    /// The weighted sum of the terms.
    fn loss(&self, context: &LossContext<'_>) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for &(weight, term) in self.terms {
            let mut loss = term.loss(context)?;
            if weight != 1.0 {
                loss = (loss * weight)?;
            }
            sum = Some(match sum {
                Some(sum) => (sum + loss)?,
                None => loss,
            });
        }
        Ok(sum.expect("`fit` refuses an empty list of terms"))
    }
}

/// Scales all gradients by `limit / norm` where their global L2 norm exceeds `limit`.
fn clip(gradients: &mut GradStore, trainables: &[Trainable], limit: f64) -> Result<()> {
    let mut squares = 0.0;
    for trainable in trainables {
        if let Some(gradient) = gradients.get(&trainable.var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm > limit {
        for trainable in trainables {
            if let Some(gradient) = gradients.remove(&trainable.var) {
                gradients.insert(&trainable.var, (gradient * (limit / norm))?);
            }
        }
    }
    Ok(())
}
