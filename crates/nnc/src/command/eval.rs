//! `nnc eval`: the network in an archive on a test set.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use nnc::archive::Archive;
use nnc_core::candle::Device;
use nnc_core::data::{BatchConfig, Batches, Dataset, Normalization, Splits};
use nnc_core::metrics::ErrorCount;
use nnc_core::model::Model as _;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::source::{Step, VarSource};
use nnc_core::train::Trainee;
use serde_json::json;

use super::open::{dense, open};
use super::{Failure, progress};

/// Images in a batch; it changes no result.
const BATCH: usize = 250;

/// Numbers of one value for one image, at most, unless forced: 20 times the largest of VGG-16.
const MAX_VALUE: usize = 1 << 26;

/// Runs the network that an archive holds, with the weights that it holds, on a test set.
///
/// Nothing but the archive and the images is read. The images are made the network's input as the archive says; where it
/// does not say, pixels become numbers from 0 to 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nnc eval lenet-300-100.nnc --data data/mnist
  nnc eval lenet-300-100.nnc --data data/mnist --json")]
pub(super) struct Eval {
    /// The archive; it must hold a network.
    file: PathBuf,
    /// Directory with a data set: IDX files (MNIST and its like) or CIFAR-10's binary files, plain or with .gz.
    #[arg(long)]
    data: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Go on where a small file claims very large weights, or a network with very large activations.
    #[arg(long)]
    force: bool,
}

impl Eval {
    pub(super) fn run(self) -> Result<String, Failure> {
        let mut archive = open(&self.file, self.force)?;
        let Some(network) = archive.network.take() else {
            return Err(Failure::in_file(&self.file, "there is no network in it, only weights"));
        };
        let test = Splits::open(&self.data).and_then(Splits::into_test).map_err(Failure::of(&self.data))?;
        let (errors, time) = self.evaluate(&archive, network, &test)?;
        let seconds = time.as_secs_f64();
        if self.json {
            let value = json!({
                "n_images": errors.n_samples,
                "n_errors": errors.n_errors,
                "error_percent": errors.percent(),
                "seconds": seconds,
            });
            return Ok(format!("{value:#}\n"));
        }
        let (right, rate) = (100.0 * errors.accuracy(), errors.n_samples as f64 / seconds);
        Ok(format!("error    {errors}\naccuracy {right:.2} %\ntime     {seconds:.2} s, {rate:.0} images/s\n"))
    }

    /// Wrong answers on all of `test`, and how long the network took for them.
    fn evaluate(
        &self,
        archive: &Archive,
        network: Network,
        test: &Dataset,
    ) -> Result<(ErrorCount, Duration), Failure> {
        let wrong = Failure::of(&self.file);
        let params = dense(&self.file, archive)?;
        let output = self.check(&network, &params, test.shape())?;
        let unit = || Normalization::unit(test.shape()[0]);
        let normalization = archive.meta.normalization.clone().unwrap_or_else(unit);
        let model = Trainee::new(network, VarSource::new(&params).map_err(&wrong)?);
        let config = BatchConfig::evaluation(BATCH.min(test.len()));
        let batches = Batches::new(test, &normalization, config).map_err(&wrong)?;
        let bar = progress::bar(batches.n_batches(), "batches");
        let (mut errors, mut time) = (ErrorCount::default(), Duration::ZERO);
        for batch in batches.epoch(0).iter(&Device::Cpu) {
            let batch = batch.map_err(&wrong)?;
            let start = Instant::now();
            let outputs = model.outputs(&batch.images, &[&output], &Step::eval()).map_err(&wrong)?;
            errors.add(outputs.get(&output).map_err(&wrong)?, &batch.labels).map_err(&wrong)?;
            time += start.elapsed();
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok((errors, time))
    }

    /// Whether the network can be run on images of this shape; the output that holds the answer.
    fn check(&self, network: &Network, params: &Params, images: [usize; 3]) -> Result<String, Failure> {
        let wrong = |why: String| Err(Failure::in_file(&self.file, why));
        let expected = &network.inputs()[0].shape;
        if *expected != images {
            let [n_channels, height, width] = images;
            let found = format!("{n_channels}×{height}×{width}");
            return wrong(format!("the network takes {expected:?}, the images are {found}"));
        }
        let shapes = network.infer_shapes(params).map_err(Failure::of(&self.file))?;
        let largest = shapes.iter().map(|shape| shape.iter().product::<usize>()).max().unwrap_or(0);
        if largest > MAX_VALUE && !self.force {
            return wrong(format!("{largest} activations for an image; pass --force if that is meant"));
        }
        answer(network).map_or_else(
            || wrong("which output is the answer? there are several and none is named `logits`".into()),
            Ok,
        )
    }
}

/// The output whose largest number is the answer: the one called `logits`, or the only one.
fn answer(network: &Network) -> Option<String> {
    let outputs = network.outputs();
    let logits = outputs.iter().find(|output| output.name == "logits");
    let only = if let [only] = outputs { Some(only) } else { None };
    logits.or(only).map(|output| output.name.clone())
}
