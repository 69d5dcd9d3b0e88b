//! Deep Compression from end to end: train, prune, retrain, share, train the shared values, code.
//!
//! # Source
//! Han, Mao, Dally, "Deep Compression", ICLR 2016; the pruning of its §2 is Han et al., NIPS 2015. We differ where
//! `docs/reproducing.md` says so: checkpoints are chosen on validation data, and the learning rate follows a cosine.

mod phase;

use std::path::Path;

use nnc_core::candle::Device;
use nnc_core::data::{Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::network::Network;
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::source::{ParamSource, VarSource};
use nnc_core::train::Trainee;
use nnc_core::{Error, Result};
use nnc_prune::importance::magnitude::standard_deviation;
use nnc_prune::{Gradient, MaskedSource, Masks, dead, dropout};
use nnc_quant::codebook::CodebookSource;

pub use phase::evaluate;

use self::phase::Stage;
use crate::pipeline::{self, Stored};
use crate::recipe::{Layer, Prune, Recipe};

/// What is compressed, on which data, how, and where it saves itself.
#[derive(Debug)]
pub struct Job<'a> {
    /// The graph; its output `logits` is trained.
    pub network: &'a Network,
    /// Its parameters' shapes and first values.
    pub specs: &'a ParamSpecs,
    /// What it is trained on, and what every choice is made on.
    pub data: &'a Splits,
    /// From bytes to numbers.
    pub normalization: &'a Normalization,
    /// What is done.
    pub recipe: &'a Recipe,
    /// A folder for checkpoints; a run that finds its own goes on from there.
    pub state_dir: Option<&'a Path>,
}

/// The network after each step of the pipeline.
#[derive(Debug)]
pub struct Compressed {
    /// The graph as it was trained last (dropout ratios adjusted).
    pub network: Network,
    /// Each step with what validation said of it, in order.
    pub steps: Vec<StepReport>,
    /// The dense parameters.
    pub dense: Params,
    /// The pruned and retrained parameters, before sharing.
    pub pruned: Params,
    /// Every parameter in its stored form.
    pub stored: Vec<Stored>,
    /// Connections cut because their neuron was dead.
    pub dead: dead::Removed,
}

/// What validation said after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The step: `dense`, `pruned 1/3`, …, `shared`, `coded`.
    pub step: String,
    /// Share of connections left in the weights that the recipe prunes, in `(0, 1]`.
    pub density: f64,
    /// Errors on the validation set.
    pub validation: ErrorCount,
}

/// Told how far the job is, after every training step; may end it with [`Error::Cancelled`].
pub trait Watch {
    /// `done` of `total` training steps of the whole job are done; `step` is the pipeline's.
    ///
    /// # Errors
    /// [`Error::Cancelled`] to stop; the last checkpoint stays.
    fn progress(&mut self, step: &str, done: usize, total: usize) -> Result<()>;
}

/// Runs the pipeline.
///
/// # Errors
/// [`Error::InvalidArgument`] for a recipe without a training section or with a number out of its range, [`Error::NoMatch`] for a pattern that matches no
/// parameter, [`Error::Cancelled`] when `watch` says so, and those of training.
pub fn run(job: &Job<'_>, watch: &mut dyn Watch) -> Result<Compressed> {
    let mut pipeline = Pipeline::new(job, watch)?;
    pipeline.dense()?;
    let dense = pipeline.params.clone();
    let dead = pipeline.prune()?;
    let pruned = pipeline.params.clone();
    let stored = pipeline.share()?;
    Ok(Compressed { network: pipeline.network, steps: pipeline.steps, dense, pruned, stored, dead })
}

/// The state that the steps hand on: parameters, masks, graph.
struct Pipeline<'a> {
    job: &'a Job<'a>,
    progress: phase::Progress<'a>,
    layers: Vec<(String, Option<&'a Layer>)>,
    network: Network,
    params: Params,
    masks: Masks,
    steps: Vec<StepReport>,
}

impl<'a> Pipeline<'a> {
    fn new(job: &'a Job<'a>, watch: &'a mut dyn Watch) -> Result<Self> {
        job.recipe.check()?;
        let params = job.specs.init(job.recipe.seed, &Device::Cpu)?;
        let names: Vec<String> = job.specs.iter().map(|spec| spec.name.clone()).collect();
        let layers = job.recipe.assign(&names)?;
        let layers = names.into_iter().zip(layers).collect();
        let progress = phase::Progress::new(job, watch)?;
        let network = job.network.clone();
        Ok(Self { job, progress, layers, network, params, masks: Masks::new(), steps: Vec::new() })
    }

    fn dense(&mut self) -> Result<()> {
        let Some(phase) = &self.job.recipe.training else {
            return Err(Error::invalid("recipe", "a [training] section", "none"));
        };
        let mut trainee = Trainee::new(self.network.clone(), VarSource::new(&self.params)?);
        phase::train(self.job, phase, Stage::Dense, "dense", &mut trainee, &mut self.progress)?;
        self.finish_step("dense", &trainee)
    }

    /// Prunes in rounds, each followed by retraining; then cuts what is dead.
    fn prune(&mut self) -> Result<dead::Removed> {
        let goals = self.goals()?;
        let Some(retraining) = &self.job.recipe.retraining else {
            return match goals.first() {
                Some((name, ..)) => {
                    let expected = format!("a [retraining] section, since it prunes `{name}`");
                    Err(Error::invalid("recipe", expected, "none"))
                }
                None => Ok(dead::Removed::default()),
            };
        };
        for round in 1..=retraining.rounds {
            for (name, goal, sigma) in &goals {
                let goal = goal.at_round(round, retraining.rounds);
                self.masks.set(name, pipeline::prune(self.params.tensor(name)?, goal, *sigma)?)?;
            }
            let density = |name: &str| self.masks.get(name).map(|mask| mask.density());
            dropout::adjust(&mut self.network, self.job.network, density)?;
            let source =
                MaskedSource::new(VarSource::new(&self.params)?, self.masks.clone(), Gradient::Masked)?;
            let mut trainee = Trainee::new(self.network.clone(), source);
            let step = format!("pruned {round}/{}", retraining.rounds);
            let phase = retraining.phase(round)?;
            phase::train(self.job, phase, Stage::Pruned, &step, &mut trainee, &mut self.progress)?;
            self.finish_step(&step, &trainee)?;
        }
        let removed = dead::remove(&self.network, &mut self.params, &self.masks)?;
        // All masks, not only those of the goals: a weight that is not pruned loses what its dead neurons read and fed.
        for name in self.masks.names() {
            if let Some(mask) = self.masks.get(&name) {
                let masked = mask.apply(self.params.tensor(&name)?)?;
                self.params.replace(&name, masked)?;
            }
        }
        Ok(removed)
    }

    /// What is pruned, how far, and the standard deviation of the dense weight.
    fn goals(&self) -> Result<Vec<(String, Prune, f64)>> {
        let mut goals = Vec::new();
        for (name, layer) in &self.layers {
            if let Some(goal) = layer.and_then(|layer| layer.prune) {
                goals.push((name.clone(), goal, standard_deviation(self.params.tensor(name)?)?));
            }
        }
        Ok(goals)
    }

    /// Shares values, trains the shared ones, and puts every parameter into its stored form.
    fn share(&mut self) -> Result<Vec<Stored>> {
        let mut shared = Vec::new();
        for (name, layer) in &self.layers {
            if let Some(how) = layer.and_then(|layer| layer.share) {
                let weight = pipeline::share(name, self.params.tensor(name)?, how, self.job.recipe.seed)?;
                shared.push((name.clone(), weight));
            }
        }
        // What is pruned and not shared goes on training, under its mask.
        let masked = MaskedSource::new(VarSource::new(&self.params)?, self.masks.clone(), Gradient::Masked)?;
        let mut source = CodebookSource::new(masked, shared)?;
        if let Some(sharing) = &self.job.recipe.sharing {
            source = source.with_centroid_lr_scale(sharing.lr_scale);
        }
        let mut trainee = Trainee::new(self.network.clone(), source);
        if let Some(sharing) = &self.job.recipe.sharing {
            phase::train(
                self.job,
                &sharing.phase,
                Stage::Shared,
                "shared",
                &mut trainee,
                &mut self.progress,
            )?;
        }
        self.finish_step("shared", &trainee)?;
        self.layers.iter().map(|(name, layer)| self.stored(name, *layer, &*trainee.source)).collect()
    }

    fn stored(&self, name: &str, layer: Option<&Layer>, source: &dyn ParamSource) -> Result<Stored> {
        let kind = self.params.kind(name).expect("every parameter of the recipe was declared");
        let frozen = source.freeze(name)?;
        let Some(layer) = layer else { return Ok((name.to_owned(), kind, frozen)) };
        Ok((name.to_owned(), kind, pipeline::store(frozen, layer.store)?))
    }

    /// Takes over the trained parameters and asks validation what it thinks.
    fn finish_step(&mut self, step: &str, trainee: &Trainee) -> Result<()> {
        self.params = trainee.source.snapshot()?;
        let validation = evaluate(trainee, self.job.data.validation(), self.job.normalization)?;
        let density = self.density();
        self.steps.push(StepReport { step: step.to_owned(), density, validation });
        Ok(())
    }

    fn density(&self) -> f64 {
        let (mut kept, mut all) = (0, 0);
        for name in self.masks.names() {
            if let Some(mask) = self.masks.get(&name) {
                kept += mask.n_kept();
                all += mask.len();
            }
        }
        if all == 0 { 1.0 } else { kept as f64 / all as f64 }
    }
}
