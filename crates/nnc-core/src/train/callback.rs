//! What happens between steps: progress, pruning, early stopping, keeping the best.

use std::fmt::Debug;

use super::{Learner, Optimizer};
use crate::Result;
use crate::params::Params;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End the training here; the run counts as finished.
    Stop,
}

/// A step that has just been taken.
#[derive(Debug, Clone, Copy)]
pub struct StepEnd {
    /// Steps done in the whole run, this one included.
    pub n_steps_done: usize,
    /// Steps of the whole run.
    pub n_steps: usize,
    /// Epochs completed before this step's epoch.
    pub epoch: usize,
    /// The loss of the step's batch, before the step.
    pub loss: f32,
    /// The learning rate of the step.
    pub lr: f64,
}

/// An epoch that has just ended.
#[derive(Debug, Clone, Copy)]
pub struct EpochEnd {
    /// Epochs completed, this one included.
    pub n_epochs_done: usize,
    /// Epochs of the whole run.
    pub n_epochs: usize,
    /// Mean loss over the epoch's batches.
    pub mean_loss: f64,
}

/// A hook into the training loop. A callback's [`state`](Self::state) is part of the checkpoint.
pub trait Callback<L: Learner + ?Sized>: Debug {
    /// After each step. [`Error::Cancelled`](crate::Error::Cancelled) ends the run without finishing it.
    ///
    /// # Errors
    /// The callback's own; they end the training.
    fn on_step(&mut self, _learner: &mut L, _optimizer: &mut Optimizer, _event: &StepEnd) -> Result<()> {
        Ok(())
    }

    /// After each epoch, before the checkpoint is written.
    ///
    /// # Errors
    /// The callback's own; they end the training.
    fn on_epoch(&mut self, _learner: &mut L, _optimizer: &mut Optimizer, _event: &EpochEnd) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// After the last epoch (also when an earlier callback stopped the run, or it was resumed when already finished).
    ///
    /// # Errors
    /// The callback's own.
    fn on_finish(&mut self, _learner: &mut L) -> Result<()> {
        Ok(())
    }

    /// What [`load_state`](Self::load_state) needs to continue exactly here.
    ///
    /// # Errors
    /// Those of copying tensors.
    fn state(&self) -> Result<Params> {
        Ok(Params::new())
    }

    /// Returns to a saved state.
    ///
    /// # Errors
    /// When an entry is missing or has another shape.
    fn load_state(&mut self, _state: &Params) -> Result<()> {
        Ok(())
    }
}

/// Scores the learner after each epoch and ends with the state of the best epoch (the first of equals).
///
/// The score should come from validation data; higher is better, and a score that is not a number is worse than any.
pub struct KeepBest<F> {
    score: F,
    best: Option<(f64, Params)>,
}

impl<F> KeepBest<F> {
    /// Keeps the best by `score`.
    pub fn new(score: F) -> Self {
        Self { score, best: None }
    }

    /// The best score so far.
    pub fn best_score(&self) -> Option<f64> {
        self.best.as_ref().map(|(score, _)| *score)
    }
}

impl<F> Debug for KeepBest<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeepBest").field("best_score", &self.best_score()).finish_non_exhaustive()
    }
}

impl<L: Learner + ?Sized, F: FnMut(&L) -> Result<f64>> Callback<L> for KeepBest<F> {
    fn on_epoch(&mut self, learner: &mut L, _optimizer: &mut Optimizer, _event: &EpochEnd) -> Result<Flow> {
        let score = (self.score)(learner)?;
        if self.best_score().is_none_or(|best| score > best || best.is_nan() && !score.is_nan()) {
            self.best = Some((score, learner.state()?));
        }
        Ok(Flow::Continue)
    }

    fn on_finish(&mut self, learner: &mut L) -> Result<()> {
        self.best.as_ref().map_or(Ok(()), |(_, state)| learner.load_state(state))
    }

    fn state(&self) -> Result<Params> {
        let mut saved = Params::new();
        if let Some((score, state)) = &self.best {
            saved.insert_number("score", *score)?;
            saved.extend_prefixed("best/", state);
        }
        Ok(saved)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.best = match state.get("score") {
            Some(_) => Some((state.number("score")?, state.strip_prefix("best/"))),
            None => None,
        };
        Ok(())
    }
}
