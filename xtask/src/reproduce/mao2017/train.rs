//! One phase of training: the best epoch by validation, with checkpoint and progress.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use nnc::deep_compression::evaluate;
use nnc::recipe::Phase;
use nnc_core::data::{Augment, BatchConfig, Batches, Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::train::{Checkpoint, CrossEntropy, Fit, FitConfig, KeepBest, Trainee, fit};

use super::plan::Plan;
use crate::experiment::{Context, Progress, Span, Told};

/// What all phases of the experiment share.
pub(super) struct Training<'a> {
    ctx: &'a Context,
    data: &'a Splits,
    normalization: &'a Normalization,
    progress: &'a dyn Progress,
    n_epochs: usize,
    n_epochs_done: AtomicUsize,
}

impl<'a> Training<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        plan: &Plan,
        data: &'a Splits,
        normalization: &'a Normalization,
        progress: &'a dyn Progress,
    ) -> Self {
        let n_epochs = plan.n_epochs();
        Self { ctx, data, normalization, progress, n_epochs, n_epochs_done: AtomicUsize::new(0) }
    }

    /// Trains for `phase`, leaves the best epoch, and says what validation thinks of it.
    ///
    /// A step that an interrupted run has finished is only loaded.
    pub(super) fn run(&self, step: &str, phase: &Phase, trainee: &mut Trainee) -> Result<ErrorCount> {
        let seed = self.ctx.seed();
        let augment = Augment { shift: phase.jitter, ..Augment::default() };
        let batches = BatchConfig { augment, ..BatchConfig::training(phase.batch_size, seed) };
        let batches = Batches::new(self.data.train(), self.normalization, batches)?;
        let Phase { n_epochs, schedule, optimizer, .. } = *phase;
        let config = FitConfig { seed, n_epochs, schedule, optimizer, clip_norm: None };
        // The folder holds checkpoints of this very configuration only, so the step's name tells them apart.
        let file = format!("{}.safetensors", step.replace(' ', "-"));
        let checkpoint = Checkpoint::new(self.ctx.state_dir().join(file), step);
        let loss = CrossEntropy::new("logits");
        let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: Some(&checkpoint) };
        let score = |trainee: &Trainee| {
            evaluate(trainee, self.data.validation(), self.normalization)
                .map(|errors| -(errors.n_errors as f64))
        };
        let done = |n: usize| (self.n_epochs_done.load(Ordering::Relaxed) + n) as f64 / self.n_epochs as f64;
        let span = Span::new(self.progress, done(0), done(n_epochs));
        fit(trainee, &run, &mut [&mut KeepBest::new(score), &mut Told::new(step, &span)])?;
        self.n_epochs_done.fetch_add(n_epochs, Ordering::Relaxed);
        Ok(evaluate(trainee, self.data.validation(), self.normalization)?)
    }
}
