//! One training phase of the pipeline: batches, loss, the best epoch by validation, checkpoint, progress.

use std::fmt;

use nnc_core::candle::Device;
use nnc_core::data::{Augment, BatchConfig, Batches, Dataset, Normalization};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model;
use nnc_core::source::Step;
use nnc_core::train::{
    Callback, Checkpoint, CrossEntropy, Fit, FitConfig, KeepBest, Learner, Optimizer, StepEnd, Trainee, fit,
};
use nnc_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::{Job, Watch};
use crate::recipe::{Phase, Recipe, Store};

/// Images in a batch of an evaluation; it changes no result.
const EVALUATION_BATCH: usize = 250;

/// How many images of a set a model gets wrong (top 1), by its output `logits`.
///
/// # Errors
/// Those of the model.
pub fn evaluate(model: &dyn Model, data: &Dataset, normalization: &Normalization) -> Result<ErrorCount> {
    let batches =
        Batches::new(data, normalization, BatchConfig::evaluation(EVALUATION_BATCH.min(data.len())))?;
    let mut errors = ErrorCount::default();
    for batch in batches.epoch(0).iter(&Device::Cpu) {
        let batch = batch?;
        let outputs = model.outputs(&batch.images, &["logits"], &Step::eval())?;
        errors.add(outputs.get("logits")?, &batch.labels)?;
    }
    Ok(errors)
}

/// Where in the pipeline a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Dense,
    Pruned,
    Shared,
}

/// Trains `trainee` for one phase and leaves it in the state of its best epoch by validation errors.
pub(super) fn train(
    job: &Job<'_>,
    phase: &Phase,
    stage: Stage,
    step: &str,
    trainee: &mut Trainee,
    progress: &mut Progress<'_>,
) -> Result<()> {
    // Each phase has its own stream of shuffles, crops and dropout.
    let seed = job.recipe.seed
        ^ u64::from_le_bytes(digest(&[step.as_bytes()])[..8].try_into().expect("8 of 32 bytes"));
    let augment = Augment { shift: phase.jitter, ..Augment::default() };
    let batches = BatchConfig { augment, ..BatchConfig::training(phase.batch_size, seed) };
    let batches = Batches::new(job.data.train(), job.normalization, batches)?;
    let config = FitConfig {
        seed,
        n_epochs: phase.n_epochs,
        schedule: phase.schedule,
        optimizer: phase.optimizer,
        clip_norm: None,
    };
    let checkpoint = job.state_dir.map(|dir| {
        let key = key(job, stage, step);
        let file = format!("{}-{key}.safetensors", step.replace([' ', '/'], "-"));
        Checkpoint::new(dir.join(file), key)
    });
    let loss = CrossEntropy::new("logits");
    let run = Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: checkpoint.as_ref() };
    let score = |trainee: &Trainee| {
        // Fewer errors are better; a whole count compares exactly.
        evaluate(trainee, job.data.validation(), job.normalization).map(|errors| -(errors.n_errors as f64))
    };
    let n_steps = phase.n_epochs * batches.n_batches();
    fit(trainee, &run, &mut [&mut KeepBest::new(score), &mut progress.of_step(step)])?;
    progress.done += n_steps;
    Ok(())
}

/// The key of a step's checkpoint: everything that its result depends on, and nothing that only later steps read, so that
/// recipes which share their first steps share those checkpoints.
fn key(job: &Job<'_>, stage: Stage, step: &str) -> String {
    let mut recipe = job.recipe.clone();
    for layer in &mut recipe.layers {
        layer.store = Store::default();
        if stage < Stage::Shared {
            layer.share = None;
        }
    }
    if stage < Stage::Shared {
        recipe.sharing = None;
    }
    if stage < Stage::Pruned {
        recipe.layers.clear();
        recipe.retraining = None;
    }
    let recipe = serde_json::to_vec(&recipe).expect("a recipe has no map with keys that are not text");
    let network = serde_json::to_vec(job.network).expect("a network has no map with keys that are not text");
    let n_images = (job.data.train().len() as u64).to_le_bytes();
    let normalization = serde_json::to_vec(job.normalization).expect("two lists of numbers");
    let data = job.data.fingerprint().as_bytes();
    hex(&digest(&[&recipe, &network, data, &n_images, &normalization, step.as_bytes()])[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Training steps of the whole job, told to its [`Watch`].
pub(super) struct Progress<'a> {
    watch: &'a mut dyn Watch,
    done: usize,
    total: usize,
}

impl<'a> Progress<'a> {
    pub(super) fn new(job: &Job<'_>, watch: &'a mut dyn Watch) -> Result<Self> {
        let Recipe { training, retraining, sharing, .. } = job.recipe;
        let steps = |phase: &Phase| {
            let per_epoch = job.data.train().len().checked_div(phase.batch_size);
            let per_epoch = per_epoch.ok_or_else(|| Error::invalid("batch_size", "at least 1", 0));
            per_epoch.map(|per_epoch| phase.n_epochs * per_epoch)
        };
        let mut total = 0;
        if let Some(phase) = training {
            total += steps(phase)?;
        }
        if let Some(retraining) = retraining {
            if retraining.rounds > 1 {
                total += (retraining.rounds - 1).saturating_mul(steps(retraining.phase(1)?)?);
            }
            total += steps(&retraining.last)?;
        }
        if let Some(sharing) = sharing {
            total += steps(&sharing.phase)?;
        }
        Ok(Self { watch, done: 0, total })
    }

    fn of_step<'s>(&'s mut self, step: &'s str) -> Report<'s, 'a> {
        Report { progress: self, step }
    }
}

/// Passes each training step on.
struct Report<'s, 'a> {
    progress: &'s mut Progress<'a>,
    step: &'s str,
}

impl fmt::Debug for Report<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("step", &self.step).finish_non_exhaustive()
    }
}

impl<L: Learner + ?Sized> Callback<L> for Report<'_, '_> {
    fn on_step(&mut self, _learner: &mut L, _optimizer: &mut Optimizer, event: &StepEnd) -> Result<()> {
        let Progress { watch, done, total } = &mut *self.progress;
        watch.progress(self.step, *done + event.n_steps_done, *total)
    }
}
