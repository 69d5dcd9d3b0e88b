//! Training that tells an experiment's progress bar how far it is, and hears the wish to stop.

use std::fmt;

use nnc::deep_compression::Watch;
use nnc_core::train::{Callback, Learner, Optimizer, StepEnd};
use nnc_core::{Error, Result};

use super::Progress;

/// Passes each training step on, and the wish to stop back: of one `fit`, or of a whole pipeline.
///
/// It goes from 0 to 1; give it the [`Span`](super::Span) of what it is a part of.
pub(crate) struct Told<'a> {
    label: String,
    progress: &'a dyn Progress,
}

impl<'a> Told<'a> {
    /// `label` says what is trained.
    pub(crate) fn new(label: impl Into<String>, progress: &'a dyn Progress) -> Self {
        Self { label: label.into(), progress }
    }

    fn tell(&self, stage: &str, done: usize, total: usize) -> Result<()> {
        self.progress.stage(stage);
        self.progress.fraction(done as f64 / total as f64);
        if self.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Watch for Told<'_> {
    fn progress(&mut self, step: &str, done: usize, total: usize) -> Result<()> {
        self.tell(&format!("{}: {step}", self.label), done, total)
    }
}

impl<L: Learner + ?Sized> Callback<L> for Told<'_> {
    fn on_step(&mut self, _: &mut L, _: &mut Optimizer, event: &StepEnd) -> Result<()> {
        self.tell(&self.label, event.n_steps_done, event.n_steps)
    }
}
