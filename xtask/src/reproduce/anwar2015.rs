//! Anwar, Hwang, Sung, "Structured Pruning of Deep CNNs" (2015): a particle filter for structured masks of LeNet-5 on MNIST.
//!
//! One dense network is trained. For each level (feature maps, kernels, taps within kernels) and each rate of the plan, masks
//! come from the particle filter, from magnitude, and by chance, all of them with the same number of groups pruned; then each
//! network is retrained. The filter sees the first validation images only; direct errors are those on the other ones. The test
//! set is read once, when everything is trained. No figure of the paper is printed: none could be checked.

mod masks;
mod plan;
mod plots;
mod rows;

use std::time::Duration;

use anyhow::{Context as _, Result};
use nnc::deep_compression::evaluate;
use nnc_core::candle::Device;
use nnc_core::data::{Dataset, Normalization};
use nnc_core::metrics::ErrorCount;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{ParamSource as _, VarSource};
use nnc_core::train::Trainee;
use nnc_prune::particle::NamedMasks;
use nnc_prune::{Gradient, MaskedSource, Masks};
use serde_json::Value;

use self::masks::{Judge, SearchRow};
use self::plan::{Method, Plan, Setting};
use super::course::{Course, Runner};
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Anwar2015;

impl Experiment for Anwar2015 {
    fn name(&self) -> &'static str {
        "anwar2015"
    }

    fn title(&self) -> &'static str {
        "Structured pruning by a particle filter: LeNet-5 on MNIST"
    }

    fn paper(&self) -> &'static str {
        "Anwar, Hwang, Sung: Structured Pruning of Deep Convolutional Neural Networks, 2015"
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
        let runner = Runner::new(&data, &normalization, ctx.state_dir(), progress, plan.cost());
        let study = Study::new(&runner, &plan, ctx.seed())?;
        let dense = study.dense()?;
        let mut settings = Vec::new();
        for setting in plan.settings {
            settings.push(study.setting(setting, &dense)?);
        }
        let (network, dense_direct) =
            (study.network.clone(), study.judge.held_out(&network_of(&study.network, &dense)?)?);
        progress.stage("testing");
        let test = data.into_test()?;
        let test_errors = |params: &Params| test_errors(&network, params, &test, &normalization);
        let dense_test = test_errors(&dense)?;
        let tested =
            settings.into_iter().map(|found| found.test(&test_errors)).collect::<Result<Vec<_>>>()?;
        progress.fraction(1.0);
        Ok(Outcome {
            rows: rows::rows(&plan, (dense_direct, dense_test), &tested),
            plots: plots::plots(&tested),
            notes: rows::notes(&plan, &tested),
            ..Outcome::default()
        })
    }
}

/// One way to choose masks, in one setting, and the network retrained under them.
struct Outcomes {
    method: Method,
    /// Before retraining, on the validation images that no search has seen.
    direct: ErrorCount,
    /// After it, on the same.
    retrained: ErrorCount,
    params: Params,
}

/// A setting's outcomes before the test.
struct Found<'p> {
    setting: &'p Setting,
    /// Share of entries pruned in the weights of the setting.
    sparsity: f64,
    search: SearchRow,
    outcomes: Vec<Outcomes>,
}

/// A setting's outcomes after it.
struct Tested<'p> {
    setting: &'p Setting,
    sparsity: f64,
    search: SearchRow,
    /// Method, direct errors, retrained errors, test errors after retraining.
    outcomes: Vec<(Method, ErrorCount, ErrorCount, ErrorCount)>,
}

impl<'p> Found<'p> {
    fn test(self, errors: &impl Fn(&Params) -> Result<ErrorCount>) -> Result<Tested<'p>> {
        let Self { setting, sparsity, search, outcomes } = self;
        let outcomes = outcomes.into_iter().map(|Outcomes { method, direct, retrained, params }| {
            Ok((method, direct, retrained, errors(&params)?))
        });
        Ok(Tested { setting, sparsity, search, outcomes: outcomes.collect::<Result<_>>()? })
    }
}

fn test_errors(
    network: &Network,
    params: &Params,
    test: &Dataset,
    normalization: &Normalization,
) -> Result<ErrorCount> {
    Ok(evaluate(&network_of(network, params)?, test, normalization)?)
}

fn network_of(network: &Network, params: &Params) -> nnc_core::Result<Trainee> {
    Ok(Trainee::new(network.clone(), VarSource::new(params)?))
}

fn masked(network: &Network, dense: &Params, masks: &NamedMasks) -> nnc_core::Result<Trainee> {
    let shared = Masks::new();
    for (name, mask) in masks {
        shared.set(name, mask.clone())?;
    }
    let source = MaskedSource::new(VarSource::new(dense)?, shared, Gradient::Masked)?;
    Ok(Trainee::new(network.clone(), source))
}

/// What all settings share.
struct Study<'r, 'p> {
    runner: &'r Runner<'r>,
    plan: &'p Plan,
    seed: u64,
    network: Network,
    start: Params,
    judge: Judge,
}

impl<'r, 'p> Study<'r, 'p> {
    fn new(runner: &'r Runner<'r>, plan: &'p Plan, seed: u64) -> Result<Self> {
        let (network, specs) = plan::network(runner.data.train())?;
        let start = specs.init(seed, &Device::Cpu)?;
        let judge = Judge::new(runner.data.validation(), runner.normalization, plan.n_search_batches)?;
        Ok(Self { runner, plan, seed, network, start, judge })
    }

    fn dense(&self) -> Result<Params> {
        let mut trainee = network_of(&self.network, &self.start)?;
        self.runner.train(&mut trainee, &self.course("dense", self.plan.n_dense_epochs, plan::LR))?;
        Ok(trainee.source.snapshot()?)
    }

    fn setting(&self, setting: &'p Setting, dense: &Params) -> Result<Found<'p>> {
        let layers = setting.layers(dense)?;
        self.runner.stage(&format!("{}: searching", setting.name));
        // What candidates are judged with, apart from what only this thread may touch.
        let (progress, network, judge) = (self.runner.progress(), &self.network, &self.judge);
        let (search, found) = masks::search(
            &layers,
            setting,
            &self.plan.particles(self.seed),
            &self.runner.state_dir.join("searches"),
            |candidate| {
                if progress.cancelled() {
                    return Err(nnc_core::Error::Cancelled);
                }
                judge.search_share(&masked(network, dense, candidate)?)
            },
        )?;
        self.runner.advance(self.plan.search_cost())?;
        let by_magnitude = masks::by_magnitude(&layers, dense)?;
        let (pruned, all) = by_magnitude
            .iter()
            .fold((0, 0), |(pruned, all), (_, mask)| (pruned + mask.len() - mask.n_kept(), all + mask.len()));
        let mut outcomes = vec![
            self.outcomes(setting, Method::Particle, dense, &found)?,
            self.outcomes(setting, Method::Magnitude, dense, &by_magnitude)?,
        ];
        for draw in 0..self.plan.n_random {
            let masks = nnc_prune::particle::random(&layers, self.seed.wrapping_add(1000 + draw))?;
            outcomes.push(self.outcomes(setting, Method::Random(draw), dense, &masks)?);
        }
        let sparsity = f64::from(u32::try_from(pruned).context("a LeNet is small")?)
            / f64::from(u32::try_from(all).context("a LeNet is small")?);
        Ok(Found { setting, sparsity, search, outcomes })
    }

    /// The network pruned by `masks`, before and after retraining.
    fn outcomes(
        &self,
        setting: &Setting,
        method: Method,
        dense: &Params,
        masks: &NamedMasks,
    ) -> Result<Outcomes> {
        let mut trainee = masked(&self.network, dense, masks)?;
        let direct = self.judge.held_out(&trainee)?;
        let name = format!("{}-{}", setting.name, method.name());
        self.runner
            .train(&mut trainee, &self.course(&name, self.plan.n_retraining_epochs, plan::LR / 4.0))?;
        let retrained = self.judge.held_out(&trainee)?;
        Ok(Outcomes { method, direct, retrained, params: trainee.source.snapshot()? })
    }

    fn course(&self, name: &str, n_epochs: usize, lr: f64) -> Course {
        Course {
            name: name.to_owned(),
            seed: self.seed,
            n_epochs,
            lr,
            weight_decay: plan::WEIGHT_DECAY,
            epoch_cost: 1.0,
        }
    }
}
