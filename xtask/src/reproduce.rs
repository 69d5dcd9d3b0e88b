//! `cargo xtask reproduce`: runs experiments, writes results, tells what holds.
//!
//! Exit status: 0 when every experiment ran (with `--strict`: and every row holds), 1 when a row does not hold under
//! `--strict`, 2 on a usage error or a failed experiment, 130 when interrupted.

mod anwar2015;
mod course;
mod deep_compression;
mod deep_compression_storage;
mod dsd;
mod gemmlowp;
mod han2015;
mod huffman_slide;
mod li2017;
mod mao2017;
mod weight_sharing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::experiment::data_set::DataSet;
use crate::experiment::progress::{self, display};
use crate::experiment::result::{self, About, Picture, ResultFile};
use crate::experiment::row::{Verdict, check_rows};
use crate::experiment::{Context, Experiment, Outcome, Profile, state};
use crate::report::{self, machine, number, plot, table};

/// Every experiment, in the order of the report.
pub(crate) const EXPERIMENTS: &[&dyn Experiment] = &[
    &deep_compression::DeepCompression,
    &deep_compression_storage::DeepCompressionStorage,
    &huffman_slide::HuffmanSlide,
    &gemmlowp::Gemmlowp,
    &han2015::Han2015,
    &li2017::Li2017,
    &dsd::Dsd,
    &anwar2015::Anwar2015,
    &mao2017::Mao2017,
    &weight_sharing::WeightSharing,
];

/// The options of `cargo xtask reproduce`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Experiments to run; none: the flagship ones
    experiments: Vec<String>,
    /// Run every experiment
    #[arg(long, conflicts_with = "experiments")]
    all: bool,
    /// How much work to do
    #[arg(long, value_enum, default_value = "quick")]
    profile: Profile,
    /// A folder with IDX files to use in place of MNIST (same file names, plain or .gz)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where results go [default: target/reproduce in the repository]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Fixes every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on from the checkpoints of an interrupted run, and keep results that are finished
    #[arg(long)]
    resume: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Print the experiments, their papers and the time each profile takes
    #[arg(long)]
    list: bool,
    /// Exit with status 1 when a row does not hold
    #[arg(long)]
    strict: bool,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Device {
    /// The processor
    Cpu,
}

impl Args {
    /// The smoke run of `cargo xtask ci`: every experiment, into `out`.
    pub(crate) fn smoke(out: PathBuf) -> Self {
        Self {
            experiments: vec![],
            all: true,
            profile: Profile::Smoke,
            data: None,
            out: Some(out),
            seed: 1,
            resume: false,
            device: Device::Cpu,
            list: false,
            strict: false,
        }
    }

    /// The command that runs `experiment` again, wherever its results go.
    fn command(&self, experiment: &str) -> String {
        let data = self.data.as_deref().map_or_else(String::new, |dir| format!(" --data {}", dir.display()));
        let Self { profile, seed, .. } = self;
        format!("cargo xtask reproduce {experiment} --profile {} --seed {seed}{data}", profile.word())
    }
}

/// How one experiment ended.
enum End {
    Done(ResultFile),
    Interrupted,
}

/// Runs the command.
///
/// # Errors
/// On unknown names, unusable folders or data, and checkpoints of another configuration. An experiment that fails is
/// reported and the others still run.
pub(crate) fn run(args: &Args, root: &Path) -> Result<ExitCode> {
    if args.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(args)?;
    let out = args.out.clone().unwrap_or_else(|| root.join("target/reproduce"));
    let mut contexts = Vec::new();
    for experiment in &chosen {
        contexts.push(context(*experiment, args, root, &out)?);
    }
    let (mut finished, mut failed) = (Vec::new(), 0);
    for (experiment, ctx) in chosen.into_iter().zip(contexts) {
        match run_one(experiment, ctx, args) {
            Ok(End::Done(result)) => finished.push(result),
            Ok(End::Interrupted) => {
                write_report(&out)?;
                eprintln!("interrupted; the same command with --resume goes on from the last checkpoint");
                return Ok(ExitCode::from(130));
            }
            Err(error) => {
                failed += 1;
                eprintln!("{} failed: {error:#}", experiment.name());
            }
        }
    }
    let page = write_report(&out)?;
    print_results(&finished);
    println!("report: {}", page.display());
    Ok(exit_code(&finished, failed, args.strict))
}

fn exit_code(finished: &[ResultFile], failed: usize, strict: bool) -> ExitCode {
    let any_fails =
        finished.iter().flat_map(|result| &result.rows).any(|row| row.verdict() == Verdict::Fails);
    if failed > 0 {
        ExitCode::from(2)
    } else if strict && any_fails {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}

fn list() {
    let width = EXPERIMENTS.iter().map(|experiment| experiment.name().len()).max().unwrap_or(0);
    for experiment in EXPERIMENTS {
        let times = [Profile::Smoke, Profile::Quick, Profile::Full]
            .map(|profile| format!("{} {}", profile.word(), display::clock(experiment.time(profile))));
        println!("{:width$}  {}  [{}]", experiment.name(), experiment.paper(), times.join(", "));
    }
}

fn choose(args: &Args) -> Result<Vec<&'static dyn Experiment>> {
    if args.experiments.is_empty() {
        return Ok(EXPERIMENTS
            .iter()
            .copied()
            .filter(|experiment| args.all || experiment.flagship())
            .collect());
    }
    let known = || EXPERIMENTS.iter().map(|experiment| experiment.name()).collect::<Vec<_>>();
    for name in &args.experiments {
        if !known().contains(&name.as_str()) {
            bail!("no experiment named `{name}`; there are: {}", known().join(", "));
        }
    }
    let is_chosen =
        |experiment: &&dyn Experiment| args.experiments.iter().any(|name| name == experiment.name());
    Ok(EXPERIMENTS.iter().copied().filter(is_chosen).collect())
}

fn context(experiment: &dyn Experiment, args: &Args, root: &Path, out: &Path) -> Result<Context> {
    let data = DataSet::open(experiment.data(), root, args.data.as_deref())?;
    let data = if experiment.uses_cifar10() { data.with_cifar10(root)? } else { data };
    let folder = out.join(experiment.name());
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(Context::new(args.profile, args.seed, data, folder))
}

fn run_one(experiment: &dyn Experiment, ctx: Context, args: &Args) -> Result<End> {
    let config_hash = state::config_hash(experiment, &ctx);
    if args.resume
        && !ctx.state_dir().exists()
        && let Some(result) = ResultFile::read(ctx.out_dir())?
        && result.config_hash == config_hash
    {
        eprintln!("{} is finished already; its result is kept", experiment.name());
        return Ok(End::Done(result));
    }
    state::open(&ctx.state_dir(), experiment.name(), &config_hash, args.resume)?;
    let (started, shown) = (Instant::now(), display::start(experiment.name()));
    let outcome = experiment.run(&ctx, &*shown);
    let elapsed = started.elapsed();
    match outcome {
        Ok(outcome) => {
            shown.finish(&format!("{} took {}", experiment.name(), number::seconds(elapsed.as_secs_f64())));
            let result = record(experiment, &ctx, args, outcome, config_hash, elapsed)?;
            state::close(&ctx.state_dir())?;
            Ok(End::Done(result))
        }
        Err(error) if progress::is_cancelled(&error) => {
            shown.finish(&format!("{} stopped", experiment.name()));
            Ok(End::Interrupted)
        }
        Err(error) => {
            shown.finish(&format!("{} stopped", experiment.name()));
            Err(error)
        }
    }
}

/// Writes `result.json`, `about.json` and the pictures of a finished experiment.
fn record(
    experiment: &dyn Experiment,
    ctx: &Context,
    args: &Args,
    outcome: Outcome,
    config_hash: String,
    elapsed: Duration,
) -> Result<ResultFile> {
    check_rows(&outcome.rows).with_context(|| format!("the rows of {}", experiment.name()))?;
    let result = ResultFile {
        format: result::FORMAT,
        experiment: experiment.name().to_owned(),
        profile: ctx.profile(),
        data: ctx.data().name().to_owned(),
        seed: ctx.seed(),
        config_hash,
        seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        rows: outcome.rows.into_iter().map(|row| row.for_data(ctx.data().is_papers())).collect(),
    };
    let mut about = About {
        title: experiment.title().to_owned(),
        paper: experiment.paper().to_owned(),
        command: args.command(experiment.name()),
        machine: machine::describe(),
        notes: outcome.notes,
        ..About::default()
    };
    for file in &outcome.files {
        about.files.extend(file.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    for picture in &outcome.plots {
        let file = format!("{}.svg", picture.name);
        ctx.write(&file, plot::svg(picture)?.as_bytes())?;
        about.plots.push(Picture { file, title: picture.title.clone(), caption: picture.caption.clone() });
    }
    about.write(ctx.out_dir())?;
    result.write(ctx.out_dir())?;
    Ok(result)
}

fn write_report(out: &Path) -> Result<PathBuf> {
    let names: Vec<_> = EXPERIMENTS.iter().map(|experiment| experiment.name()).collect();
    report::write_page(out, &report::read_sections(out, &names)?)
}

fn print_results(results: &[ResultFile]) {
    for result in results {
        let ResultFile { experiment, profile, data, seed, .. } = result;
        println!("\n{experiment} ({}, {data}, seed {seed})", profile.word());
        println!("{}", table::text_table(&result.rows));
        for row in result.rows.iter().filter(|row| row.verdict() == Verdict::Fails) {
            println!("fails: {} is {}, rule: {}", row.metric(), number::figure(row.ours()), row.remark());
        }
    }
    println!();
}

#[cfg(test)]
mod tests;
