//! The loop itself.

use serde::{Deserialize, Serialize};

use super::checkpoint::Position;
use super::{Callback, Checkpoint, EpochEnd, Flow, Learner, LossContext, LossTerm, Optimizer, OptimizerConfig};
use super::{Schedule, StepEnd};
use crate::data::{Batch, Batches};
use crate::ops;
use crate::source::{Step, Trainable};
use crate::{Error, Result};

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Mean training loss of each epoch that was run by this call.
    pub epoch_losses: Vec<f64>,
}

/// Trains `learner` on `batches` to minimise the sum of `terms` (each with its weight).
///
/// With a `checkpoint` whose file exists, the run goes on from there; one that had finished is only loaded.
///
/// # Errors
/// [`Error::InvalidArgument`] without terms or when the checkpoint is of another configuration, [`Error::Cancelled`] when a
/// callback says so (the last epoch's checkpoint stays), and those of the operators.
pub fn fit<L: Learner + ?Sized>(
    learner: &mut L,
    batches: &dyn Batches,
    terms: &[(f64, &dyn LossTerm)],
    config: &FitConfig,
    checkpoint: Option<&Checkpoint>,
    callbacks: &mut [&mut dyn Callback<L>],
) -> Result<Summary> {
    if terms.is_empty() {
        return Err(Error::invalid("terms", "at least one loss term", 0));
    }
    let mut optimizer = Optimizer::new(config.optimizer);
    let mut position = Position { n_epochs_done: 0, finished: config.n_epochs == 0 };
    if let Some(checkpoint) = checkpoint {
        if let Some(saved) = checkpoint.load(learner, &mut optimizer, callbacks)? {
            position = saved;
        }
    }
    let mut summary = Summary::default();
    while !position.finished {
        let epoch = position.n_epochs_done;
        let mean_loss = run_epoch(learner, batches, terms, config, &mut optimizer, epoch, callbacks)?;
        summary.epoch_losses.push(mean_loss);
        position.n_epochs_done += 1;
        let event = EpochEnd { n_epochs_done: position.n_epochs_done, n_epochs: config.n_epochs, mean_loss };
        position.finished = position.n_epochs_done >= config.n_epochs;
        for callback in callbacks.iter_mut() {
            position.finished |= callback.on_epoch(learner, &mut optimizer, &event)? == Flow::Stop;
        }
        if let Some(checkpoint) = checkpoint {
            checkpoint.save(&position, learner, &optimizer, callbacks)?;
        }
    }
    for callback in callbacks.iter_mut() {
        callback.on_finish(learner)?;
    }
    Ok(summary)
}

fn run_epoch<L: Learner + ?Sized>(
    learner: &mut L,
    batches: &dyn Batches,
    terms: &[(f64, &dyn LossTerm)],
    config: &FitConfig,
    optimizer: &mut Optimizer,
    epoch: usize,
    callbacks: &mut [&mut dyn Callback<L>],
) -> Result<f64> {
    let per_epoch = batches.n_batches();
    let n_steps = config.n_epochs * per_epoch;
    let mut total_loss = 0.0;
    for index in 0..per_epoch {
        let done = epoch * per_epoch + index;
        let batch = batches.batch(epoch, index)?;
        let lr = config.schedule.lr(done, n_steps, per_epoch);
        let trainables = learner.trainables();
        let step = Step::train(config.seed, done as u64);
        let loss = total(learner, &batch, terms, &trainables, &step)?;
        let mut gradients = ops::backward(&loss)?;
        if let Some(limit) = config.clip_norm {
            clip(&mut gradients, &trainables, limit)?;
        }
        optimizer.step(&trainables, &gradients, lr)?;
        let loss = loss.to_scalar::<f32>()?;
        total_loss += f64::from(loss);
        let event = StepEnd { n_steps_done: done + 1, n_steps, epoch, loss, lr };
        for callback in callbacks.iter_mut() {
            callback.on_step(learner, optimizer, &event)?;
        }
    }
    Ok(total_loss / per_epoch.max(1) as f64)
}

fn total<L: Learner + ?Sized>(
    learner: &L,
    batch: &Batch,
    terms: &[(f64, &dyn LossTerm)],
    trainables: &[Trainable],
    step: &Step,
) -> Result<candle_core::Tensor> {
    let mut want: Vec<String> = Vec::new();
    for (_, term) in terms {
        for name in term.want() {
            if !want.contains(&name) {
                want.push(name);
            }
        }
    }
    let want: Vec<&str> = want.iter().map(String::as_str).collect();
    let outputs = learner.outputs(&batch.images, &want, step)?;
    let context = LossContext { outputs: &outputs, batch, trainables, step };
    let mut sum: Option<candle_core::Tensor> = None;
    for &(weight, term) in terms {
        let mut loss = term.loss(&context)?;
        if weight != 1.0 {
            loss = (loss * weight)?;
        }
        sum = Some(match sum {
            Some(sum) => (sum + loss)?,
            None => loss,
        });
    }
    Ok(sum.expect("fit refuses an empty list of terms"))
}

/// Scales all gradients by `limit / norm` where their global L2 norm exceeds `limit`.
fn clip(gradients: &mut ops::Gradients, trainables: &[Trainable], limit: f64) -> Result<()> {
    let mut squares = 0.0;
    for trainable in trainables {
        if let Some(gradient) = gradients.get(&trainable.var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm > limit {
        gradients.scale(limit / norm)?;
    }
    Ok(())
}
