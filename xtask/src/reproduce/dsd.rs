//! Han et al., "DSD" (ICLR 2017): dense-sparse-dense training against dense training that is as long, on MNIST.
//!
//! For each seed one dense network is trained. From it go on: DSD (sparse, then dense at a tenth of the rate), and the same
//! course without any pruning. Beside them stands one dense run as long as all three phases. Nothing is chosen, so validation
//! data serve for the notes only; the test set is read once, when all networks are trained.

mod plan;
mod rows;

use std::time::Duration;

use anyhow::{Context as _, Result};
use nnc::deep_compression::evaluate;
use nnc_core::candle::{Device, Tensor};
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model as _;
use nnc_core::network::Network;
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::source::{ParamSource as _, Step, VarSource};
use nnc_core::train::Trainee;
use nnc_prune::dense_sparse_dense::{DsdConfig, Phase, PhaseKind, dense_sparse_dense};
use nnc_prune::{Gradient, MaskedSource, Masks};
use serde_json::Value;

use self::plan::{ModelPlan, Plan, SPARSITY};
use super::course::{Course, Runner};
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Dsd;

impl Experiment for Dsd {
    fn name(&self) -> &'static str {
        "dsd"
    }

    fn title(&self) -> &'static str {
        "Dense-sparse-dense training: LeNet-300-100 and LeNet-5 on MNIST"
    }

    fn paper(&self) -> &'static str {
        "Han, Pool, Narang, Mao, et al.: DSD: Dense-Sparse-Dense Training for Deep Neural Networks, ICLR 2017"
    }

    fn data(&self) -> DataKind {
        DataKind::Mnist
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 10,
            Profile::Quick => 120,
            Profile::Full => 30 * 60,
        })
    }

    fn config(&self, ctx: &Context) -> Value {
        Plan::new(ctx.profile(), ctx.seed()).to_json()
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let plan = Plan::new(ctx.profile(), ctx.seed());
        let (data, normalization) = ctx.data().splits(plan.n_training_images)?;
        let runner = Runner::new(&data, &normalization, ctx.state_dir(), progress, plan.cost());
        let mut trained = Vec::new();
        for model in &plan.models {
            for &seed in &model.seeds {
                trained.push(Study::new(&runner, model, seed)?.run()?);
            }
        }
        progress.stage("testing");
        let test = data.into_test()?;
        let tested =
            trained.into_iter().map(|run| run.test(&test, &normalization)).collect::<Result<Vec<_>>>()?;
        progress.fraction(1.0);
        Ok(Outcome {
            rows: rows::rows(&plan, &tested),
            notes: rows::notes(&plan, &tested),
            ..Outcome::default()
        })
    }
}

/// Which network of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// After the first dense phase.
    Dense,
    /// After the sparse phase.
    Sparse,
    /// After all three phases.
    Dsd,
    /// The three phases, nothing pruned.
    DenseAsLong,
    /// One dense run as long as the three phases.
    OneRun,
}

impl Variant {
    const ALL: [Self; 5] = [Self::Dense, Self::Sparse, Self::Dsd, Self::DenseAsLong, Self::OneRun];

    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::Dsd => "dsd",
            Self::DenseAsLong => "dense-as-long",
            Self::OneRun => "one-run",
        }
    }
}

/// What the spec of the method promises, measured where the masks come off.
#[derive(Debug, Clone, Copy)]
struct Invariants {
    /// Zeros among the weights that were pruned, less the number promised.
    surplus_zeros: f64,
    /// The largest difference of a logit, before against after.
    change: f64,
}

/// All networks of one seed.
struct Trained<'a> {
    model: &'a ModelPlan,
    seed: u64,
    network: Network,
    networks: Vec<(Variant, Params, ErrorCount)>,
    invariants: Invariants,
}

/// Their errors.
struct Tested<'a> {
    model: &'a ModelPlan,
    seed: u64,
    /// Variant, validation errors, test errors.
    errors: Vec<(Variant, ErrorCount, ErrorCount)>,
    invariants: Invariants,
}

/// The training of one model from one seed.
struct Study<'r, 'p> {
    runner: &'r Runner<'r>,
    model: &'p ModelPlan,
    seed: u64,
    network: Network,
    specs: ParamSpecs,
}

impl<'r, 'p> Study<'r, 'p> {
    fn new(runner: &'r Runner<'r>, model: &'p ModelPlan, seed: u64) -> Result<Self> {
        let (network, specs) = model.model.build(runner.data.train())?;
        Ok(Self { runner, model, seed, network, specs })
    }

    fn run(self) -> Result<Trained<'p>> {
        let mut networks = Vec::new();
        let invariants = self.phases(SPARSITY, "dsd", &mut networks)?;
        let invariants = invariants.context("a sequence ends with a dense phase")?;
        // The same three phases, nothing pruned.
        let mut control = Vec::new();
        self.phases(0.0, "as-long", &mut control)?;
        let (_, params, errors) = control.pop().context("the control has a last phase")?;
        networks.push((Variant::DenseAsLong, params, errors));
        let (mut trainee, _) = self.trainee()?;
        self.runner.train(&mut trainee, &self.course("one-run", 3 * self.model.n_epochs, 1.0))?;
        networks.push((Variant::OneRun, trainee.source.snapshot()?, self.validate(&trainee)?));
        let Self { model, seed, network, .. } = self;
        Ok(Trained { model, seed, network, networks, invariants })
    }

    /// Dense, sparse, dense; pushes the network after each phase.
    fn phases(
        &self,
        sparsity: f64,
        label: &str,
        networks: &mut Vec<(Variant, Params, ErrorCount)>,
    ) -> Result<Option<Invariants>> {
        let (mut trainee, masks) = self.trainee()?;
        let config = DsdConfig { patterns: vec!["*.weight".into()], sparsity, n_rounds: 1 };
        let (mut before, mut invariants): (Option<Vec<f32>>, _) = (None, None);
        dense_sparse_dense(&mut trainee, &masks, &config, |trainee, phase| {
            if let Some(before) = &before
                && phase.kind == PhaseKind::Redense
            {
                invariants = Some(self.invariants(trainee, before, sparsity)?);
            }
            // Both sequences go on from one dense network, whose checkpoint they share.
            let name = match phase.kind {
                PhaseKind::Dense => phase.name(),
                PhaseKind::Sparse | PhaseKind::Redense => format!("{label}-{}", phase.name()),
            };
            self.runner.train(trainee, &self.course_of(&name, phase))?;
            if phase.kind == PhaseKind::Sparse {
                before = Some(self.logits(trainee)?);
            }
            networks.push((variant(phase), trainee.source.snapshot()?, self.validate(trainee)?));
            Ok(())
        })?;
        Ok(invariants)
    }

    /// The untrained network of this seed.
    fn trainee(&self) -> Result<(Trainee, Masks)> {
        let masks = Masks::new();
        let source = VarSource::new(&self.specs.init(self.seed, &Device::Cpu)?)?;
        let source = MaskedSource::new(source, masks.clone(), Gradient::Masked)?;
        Ok((Trainee::new(self.network.clone(), source), masks))
    }

    fn course_of(&self, name: &str, phase: &Phase) -> Course {
        let course = self.course(name, self.model.n_epochs, phase.lr_scale());
        // Other shuffles than the phase before, and the same with and without pruning.
        Course { seed: course.seed ^ (phase_number(phase) << 32), ..course }
    }

    fn course(&self, name: &str, n_epochs: usize, lr_scale: f64) -> Course {
        let ModelPlan { model, .. } = self.model;
        Course {
            name: format!("{}-{}-{name}", model.name(), self.seed),
            seed: self.seed,
            n_epochs,
            lr: model.lr() * lr_scale,
            weight_decay: model.weight_decay(),
            epoch_cost: model.epoch_cost(),
        }
    }

    fn validate(&self, trainee: &Trainee) -> nnc_core::Result<ErrorCount> {
        evaluate(trainee, self.runner.data.validation(), self.runner.normalization)
    }

    /// The logits of the first validation images.
    fn logits(&self, trainee: &Trainee) -> nnc_core::Result<Vec<f32>> {
        let (data, normalization) = (self.runner.data.validation(), self.runner.normalization);
        let batches = Batches::new(data, normalization, BatchConfig::evaluation(250.min(data.len())))?;
        let batch = batches.epoch(0).batch(0, &Device::Cpu)?;
        let outputs = trainee.outputs(&batch.images, &["logits"], &Step::eval())?;
        Ok(outputs.get("logits")?.flatten_all()?.to_vec1()?)
    }

    fn invariants(&self, trainee: &Trainee, before: &[f32], sparsity: f64) -> nnc_core::Result<Invariants> {
        let (mut zeros, mut promised) = (0.0, 0.0);
        for param in trainee.source.snapshot()?.iter().filter(|param| param.name.ends_with(".weight")) {
            zeros += n_zeros(&param.tensor)?;
            promised += (sparsity * param.tensor.elem_count() as f64).floor();
        }
        let after = self.logits(trainee)?;
        let differences = before.iter().zip(&after).map(|(b, a)| f64::from((b - a).abs()));
        Ok(Invariants { surplus_zeros: zeros - promised, change: differences.fold(0.0, f64::max) })
    }
}

fn n_zeros(tensor: &Tensor) -> nnc_core::Result<f64> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().filter(|&&w| w == 0.0).count() as f64)
}

fn variant(phase: &Phase) -> Variant {
    match phase.kind {
        PhaseKind::Dense => Variant::Dense,
        PhaseKind::Sparse => Variant::Sparse,
        PhaseKind::Redense => Variant::Dsd,
    }
}

fn phase_number(phase: &Phase) -> u64 {
    match phase.kind {
        PhaseKind::Dense => 0,
        PhaseKind::Sparse => 1,
        PhaseKind::Redense => 2,
    }
}

impl<'a> Trained<'a> {
    fn test(self, test: &Dataset, normalization: &Normalization) -> Result<Tested<'a>> {
        let Self { model, seed, network, networks, invariants } = self;
        let mut errors = Vec::new();
        for (variant, params, validation) in networks {
            let trainee = Trainee::new(network.clone(), VarSource::new(&params)?);
            errors.push((variant, validation, evaluate(&trainee, test, normalization)?));
        }
        Ok(Tested { model, seed, errors, invariants })
    }
}
