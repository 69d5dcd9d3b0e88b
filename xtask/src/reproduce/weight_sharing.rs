//! Deep Compression §3 on MNIST: shared values by number of bits and by start, before and after they are trained.
//!
//! A network is trained and pruned once for each seed; from there every number of bits and every start shares its weights, and
//! the shared values are trained. Each network is written as an archive, untrained and trained, and only when all of them are
//! there is the test set read, once, and every network **read back from its archive** tested.

mod budget;
mod plan;
mod plots;
mod points;
mod rows;

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use self::plan::Plan;
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress, Span};

/// The experiment.
#[derive(Debug)]
pub(crate) struct WeightSharing;

impl Experiment for WeightSharing {
    fn name(&self) -> &'static str {
        "weight-sharing"
    }

    fn title(&self) -> &'static str {
        "Weight sharing: error by bits, start and training, and bits by budget"
    }

    fn paper(&self) -> &'static str {
        "Han, Mao, Dally: Deep Compression, ICLR 2016, §3 and its figures on bits and starts"
    }

    fn data(&self) -> DataKind {
        DataKind::Mnist
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 25,
            Profile::Quick => 120,
            Profile::Full => 45 * 60,
        })
    }

    fn config(&self, ctx: &Context) -> Value {
        Plan::new(ctx.profile(), ctx.seed()).to_json()
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let plan = Plan::new(ctx.profile(), ctx.seed());
        let (data, normalization) = ctx.data().splits(plan.n_training_images)?;
        let mut finished = Vec::new();
        for subject in &plan.subjects {
            let (from, to) = plan.share_of(finished.len());
            let span = Span::new(progress, from, to);
            finished.push(points::compute(ctx, &plan, subject, &data, &normalization, &span)?);
        }
        progress.stage("testing");
        let test = data.into_test()?;
        let tested: Vec<_> =
            finished.into_iter().map(|one| one.test(&test, &normalization)).collect::<Result<_>>()?;
        progress.fraction(1.0);
        Ok(Outcome {
            rows: rows::rows(&plan, &tested),
            plots: plots::plots(&plan, &tested),
            files: Vec::new(),
            notes: rows::notes(&plan),
        })
    }
}
