//! One network: pruned once, then shared at every point, each as an archive in the state folder; and all of them tested.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nnc::archive::{Archive, Meta};
use nnc::deep_compression::{Compressed, Job, evaluate, run};
use nnc::pipeline::{self, Stored};
use nnc::recipe::Recipe;
use nnc_core::candle::Device;
use nnc_core::data::{Dataset, Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::network::Network;
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::source::VarSource;
use nnc_core::train::Trainee;
use nnc_core::weight::StoredWeight;
use nnc_quant::codebook::Init;

use super::budget::{self, Budgets};
use super::plan::{Model, Plan, STARTS, Subject};
use crate::experiment::{Context, Progress, Span, Told, state};

/// A number of bits and a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) bits: u32,
    pub(super) init: Init,
}

/// What one point was, not tested yet.
struct Shared {
    point: Point,
    /// Sum of squares of all shared layers, before training.
    sum_of_squares: f64,
    untrained: PathBuf,
    trained: PathBuf,
}

/// A network at every point, not tested yet.
pub(super) struct Finished {
    model: Model,
    network: Network,
    pruned: Params,
    points: Vec<Shared>,
    budgets: Budgets,
}

/// What the test set said of one point.
#[derive(Debug)]
pub(super) struct TestedPoint {
    pub(super) point: Point,
    pub(super) sum_of_squares: f64,
    pub(super) untrained: ErrorCount,
    pub(super) trained: ErrorCount,
    /// Length of the trained network's archive.
    pub(super) file_bytes: u64,
}

/// What the test set said of a network at every point.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) model: Model,
    pub(super) pruned: ErrorCount,
    pub(super) points: Vec<TestedPoint>,
    pub(super) budgets: Budgets,
}

/// Trains, prunes and shares `subject`; goes on from what the state folder holds.
pub(super) fn compute(
    ctx: &Context,
    plan: &Plan,
    subject: &Subject,
    data: &Splits,
    normalization: &Normalization,
    progress: &dyn Progress,
) -> Result<Finished> {
    let (network, specs) = subject.model.build(data.train())?;
    let folder = ctx.state_dir().join(format!("{}-seed{}", subject.model.name(), subject.recipe.seed));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let work = Work { network: &network, specs: &specs, data, normalization, folder: &folder };

    let until = plan.share_of_pruning(subject);
    let span = Span::new(progress, 0.0, until);
    let told = Told::new(subject.model.name(), &span);
    let pruned = work.run(&subject.without_sharing(), told)?.pruned;
    let mut points = Vec::new();
    for &bits in &plan.bits {
        for (init, start) in STARTS {
            let done = |n: usize| until + (1.0 - until) * n as f64 / plan.n_points() as f64;
            let span = Span::new(progress, done(points.len()), done(points.len() + 1));
            let what = format!("{}, {bits} bits, {start}", subject.model.name());
            let recipe = subject.sharing(bits, init);
            let trained = work.trained(&format!("{bits}-bits-{start}"), &recipe, Told::new(what, &span))?;
            let (sum_of_squares, stored) = untrained(&pruned, &recipe)?;
            let untrained = work.write(&format!("{bits}-bits-{start}-untrained"), network.clone(), stored)?;
            points.push(Shared { point: Point { bits, init }, sum_of_squares, untrained, trained });
            progress.check()?;
        }
    }
    let budgets = budget::compare(&pruned, &shared_names(&pruned, &subject.recipe)?, &plan.bits)?;
    Ok(Finished { model: subject.model, network, pruned, points, budgets })
}

/// What every run of one network shares.
struct Work<'a> {
    network: &'a Network,
    specs: &'a ParamSpecs,
    data: &'a Splits,
    normalization: &'a Normalization,
    folder: &'a Path,
}

impl Work<'_> {
    fn run(&self, recipe: &Recipe, mut told: Told<'_>) -> Result<Compressed> {
        let Self { network, specs, data, normalization, folder } = *self;
        let job = Job { network, specs, data, normalization, recipe, state_dir: Some(folder) };
        Ok(run(&job, &mut told)?)
    }

    /// The archive of the network that `recipe` trains; one that is there already is kept.
    fn trained(&self, stem: &str, recipe: &Recipe, told: Told<'_>) -> Result<PathBuf> {
        let path = self.folder.join(format!("{stem}.nnc"));
        if !path.exists() {
            let Compressed { network, stored, .. } = self.run(recipe, told)?;
            self.write(stem, network, stored)?;
            self.forget_training()?;
        }
        Ok(path)
    }

    fn write(&self, stem: &str, network: Network, weights: Vec<Stored>) -> Result<PathBuf> {
        let meta = Meta { normalization: Some(self.normalization.clone()) };
        let path = self.folder.join(format!("{stem}.nnc"));
        state::write_atomic(&path, &Archive { network: Some(network), weights, meta }.write()?)?;
        Ok(path)
    }

    /// Removes the checkpoints of trained sharing, of which a full run would leave a gigabyte.
    fn forget_training(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("shared-")) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// The weights that `recipe` shares.
fn shared_names(params: &Params, recipe: &Recipe) -> Result<Vec<String>> {
    let names: Vec<String> = params.names().map(ToOwned::to_owned).collect();
    let layers = recipe.assign(&names)?;
    let shared =
        names.into_iter().zip(layers).filter(|(_, layer)| layer.is_some_and(|layer| layer.share.is_some()));
    Ok(shared.map(|(name, _)| name).collect())
}

/// The pruned network with shared values as k-means leaves them, and their `Σ |w - c|²` over all shared layers.
fn untrained(pruned: &Params, recipe: &Recipe) -> Result<(f64, Vec<Stored>)> {
    let names: Vec<String> = pruned.names().map(ToOwned::to_owned).collect();
    let (mut sum_of_squares, mut stored) = (0.0, Vec::new());
    for (param, layer) in pruned.iter().zip(recipe.assign(&names)?) {
        let weight = match layer.and_then(|layer| layer.share) {
            Some(how) => {
                let shared = pipeline::share(&param.name, &param.tensor, how, recipe.seed)?;
                let difference = (&param.tensor - shared.value()?)?.flatten_all()?.to_vec1::<f32>()?;
                sum_of_squares += difference.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>();
                shared.stored()?
            }
            None => StoredWeight::dense(&param.tensor)?,
        };
        stored.push((param.name.clone(), param.kind, weight));
    }
    Ok((sum_of_squares, stored))
}

impl Finished {
    /// Tests the pruned network and every archive.
    pub(super) fn test(self, test: &Dataset, normalization: &Normalization) -> Result<Tested> {
        let errors = |network: &Network, params: &Params| {
            let trainee = Trainee::new(network.clone(), VarSource::new(params)?);
            evaluate(&trainee, test, normalization)
        };
        let read = |path: &Path| -> Result<ErrorCount> {
            let archive = Archive::open(path)?;
            let network = archive.network.as_ref().context("the archive was written with its network")?;
            Ok(errors(network, &archive.params(&Device::Cpu)?)?)
        };
        let mut points = Vec::new();
        for Shared { point, sum_of_squares, untrained, trained } in self.points {
            let file_bytes = fs::metadata(&trained)?.len();
            let (untrained, trained) = (read(&untrained)?, read(&trained)?);
            points.push(TestedPoint { point, sum_of_squares, untrained, trained, file_bytes });
        }
        let pruned = errors(&self.network, &self.pruned)?;
        Ok(Tested { model: self.model, pruned, points, budgets: self.budgets })
    }
}
