//! Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks" (NIPS 2015).
//!
//! Table 1 and the tables of both LeNets come from real files: each network is trained, pruned, retrained and written, and only
//! when everything has been chosen is the test set read, once, and the networks **read back** tested on it. The comparisons
//! (penalties, rounds, survivors, dropout, freezing) and the sensitivity of layers are validation errors. AlexNet and VGG-16
//! are the printed densities put on the shapes of the zoo's networks.

mod headline;
mod lab;
mod plan;
mod plots;
mod rows;
mod sensitivity;
mod studies;
mod tables;

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::headline::Finished;
use self::lab::Lab;
use self::plan::{Model, Plan};
use self::sensitivity::{Scan, Scanned, first_images, scan};
use self::studies::{Comparison, Freezing};
use crate::experiment::data_set::Cifar10;
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress, Span};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Han2015;

impl Experiment for Han2015 {
    fn name(&self) -> &'static str {
        "han2015"
    }

    fn title(&self) -> &'static str {
        "Learning both weights and connections: LeNets pruned without loss"
    }

    fn paper(&self) -> &'static str {
        "Han, Pool, Tran, Dally: Learning both Weights and Connections for Efficient Neural Networks, NIPS 2015, Tables 1, 3-6"
    }

    fn data(&self) -> DataKind {
        DataKind::Mnist
    }

    fn uses_cifar10(&self) -> bool {
        true
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 15,
            Profile::Quick => 130,
            Profile::Full => 45 * 60,
        })
    }

    fn config(&self, ctx: &Context) -> Value {
        Plan::new(ctx.profile(), ctx.seed()).to_json()
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let plan = Plan::new(ctx.profile(), ctx.seed());
        let (data, normalization) = ctx.data().splits(plan.n_training_images)?;
        let (cost, mut done) = (plan.cost(), 0.0);
        let mut finished = Vec::new();
        for (run_idx, run) in plan.runs.iter().enumerate() {
            let to = done + plan.cost_of_run(run_idx);
            let span = Span::new(progress, done / cost, to / cost);
            finished.push(headline::run_once(ctx, run, &data, &normalization, &span)?);
            done = to;
        }
        let state_dir = ctx.state_dir();
        let (data_of_lab, normalization) = (&data, &normalization);
        let done = Cell::new(done);
        let lab = Lab { data: data_of_lab, normalization, state_dir, seed: ctx.seed(), progress, cost, done };
        let comparison = studies::compare(&lab, &plan.study)?;
        let lenet_5 =
            finished.iter().find(|run| run.model == Model::LeNet5).context("every plan has a LeNet-5")?;
        let freezing = studies::freeze(&lab, &plan.study, &lenet_5.network, &lenet_5.dense)?;
        let scans = scans(ctx, &plan, &lab, &comparison, lenet_5)?;
        progress.stage("testing");
        let test = data.into_test()?;
        let tested = finished.into_iter().map(|run| run.test(&test)).collect::<Result<Vec<_>>>()?;
        progress.fraction(1.0);
        let found = Found { plan, tested, comparison, freezing, scans };
        Ok(Outcome {
            rows: rows::rows(&found)?,
            plots: plots::plots(&found),
            files: found.tested.iter().map(|run| run.file.clone()).collect(),
            notes: rows::notes(&found, ctx.data().cifar10().is_none().then_some(Cifar10::MISSING)),
        })
    }
}

/// All that was found.
struct Found {
    plan: Plan,
    tested: Vec<headline::Tested>,
    comparison: Comparison,
    freezing: Freezing,
    scans: Vec<Scan>,
}

/// The layers' sensitivity in both LeNets and, where it is fetched, in the network for CIFAR-10.
fn scans(
    ctx: &Context,
    plan: &Plan,
    lab: &Lab<'_>,
    comparison: &Comparison,
    lenet_5: &Finished,
) -> Result<Vec<Scan>> {
    let folder = ctx.state_dir().join("sensitivity");
    let scan = |scanned: &Scanned<'_>| scan(scanned, plan.study.scanned, &folder, lab.progress);
    let Lab { data, normalization, .. } = lab;
    let part = first_images(data.validation(), plan.study.n_scan_images)?;
    let (network, params) = (&comparison.network, &comparison.params);
    let model = Model::LeNet300.name();
    let mut scans = vec![scan(&Scanned { model, network, params, data: data.validation(), normalization })?];
    let (network, params) = (&lenet_5.network, &lenet_5.dense);
    scans.push(scan(&Scanned { model: Model::LeNet5.name(), network, params, data: &part, normalization })?);
    if let Some(cifar10) = ctx.data().cifar10() {
        let (network, params, normalization) = cifar10.network()?;
        let data = first_images(cifar10.open()?.validation(), plan.study.n_scan_images)?;
        let (network, params, normalization) = (&network, &params, &normalization);
        scans.push(scan(&Scanned { model: "cifar-cnn", network, params, data: &data, normalization })?);
    }
    Ok(scans)
}
