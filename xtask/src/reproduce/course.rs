//! One training run of an experiment: batches, loss, checkpoint, progress, the wish to stop.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::Result;
use nnc_core::Error;
use nnc_core::data::{BatchConfig, Batches, Normalization, Splits};
use nnc_core::train::{Checkpoint, CrossEntropy, Fit, FitConfig, OptimizerConfig, Schedule, Trainee, fit};

use crate::experiment::{Progress, Span, Told};

/// Images in a training batch.
const BATCH: usize = 64;

/// How to train for a while.
#[derive(Debug, Clone)]
pub(super) struct Course {
    /// Unique in its experiment: it names the checkpoint and the stage of the progress bar.
    pub(super) name: String,
    /// Keys shuffles and dropout.
    pub(super) seed: u64,
    pub(super) n_epochs: usize,
    /// The first learning rate; it falls to 0 along half a cosine.
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    /// What an epoch costs, in the unit of [`Runner::new`].
    pub(super) epoch_cost: f64,
}

/// What the training runs of an experiment share.
pub(super) struct Runner<'a> {
    pub(super) data: &'a Splits,
    pub(super) normalization: &'a Normalization,
    pub(super) state_dir: PathBuf,
    progress: &'a dyn Progress,
    total_cost: f64,
    done: Cell<f64>,
}

impl<'a> Runner<'a> {
    /// `total_cost` is the work of the whole experiment, in any unit.
    pub(super) fn new(
        data: &'a Splits,
        normalization: &'a Normalization,
        state_dir: PathBuf,
        progress: &'a dyn Progress,
        total_cost: f64,
    ) -> Self {
        Self { data, normalization, state_dir, progress, total_cost, done: Cell::new(0.0) }
    }

    /// Trains `trainee` with SGD (momentum 0.9, Nesterov); a course whose checkpoint is there goes on from it.
    pub(super) fn train(&self, trainee: &mut Trainee, course: &Course) -> Result<(), Error> {
        let batches =
            Batches::new(self.data.train(), self.normalization, BatchConfig::training(BATCH, course.seed))?;
        let config = FitConfig {
            seed: course.seed,
            n_epochs: course.n_epochs,
            schedule: Schedule::Cosine { lr: course.lr, end: 0.0, warmup: 0.0 },
            optimizer: OptimizerConfig::Sgd {
                momentum: 0.9,
                nesterov: true,
                weight_decay: course.weight_decay,
            },
            clip_norm: None,
        };
        let loss = CrossEntropy::new("logits");
        // The folder belongs to one configuration of the experiment, so the name is key enough.
        let checkpoint =
            Checkpoint::new(self.state_dir.join(format!("{}.safetensors", course.name)), &course.name);
        let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: Some(&checkpoint) };
        let cost = course.epoch_cost * course.n_epochs as f64;
        let done = |more: f64| (self.done.get() + more) / self.total_cost;
        let span = Span::new(self.progress, done(0.0), done(cost));
        fit(trainee, &run, &mut [&mut Told::new(course.name.as_str(), &span)])?;
        self.advance(cost)
    }

    /// Says what is being done.
    pub(super) fn stage(&self, what: &str) {
        self.progress.stage(what);
    }

    /// Counts work that is done.
    pub(super) fn advance(&self, cost: f64) -> Result<(), Error> {
        self.done.set(self.done.get() + cost);
        self.progress.fraction(self.done.get() / self.total_cost);
        if self.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Where progress is told.
    pub(super) fn progress(&self) -> &'a dyn Progress {
        self.progress
    }
}
