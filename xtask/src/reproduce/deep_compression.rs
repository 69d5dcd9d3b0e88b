//! Han, Mao, Dally, "Deep Compression" (ICLR 2016) on MNIST: Tables 2 and 3, from real files.
//!
//! Each run trains, prunes, shares and codes a network and writes one `.nnc` file. Only when every file of the experiment
//! has been written is the test set read, once, and each network **read back from its file** is tested on it.

mod accounting;
pub(in crate::reproduce) mod plan;
mod plots;
mod rows;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nnc::archive::{Archive, Ledger, Meta, ledger};
use nnc::deep_compression::{Compressed, Job, StepReport, evaluate, run};
use nnc_core::candle::Device;
use nnc_core::data::{Dataset, Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::VarSource;
use nnc_core::train::Trainee;
use serde_json::Value;

use self::accounting::LayerSize;
use self::plan::{Plan, RunPlan};
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress, Span, Told};

/// The experiment.
#[derive(Debug)]
pub(crate) struct DeepCompression;

impl Experiment for DeepCompression {
    fn name(&self) -> &'static str {
        "deep-compression"
    }

    fn title(&self) -> &'static str {
        "Deep Compression: LeNet-300-100 and LeNet-5 on MNIST"
    }

    fn paper(&self) -> &'static str {
        "Han, Mao, Dally: Deep Compression, ICLR 2016, Tables 1-3; pruning as in Han et al., NIPS 2015"
    }

    fn data(&self) -> DataKind {
        DataKind::Mnist
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 20,
            Profile::Quick => 150,
            Profile::Full => 35 * 60,
        })
    }

    fn flagship(&self) -> bool {
        true
    }

    fn config(&self, ctx: &Context) -> Value {
        Plan::new(ctx.profile(), ctx.seed()).to_json()
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let plan = Plan::new(ctx.profile(), ctx.seed());
        let (data, normalization) = ctx.data().splits(plan.n_training_images)?;
        let mut finished = Vec::new();
        for run_plan in &plan.runs {
            let (from, to) = plan.share_of(finished.len());
            let span = Span::new(progress, from, to);
            finished.push(run_once(ctx, run_plan, &data, &normalization, &span)?);
        }
        progress.stage("testing");
        let test = data.into_test()?;
        let tested = finished.into_iter().map(|run| run.test(&test)).collect::<Result<Vec<_>>>()?;
        progress.fraction(1.0);
        Ok(Outcome {
            rows: rows::rows(&plan, &tested)?,
            plots: plots::plots(&tested, ctx.data().is_papers()),
            files: tested.iter().map(|run| run.file.clone()).collect(),
            notes: rows::notes(&plan, &tested),
        })
    }
}

/// A compressed network in its file, not tested yet.
struct Finished<'a> {
    plan: &'a RunPlan,
    normalization: Normalization,
    /// The graph, as trained.
    network: Network,
    dense: Params,
    pruned: Params,
    steps: Vec<StepReport>,
    layers: Vec<LayerSize>,
    file: PathBuf,
    ledger: Ledger,
}

/// A compressed network and its errors on the test set.
struct Tested<'a> {
    plan: &'a RunPlan,
    steps: Vec<StepReport>,
    layers: Vec<LayerSize>,
    file: PathBuf,
    ledger: Ledger,
    dense: ErrorCount,
    pruned: ErrorCount,
    /// The network read from the file.
    coded: ErrorCount,
}

fn run_once<'a>(
    ctx: &Context,
    plan: &'a RunPlan,
    data: &Splits,
    normalization: &Normalization,
    progress: &dyn Progress,
) -> Result<Finished<'a>> {
    let (network, specs) = plan.model.build(data.train())?;
    let state_dir = ctx.state_dir().join(plan.model.name());
    std::fs::create_dir_all(&state_dir).with_context(|| format!("making {}", state_dir.display()))?;
    let job = Job {
        network: &network,
        specs: &specs,
        data,
        normalization,
        recipe: &plan.recipe,
        state_dir: Some(&state_dir),
    };
    let label = format!("{} (seed {})", plan.label(), plan.recipe.seed);
    let compressed = run(&job, &mut Told::new(label, progress))?;
    let bytes = archive(&compressed, normalization).write()?;
    let file = ctx.write(&format!("{}.nnc", plan.file_stem()), &bytes)?;
    let layers = accounting::layers(&compressed.stored, &plan.recipe)?;
    let Compressed { network, dense, pruned, steps, .. } = compressed;
    let normalization = normalization.clone();
    Ok(Finished { plan, normalization, network, dense, pruned, steps, layers, file, ledger: ledger(&bytes)? })
}

fn archive(compressed: &Compressed, normalization: &Normalization) -> Archive {
    Archive {
        network: Some(compressed.network.clone()),
        weights: compressed.stored.clone(),
        meta: Meta { normalization: Some(normalization.clone()) },
    }
}

impl<'a> Finished<'a> {
    /// Reads the file back and tests what it holds, and the networks before sharing and before pruning.
    fn test(self, test: &Dataset) -> Result<Tested<'a>> {
        let errors = |network: &Network, params: &Params| {
            let trainee = Trainee::new(network.clone(), VarSource::new(params)?);
            evaluate(&trainee, test, &self.normalization)
        };
        let (dense, pruned) = (errors(&self.network, &self.dense)?, errors(&self.network, &self.pruned)?);
        let read = Archive::open(&self.file)?;
        let network = read.network.as_ref().context("the archive was written with its network")?;
        let coded = errors(network, &read.params(&Device::Cpu)?)?;
        let Self { plan, steps, layers, file, ledger, .. } = self;
        Ok(Tested { plan, steps, layers, file, ledger, dense, pruned, coded })
    }
}
