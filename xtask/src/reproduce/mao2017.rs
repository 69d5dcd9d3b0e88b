//! Mao et al., "Exploring the Regularity of Sparse Structure in Convolutional Neural Networks" (2017), on MNIST.
//!
//! One dense LeNet-5 is pruned at four granularities with one recipe: accuracy against density, and the storage of each at
//! equal accuracy. Choices are made on the validation images; the test images are read once, at the end. The paper's ImageNet
//! rows are its storage model, recomputed from its densities.

mod arithmetic;
mod plan;
mod rows;
mod train;

use std::time::Duration;

use anyhow::Result;
use nnc::deep_compression::evaluate;
use nnc_core::candle::Device;
use nnc_core::data::Splits;
use nnc_core::metrics::ErrorCount;
use nnc_core::network::{Network, zoo};
use nnc_core::params::Params;
use nnc_core::source::{ParamSource as _, VarSource};
use nnc_core::train::Trainee;
use nnc_prune::granularity::Reduction;
use nnc_prune::granularity::storage::{StorageBits, storage_bits};
use nnc_prune::importance::magnitude::magnitude;
use nnc_prune::{Gradient, Granularity, MaskedSource, Masks, select};
use serde_json::Value;

use self::plan::{INDEX_BITS, LAYERS, Plan, VALUE_BITS};
use self::train::Training;
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Mao2017;

impl Experiment for Mao2017 {
    fn name(&self) -> &'static str {
        "mao2017"
    }

    fn title(&self) -> &'static str {
        "Pruning granularity: accuracy and storage of LeNet-5 on MNIST"
    }

    fn paper(&self) -> &'static str {
        "Mao et al.: Exploring the Regularity of Sparse Structure in Convolutional Neural Networks, CVPR Workshops 2017"
    }

    fn data(&self) -> DataKind {
        DataKind::Mnist
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 15,
            Profile::Quick => 150,
            Profile::Full => 25 * 60,
        })
    }

    fn config(&self, ctx: &Context) -> Value {
        Plan::new(ctx.profile()).to_json()
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let plan = Plan::new(ctx.profile());
        let (data, normalization) = ctx.data().splits(plan.n_training_images)?;
        let found = {
            let training = Training::new(ctx, &plan, &data, &normalization, progress);
            explore(ctx, &plan, &data, &training)?
        };
        progress.stage("testing");
        let test = data.into_test()?;
        let tested = rows::choose(&found).into_iter().map(|point| {
            let trainee = Trainee::new(found.network.clone(), VarSource::new(&point.params)?);
            evaluate(&trainee, &test, &normalization)
        });
        let tested = tested.collect::<nnc_core::Result<Vec<ErrorCount>>>()?;
        progress.fraction(1.0);
        let mut outcome = rows::outcome(&found, &tested, plan.makes_claims);
        outcome.rows.extend(arithmetic::rows());
        Ok(outcome)
    }
}

/// A network at one density.
#[derive(Debug, Clone)]
struct Point {
    /// Share of the convolutions' weights that are left.
    density: f64,
    /// What they would take.
    bits: StorageBits,
    validation: ErrorCount,
    params: Params,
}

/// All that was trained.
#[derive(Debug)]
struct Found {
    network: Network,
    /// The convolutions' weights.
    n_weights: u64,
    dense: Point,
    /// Each granularity with its points, densest first.
    curves: Vec<(&'static str, Vec<Point>)>,
}

/// Trains the dense network, and prunes it step by step at each granularity.
fn explore(ctx: &Context, plan: &Plan, data: &Splits, training: &Training<'_>) -> Result<Found> {
    let config =
        zoo::LeNetConfig { image: data.train().shape(), classes: data.train().n_classes(), dropout: None };
    let (network, specs) = zoo::lenet_5(&config)?;
    let params = specs.init(ctx.seed(), &Device::Cpu)?;
    let mut trainee = Trainee::new(network.clone(), VarSource::new(&params)?);
    let validation = training.run("dense", &plan.dense, &mut trainee)?;
    let params = trainee.source.snapshot()?;
    let mut n_weights = 0;
    for layer in LAYERS {
        n_weights += params.tensor(layer)?.elem_count() as u64;
    }
    let bits = StorageBits { values: n_weights * u64::from(VALUE_BITS), ..StorageBits::default() };
    let dense = Point { density: 1.0, bits, validation, params };
    let mut curves = Vec::new();
    for &(name, granularity) in plan::GRANULARITIES {
        let mut points = Vec::new();
        for (round, &density) in plan.densities.iter().enumerate() {
            let before = points.last().unwrap_or(&dense);
            let step = format!("{name} {}", round + 1);
            points.push(prune(&network, before, granularity, density, |trainee| {
                training.run(&step, &plan.retraining, trainee)
            })?);
        }
        curves.push((name, points));
    }
    Ok(Found { network, n_weights, dense, curves })
}

/// Prunes the convolutions of `before` to `density`, and retrains what is left.
fn prune(
    network: &Network,
    before: &Point,
    granularity: Granularity,
    density: f64,
    retrain: impl FnOnce(&mut Trainee) -> Result<ErrorCount>,
) -> Result<Point> {
    let masks = Masks::new();
    let (mut n_kept, mut n_weights, mut bits) = (0, 0, StorageBits::default());
    for layer in LAYERS {
        let weight = before.params.tensor(layer)?;
        let groups = granularity.groups(weight.dims())?;
        let scores = groups.reduce(&magnitude(weight)?, Reduction::Sum)?.into_owned();
        let n_groups = plan::n_kept(layer, density, groups.len());
        let choice = select::largest(&scores, &[groups.len()], n_groups)?;
        let stored = storage_bits(&groups, &choice, VALUE_BITS, INDEX_BITS)?;
        bits.values += stored.values;
        bits.indices += stored.indices;
        bits.escapes += stored.escapes;
        let mask = groups.expand(&choice)?;
        n_kept += mask.n_kept();
        n_weights += mask.len();
        masks.set(layer, mask)?;
    }
    let source = MaskedSource::new(VarSource::new(&before.params)?, masks, Gradient::Masked)?;
    let mut trainee = Trainee::new(network.clone(), source);
    let validation = retrain(&mut trainee)?;
    // The snapshot sees the weights through their masks, so that what is pruned scores 0 in the next round.
    let params = trainee.source.snapshot()?;
    Ok(Point { density: n_kept as f64 / n_weights as f64, bits, validation, params })
}

#[cfg(test)]
mod tests;
