//! `cargo xtask ci`: every check that CI runs beside the tests of the workspace (`.ci/run` runs those first).

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::report::number::seconds;
use crate::{cargo, reproduce, tidy};

/// The crates that must build, test and document without default features: no framework, no thread pool.
const LEAVES: [&str; 2] = ["nnc-huffman", "nnc-gemmlowp"];

/// One step: a name and what to run; `Ok(false)` is a failed check.
struct Step<'a> {
    name: String,
    run: Box<dyn FnOnce() -> Result<bool> + 'a>,
}

/// Runs all steps to the end, so that one run shows every failure, then prints each with its time.
///
/// # Errors
/// When a step cannot be started.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let mut summary = Vec::new();
    for step in steps(root) {
        println!("\n── {} ──", step.name);
        let started = Instant::now();
        let passed = (step.run)().with_context(|| step.name.clone())?;
        summary.push((step.name, passed, started.elapsed().as_secs_f64()));
    }
    println!("\n── summary ──");
    for (name, passed, elapsed) in &summary {
        println!("{:6} {:>9}  {name}", if *passed { "ok" } else { "FAILED" }, seconds(*elapsed));
    }
    let all_passed = summary.iter().all(|(_, passed, _)| *passed);
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn steps(root: &Path) -> Vec<Step<'_>> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut steps = vec![
        cargo_step(root, &["fmt", "--all", "--", "--check"], &[]),
        Step { name: "tidy".into(), run: Box::new(|| Ok(tidy::run(root)? == ExitCode::SUCCESS)) },
        cargo_step(root, &clippy, &[]),
        cargo_step(root, &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
    ];
    for leaf in LEAVES {
        steps.push(cargo_step(root, &["test", "-p", leaf, "--no-default-features"], &[]));
    }
    steps.push(Step { name: "reproduce --all --profile smoke".into(), run: Box::new(|| smoke(root)) });
    steps
}

fn cargo_step<'a>(root: &'a Path, args: &[&str], envs: &[(&'static str, &'static str)]) -> Step<'a> {
    let (owned, envs): (Vec<_>, Vec<_>) = (args.iter().map(|&arg| arg.to_owned()).collect(), envs.to_vec());
    let run = move || {
        let status = cargo(root).args(owned).envs(envs).status().context("starting cargo")?;
        Ok(status.success())
    };
    Step { name: format!("cargo {}", args.join(" ")), run: Box::new(run) }
}

/// Every experiment in the smallest profile, into a folder of its own that starts empty.
fn smoke(root: &Path) -> Result<bool> {
    let out = root.join("target/ci-reproduce");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
    }
    let status = reproduce::run(&reproduce::Args::smoke(out.clone()), root)?;
    Ok(status == ExitCode::SUCCESS && out.join("report.html").exists())
}
