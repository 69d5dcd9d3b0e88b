//! Integer products as gemmlowp defines them: the worked 2 × 3 example, its own outputs, and why sums need 32 bits.
//!
//! Each figure comes from running `nnc-gemmlowp`, or from adding up products one by one; none is typed in.

mod golden;
mod ranges;
mod sums;
mod worked;

use std::time::Duration;

use anyhow::Result;
use nnc_gemmlowp::Isa;
use serde_json::{Value, json};

use crate::experiment::{Better, Context, DataKind, Experiment, Outcome, Profile, Progress, Row, Rule};

/// The experiment.
#[derive(Debug)]
pub(crate) struct Gemmlowp;

impl Experiment for Gemmlowp {
    fn name(&self) -> &'static str {
        "gemmlowp"
    }

    fn title(&self) -> &'static str {
        "Integer products: gemmlowp's own outputs, and why sums need 32 bits"
    }

    fn paper(&self) -> &'static str {
        "google/gemmlowp, doc/quantization.md, outputs of commit 16e8662; the lecture's slide"
    }

    fn data(&self) -> DataKind {
        DataKind::PublishedTables
    }

    fn time(&self, _: Profile) -> Duration {
        Duration::from_secs(2)
    }

    fn flagship(&self) -> bool {
        true
    }

    fn config(&self, ctx: &Context) -> Value {
        let isas: Vec<_> = isas().map(Isa::name).collect();
        json!({
            "golden": golden::TEXT,
            "isas": isas,
            "n_draws": sums::n_draws(ctx.profile()),
            "ranges": ranges::RANGES,
        })
    }

    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        progress.stage("worked product");
        outcome.rows.extend(worked::rows()?);
        progress.stage("golden values");
        outcome.rows.extend(golden::rows(&golden::Golden::read()?)?);
        progress.stage("ranges");
        outcome.rows.extend(ranges::rows()?);
        progress.check()?;
        progress.fraction(0.3);
        progress.stage("sums in 16 bits");
        outcome.rows.extend(sums::rows(ctx.seed(), sums::n_draws(ctx.profile()), progress)?);
        outcome.plots.push(sums::plot(ctx.seed()));
        progress.fraction(1.0);
        outcome.notes = vec![
            "The slide writes scale = max - min. gemmlowp's document divides by the number of steps, 255 for 8 bits. \
             Taken as written, relu6 would keep two values of 256; the row that counts them fails, and nothing is \
             adjusted."
                .into(),
            "The largest error of the worked product, 5/3 steps of the output, comes from the quantized inputs: the \
             product of what they stand for is as far off."
                .into(),
            "A product of two signed bytes reaches 2^14, half of what 16 bits hold: a second one of the largest kind \
             already saturates the sum, and half of all random sums have saturated after some thirty. Unsigned times \
             signed is worse: vpmaddubsw can saturate within its first pair. Hence sums in 32 bits."
                .into(),
        ];
        Ok(outcome)
    }
}

/// The instruction sets that this processor has.
fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// A row that must be `expected`, to the last digit.
fn exact(metric: &str, ours: impl Into<f64>, unit: &str, expected: impl Into<f64>) -> Row {
    let rule = Rule::Equals { value: expected.into(), tolerance: 0.0 };
    Row::new(format!("gemmlowp/{metric}"), ours.into(), unit, Better::Equal, rule)
}

/// What rows say whose figure was computed by a program of its own.
const OUTSIDE: &str = "computed outside, no figure in print";

#[cfg(test)]
mod tests;
