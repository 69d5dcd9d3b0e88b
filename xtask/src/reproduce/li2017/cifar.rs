//! Li's curves on CIFAR-10: a trained network pruned layer by layer and as a whole, with and without retraining.
//!
//! Every figure is the accuracy of a really smaller network. Choices are made on validation images; the test set is read
//! once, when the pruned network that is reported has been chosen.

mod plan;
mod plots;
mod rows;

use anyhow::Result;
use nnc_core::Error;
use nnc_core::candle::Device;
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{Step, VarSource};
use nnc_core::sweep;
use nnc_core::train::{CrossEntropy, Fit, FitConfig, OptimizerConfig, Schedule, Trainee, fit};
use nnc_prune::filter::{self, FilterConfig, Norm, filter_norms};
use serde::{Deserialize, Serialize};

pub(super) use self::plan::Plan;
use self::plan::{LAYERS, Point};
use crate::experiment::data_set::Cifar10;
use crate::experiment::{Context, Outcome, Progress, Span};

/// Images in a batch of an evaluation; it changes no result.
const EVALUATION_BATCH: usize = 100;

/// What a pruned network can do and costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Found {
    /// Per cent of the validation images.
    accuracy: f64,
    /// Per cent of the whole network's multiply-accumulates.
    flop_cut: f64,
}

/// All that was found on validation images.
struct Curves {
    whole: Found,
    /// Per layer the norms of its filters, largest first, over the largest.
    norms: Vec<Vec<f64>>,
    /// Per layer, over the shares of [`Plan::direct`].
    direct: Vec<Vec<Found>>,
    /// Per layer, over the shares of [`Plan::retrained`].
    retrained: Vec<Vec<Found>>,
    /// Over the shares of [`Plan::controls`], the mean over layers and, of random filters, draws.
    smallest: Vec<Found>,
    random: Vec<Found>,
    largest: Vec<Found>,
    /// Over the shares of [`Plan::high`], retrained.
    independent: Vec<Found>,
    greedy: Vec<Found>,
    /// Over the shares of [`Plan::trade_off`], retrained longer.
    trade_off: Vec<Found>,
}

/// The accuracy on test images of the whole network and of the one chosen.
struct Tested {
    whole: ErrorCount,
    pruned: ErrorCount,
    /// Which of [`Plan::trade_off`] was chosen.
    chosen: usize,
}

/// Everything that needs CIFAR-10.
pub(super) fn run(ctx: &Context, cifar10: &Cifar10, progress: &dyn Progress) -> Result<Outcome> {
    let plan = Plan::new(ctx.profile(), ctx.seed());
    let mut data = cifar10.open()?;
    data.truncate_train(plan.n_train)?;
    let (network, params, normalization) = cifar10.network()?;
    let bench = Bench { plan: &plan, network: &network, params: &params, normalization: &normalization };
    let curves = bench.curves(ctx, &data, &Span::new(progress, 0.0, 0.85))?;
    let chosen = rows::choose(&curves);
    progress.stage("retraining the network to be tested");
    let pruned = bench.pruned(&plan.trade_off_point(chosen), data.train())?;
    progress.stage("testing");
    let test = data.into_test()?;
    let whole = bench.errors(&bench.whole()?, &test, plan.n_test)?;
    let tested = Tested { whole, pruned: bench.errors(&pruned, &test, plan.n_test)?, chosen };
    progress.fraction(1.0);
    Ok(Outcome {
        rows: rows::rows(&plan, &curves, &tested),
        plots: plots::plots(&plan, &curves),
        notes: rows::notes(&plan),
        ..Outcome::default()
    })
}

/// The network that everything starts from.
struct Bench<'a> {
    plan: &'a Plan,
    network: &'a Network,
    params: &'a Params,
    normalization: &'a Normalization,
}

impl Bench<'_> {
    fn curves(&self, ctx: &Context, data: &Splits, progress: &dyn Progress) -> Result<Curves> {
        let plan = self.plan;
        let groups = plan.points();
        let total: usize = groups.iter().map(|(_, points)| points.len()).sum();
        let (mut done, mut found) = (0, Vec::new());
        for (stage, points) in &groups {
            progress.stage(stage);
            let (from, to) = (done as f64 / total as f64, (done + points.len()) as f64 / total as f64);
            let span = Span::new(progress, from, to);
            found.push(self.sweep(ctx, data, points, &span)?);
            done += points.len();
        }
        let mut found = found.into_iter();
        let mut next = || found.next().unwrap_or_default();
        let per_layer =
            |found: Vec<Found>| found.chunks(found.len() / LAYERS.len()).map(<[Found]>::to_vec).collect();
        let (direct, retrained) = (per_layer(next()), per_layer(next()));
        // Point i is of share i modulo their number.
        let n_shares = plan.controls.len();
        let per_share = |found: Vec<Found>| -> Vec<Found> {
            (0..n_shares).map(|share| mean(found.iter().skip(share).step_by(n_shares))).collect()
        };
        let (smallest, random, largest) = (per_share(next()), per_share(next()), per_share(next()));
        let accuracy = 100.0 - self.errors(&self.whole()?, data.validation(), plan.n_validation)?.percent();
        Ok(Curves {
            whole: Found { accuracy, flop_cut: 0.0 },
            norms: LAYERS.iter().map(|layer| self.norms(layer)).collect::<Result<_>>()?,
            direct,
            retrained,
            smallest,
            random,
            largest,
            independent: next(),
            greedy: next(),
            trade_off: next(),
        })
    }

    /// Finished points are kept in the state folder, so that an interrupted run goes on behind them.
    fn sweep(
        &self,
        ctx: &Context,
        data: &Splits,
        points: &[Point],
        progress: &dyn Progress,
    ) -> Result<Vec<Found>> {
        let n = points.len() as f64;
        let row = |point: &Point| self.found(point, data);
        let after = |done| {
            progress.fraction(done as f64 / n);
            if progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
        };
        Ok(sweep::sweep(points, Some(&ctx.state_dir().join("points")), row, after)?)
    }

    fn found(&self, point: &Point, data: &Splits) -> nnc_core::Result<Found> {
        let pruned = self.pruned(point, data.train())?;
        let errors = self.errors(&pruned, data.validation(), self.plan.n_validation)?;
        let macs =
            |network: &Network, params: &Params| Ok::<_, Error>(network.cost(params)?.total().macs as f64);
        let rest = macs(&pruned.network, &pruned.source.snapshot()?)?;
        let flop_cut = 100.0 * (1.0 - rest / macs(self.network, self.params)?);
        Ok(Found { accuracy: 100.0 - errors.percent(), flop_cut })
    }

    /// The network of a point: pruned at once, then retrained at a constant rate as in the paper (§4).
    fn pruned(&self, point: &Point, train: &Dataset) -> nnc_core::Result<Trainee> {
        let layers: Vec<(&str, f64)> = point.layers.iter().map(|&layer| (layer, point.share)).collect();
        let config = FilterConfig {
            order: point.control.order(),
            selection: point.selection(),
            ..FilterConfig::default()
        };
        let (network, params) = filter::prune(self.network, self.params, &layers, &config)?;
        let mut trainee = Trainee::new(network, VarSource::new(&params)?);
        if point.n_epochs > 0 {
            let batch = BatchConfig::training(self.plan.batch, self.plan.seed);
            let batches = Batches::new(train, self.normalization, batch)?;
            let loss = CrossEntropy::new("logits");
            let config = FitConfig {
                seed: self.plan.seed,
                n_epochs: point.n_epochs,
                schedule: Schedule::Constant { lr: self.plan.lr },
                optimizer: OptimizerConfig::sgd(self.plan.weight_decay),
                clip_norm: None,
            };
            fit(
                &mut trainee,
                &Fit { batches: &batches, terms: &[(1.0, &loss)], config, checkpoint: None },
                &mut [],
            )?;
        }
        Ok(trainee)
    }

    fn whole(&self) -> nnc_core::Result<Trainee> {
        Ok(Trainee::new(self.network.clone(), VarSource::new(self.params)?))
    }

    /// Errors on the first `n` images, in whole batches.
    fn errors(&self, model: &dyn Model, data: &Dataset, n: usize) -> nnc_core::Result<ErrorCount> {
        let batches = Batches::new(data, self.normalization, BatchConfig::evaluation(EVALUATION_BATCH))?;
        let mut errors = ErrorCount::default();
        for batch in batches.epoch(0).iter(&Device::Cpu).take(n.div_ceil(EVALUATION_BATCH)) {
            let batch = batch?;
            let outputs = model.outputs(&batch.images, &["logits"], &Step::eval())?;
            errors.add(outputs.get("logits")?, &batch.labels)?;
        }
        Ok(errors)
    }

    fn norms(&self, layer: &str) -> Result<Vec<f64>> {
        let mut norms = filter_norms(self.params.tensor(&format!("{layer}.weight"))?, Norm::L1)?;
        norms.sort_by(|a, b| b.total_cmp(a));
        Ok(norms.iter().map(|norm| f64::from(norm / norms[0])).collect())
    }
}

fn mean<'a>(found: impl Iterator<Item = &'a Found>) -> Found {
    let (mut n, mut accuracy, mut flop_cut) = (0.0, 0.0, 0.0);
    for found in found {
        n += 1.0;
        accuracy += found.accuracy;
        flop_cut += found.flop_cut;
    }
    Found { accuracy: accuracy / n, flop_cut: flop_cut / n }
}
