//! Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets" (ICLR 2017).
//!
//! The FLOP and parameter cuts of the paper's table 1 come from real surgery on the zoo's networks: filters are ranked,
//! cut, and the smaller network is counted. VGG-16-A is also run, beside the whole network, and timed. Where CIFAR-10 is
//! fetched, the paper's curves follow on a trained network.

mod cifar;
mod cuts;
mod latency;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::experiment::data_set::Cifar10;
use crate::experiment::{Context, DataKind, Experiment, Outcome, Profile, Progress, Span};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Li2017;

impl Experiment for Li2017 {
    fn name(&self) -> &'static str {
        "li2017"
    }

    fn title(&self) -> &'static str {
        "Pruning filters: what surgery takes out of VGG-16 and ResNets"
    }

    fn paper(&self) -> &'static str {
        "Li, Kadav, Durdanovic, Samet, Graf: Pruning Filters for Efficient ConvNets, ICLR 2017, Tables 1 and 2"
    }

    fn data(&self) -> DataKind {
        DataKind::PublishedTables
    }

    fn uses_cifar10(&self) -> bool {
        true
    }

    fn time(&self, profile: Profile) -> Duration {
        Duration::from_secs(match profile {
            Profile::Smoke => 20,
            Profile::Quick => 150,
            Profile::Full => 45 * 60,
        })
    }

    fn config(&self, ctx: &Context) -> Value {
        json!({
            "models": cuts::describe(),
            "timed_runs": latency::n_runs(ctx.profile()),
            "cifar": cifar::Plan::new(ctx.profile(), ctx.seed()),
        })
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        // Without CIFAR-10 the first two parts are all there is.
        let until = if ctx.data().cifar10().is_some() { 0.1 } else { 1.0 };
        let mut outcome = Outcome::default();
        outcome.rows.extend(cuts::rows(ctx.seed(), &Span::new(progress, 0.0, 0.6 * until))?);
        outcome.rows.extend(latency::rows(ctx, &Span::new(progress, 0.6 * until, until))?);
        outcome.notes = cuts::notes();
        outcome.notes.push(latency::note(ctx.profile()));
        match ctx.data().cifar10() {
            Some(cifar10) => {
                let curves = cifar::run(ctx, cifar10, &Span::new(progress, until, 1.0))?;
                outcome.rows.extend(curves.rows);
                outcome.plots.extend(curves.plots);
                outcome.notes.extend(curves.notes);
            }
            None => outcome.notes.push(Cifar10::MISSING.into()),
        }
        Ok(outcome)
    }
}
