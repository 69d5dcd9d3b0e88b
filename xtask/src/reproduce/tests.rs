//! The driver on experiments of its own: results, refusal, interruption.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::experiment::progress::Cancelled;
use crate::experiment::{Axis, Better, Chart, DataKind, Plot, Progress, Row, Rule};

/// Counts in its state folder how far it came; stops itself half way the first time.
struct Interruptible {
    runs: AtomicUsize,
}

impl Experiment for Interruptible {
    fn name(&self) -> &'static str {
        "interruptible"
    }
    fn title(&self) -> &'static str {
        "title"
    }
    fn paper(&self) -> &'static str {
        "paper"
    }
    fn data(&self) -> DataKind {
        DataKind::PublishedTables
    }
    fn time(&self, _: Profile) -> Duration {
        Duration::ZERO
    }
    fn flagship(&self) -> bool {
        false
    }
    fn config(&self, _: &Context) -> Value {
        json!({})
    }
    fn run(&self, ctx: &Context, _: &dyn Progress) -> Result<Outcome> {
        let checkpoint = ctx.state_dir().join("half");
        if self.runs.fetch_add(1, Ordering::Relaxed) == 0 {
            state::write_atomic(&checkpoint, b"half")?;
            return Err(Cancelled.into());
        }
        let from_checkpoint = std::fs::read(&checkpoint).map_or(0, |bytes| bytes.len());
        let row = Row::new("m/w", from_checkpoint as f64, "bytes", Better::Equal, Rule::Report).paper(4.0);
        let goal = Row::new("m/goal", 2.0, "%", Better::Lower, Rule::AtMost(1.0));
        let law = Row::new("m/law", 0.0, "bytes", Better::Equal, Rule::AtMost(0.0)).on_any_data();
        let chart = Chart::Bars {
            categories: vec!["c".into()],
            y: Axis::linear("y"),
            series: vec![("s".into(), vec![1.0])],
        };
        let plot = Plot { name: "p".into(), title: "t".into(), caption: "c".into(), chart };
        Ok(Outcome {
            rows: vec![row, goal, law],
            plots: vec![plot],
            files: vec![ctx.write("f.bin", b"x")?],
            notes: vec!["n".into()],
        })
    }
}

fn args(out: &Path) -> Args {
    Args::smoke(out.to_owned())
}

fn run_in(experiment: &dyn Experiment, args: &Args, out: &Path) -> Result<End> {
    run_one(experiment, context(experiment, args, Path::new(""), out)?, args)
}

#[test]
fn an_interrupted_experiment_goes_on_from_its_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let experiment = Interruptible { runs: AtomicUsize::new(0) };
    let first = args(out.path());
    assert!(matches!(run_in(&experiment, &first, out.path()).unwrap(), End::Interrupted));
    let folder = out.path().join("interruptible");
    assert!(folder.join("state/half").exists() && !folder.join("result.json").exists());

    let resumed = Args { resume: true, ..first };
    let other_seed = Args { seed: 2, ..resumed.clone() };
    let Err(refusal) = run_in(&experiment, &other_seed, out.path()) else { panic!("another seed resumed") };
    assert!(refusal.to_string().contains("cannot resume"), "{refusal}");

    let End::Done(result) = run_in(&experiment, &resumed, out.path()).unwrap() else { panic!("interrupted") };
    assert_eq!(result.rows[0].ours(), 4.0, "the checkpoint was read");
    assert!(!folder.join("state").exists());
    for file in ["result.json", "about.json", "p.svg", "f.bin"] {
        assert!(folder.join(file).exists(), "{file}");
    }

    let runs = experiment.runs.load(Ordering::Relaxed);
    let End::Done(kept) = run_in(&experiment, &resumed, out.path()).unwrap() else { panic!("interrupted") };
    assert_eq!(kept, result);
    assert_eq!(
        experiment.runs.load(Ordering::Relaxed),
        runs,
        "a finished result is kept, not computed again"
    );
}

#[test]
fn the_papers_figures_and_goals_stand_only_beside_the_papers_data() {
    let out = tempfile::tempdir().unwrap();
    let experiment = Interruptible { runs: AtomicUsize::new(1) };
    let ctx = context(&experiment, &args(out.path()), Path::new(""), out.path()).unwrap();
    let run = |ctx: &Context| {
        std::fs::create_dir_all(ctx.state_dir()).unwrap();
        let outcome = experiment.run(ctx, &*display::start("test")).unwrap();
        let hash = state::config_hash(&experiment, ctx);
        record(&experiment, ctx, &args(out.path()), outcome, hash, Duration::ZERO).unwrap()
    };
    let verdicts = |result: &ResultFile| result.rows.iter().map(Row::verdict).collect::<Vec<_>>();
    let papers = run(&ctx);
    assert_eq!(papers.rows[0].papers_figure(), Some(4.0));
    assert_eq!(verdicts(&papers), [Verdict::Reported, Verdict::Fails, Verdict::Holds]);
    let other =
        Context::new(Profile::Smoke, 1, ctx.data().clone().not_the_papers(), ctx.out_dir().to_owned());
    let other = run(&other);
    assert_eq!(other.rows[0].papers_figure(), None);
    assert_eq!(verdicts(&other), [Verdict::Reported, Verdict::Reported, Verdict::Holds]);
    assert_eq!(format!("{:?}", exit_code(&[other], 0, true)), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn the_hash_follows_seed_and_profile() {
    let out = tempfile::tempdir().unwrap();
    let experiment = Interruptible { runs: AtomicUsize::new(0) };
    let hash = |args: &Args| {
        state::config_hash(&experiment, &context(&experiment, args, Path::new(""), out.path()).unwrap())
    };
    let base = args(out.path());
    assert_eq!(hash(&base), hash(&base));
    assert_ne!(hash(&base), hash(&Args { seed: 2, ..base.clone() }));
    assert_ne!(hash(&base), hash(&Args { profile: Profile::Full, ..base.clone() }));
}

#[test]
fn experiments_are_chosen_by_name_in_the_order_of_the_report() {
    let named = |names: &[&str]| Args {
        experiments: names.iter().map(|&name| name.to_owned()).collect(),
        all: false,
        ..args(Path::new(""))
    };
    let names = |args: &Args| choose(args).map(|list| list.iter().map(|e| e.name()).collect::<Vec<_>>());
    let both = named(&["huffman-slide", "deep-compression-storage"]);
    assert_eq!(names(&both).unwrap(), ["deep-compression-storage", "huffman-slide"]);
    let error = names(&named(&["huffman"])).unwrap_err().to_string();
    assert!(error.contains("`huffman`") && error.contains("huffman-slide"), "{error}");
    assert_eq!(names(&args(Path::new(""))).unwrap().len(), EXPERIMENTS.len());
}

#[test]
fn names_of_experiments_are_unique_and_fit_a_folder() {
    for (idx, experiment) in EXPERIMENTS.iter().enumerate() {
        let name = experiment.name();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(EXPERIMENTS[..idx].iter().all(|other| other.name() != name), "{name}");
    }
}

#[test]
fn the_exit_status_tells_failures_apart() {
    let result = |rule| ResultFile {
        format: result::FORMAT,
        experiment: "e".into(),
        profile: Profile::Smoke,
        data: String::new(),
        seed: 1,
        config_hash: String::new(),
        seconds: 0.0,
        rows: vec![Row::new("a/b", 1.0, "x", Better::Higher, rule)],
    };
    let code = |rule, failed, strict| format!("{:?}", exit_code(&[result(rule)], failed, strict));
    let status = |status: u8| format!("{:?}", ExitCode::from(status));
    assert_eq!(code(Rule::AtLeast(2.0), 0, false), status(0));
    assert_eq!(code(Rule::AtLeast(2.0), 0, true), status(1));
    assert_eq!(code(Rule::AtLeast(1.0), 0, true), status(0));
    assert_eq!(code(Rule::AtLeast(1.0), 1, true), status(2));
}
