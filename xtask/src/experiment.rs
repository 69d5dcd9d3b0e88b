//! The frame every experiment is written on: what it is given, what it gives back.
//!
//! An experiment is a pure function of its [`Context`] (profile, seed, data) to an [`Outcome`] (rows, plots, files).
//! The driver in `reproduce.rs` does the rest: progress bars, Ctrl-C, checkpoints' stamps, `result.json`, the report.

pub(crate) mod context;
pub(crate) mod data_set;
pub(crate) mod plot;
pub(crate) mod progress;
pub(crate) mod result;
pub(crate) mod row;
pub(crate) mod state;
pub(crate) mod statistics;
mod told;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

pub(crate) use context::{Context, Profile};
pub(crate) use data_set::DataKind;
pub(crate) use plot::{Axis, Chart, Plot};
pub(crate) use progress::{Progress, Span};
pub(crate) use row::{Better, Row, Rule};
pub(crate) use told::Told;

/// One reproduction of one paper (or of one worked example).
pub(crate) trait Experiment: Sync {
    /// The name on the command line and the folder's name: lower case, digits and hyphens.
    fn name(&self) -> &'static str;

    /// One line that says what is shown.
    fn title(&self) -> &'static str;

    /// Authors, title, venue and year.
    fn paper(&self) -> &'static str;

    /// What it reads; on other data than the paper's the frame takes the paper's figures out of the rows, and every claim that
    /// is not [`Row::on_any_data`].
    fn data(&self) -> DataKind;

    /// Whether it also uses CIFAR-10 and a network trained on it, [where they are fetched](Context::data): without them it
    /// leaves their rows out and puts [`Cifar10::MISSING`](data_set::Cifar10::MISSING) into its notes.
    fn uses_cifar10(&self) -> bool {
        false
    }

    /// How long it takes on two cores, for `--list`.
    fn time(&self, profile: Profile) -> Duration;

    /// Whether the bare command runs it.
    fn flagship(&self) -> bool {
        false
    }

    /// Everything but seed, profile and data that the result depends on; hashed into `config_hash`.
    fn config(&self, ctx: &Context) -> Value;

    /// Runs it.
    ///
    /// Long ones write checkpoints into [`Context::state_dir`], start from those they find there, and call
    /// [`Progress::check`] at each point where a checkpoint has just been written.
    fn run(&self, ctx: &Context, progress: &dyn Progress) -> Result<Outcome>;
}

/// What an experiment found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The table *metric · paper · ours*.
    pub rows: Vec<Row>,
    /// Pictures, as data; `report/plot.rs` draws them.
    pub plots: Vec<Plot>,
    /// Files written into [`Context::out_dir`] that the report lists.
    pub files: Vec<PathBuf>,
    /// Paragraphs for the report: what differs from the paper and why.
    pub notes: Vec<String>,
}
