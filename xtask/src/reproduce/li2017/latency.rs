//! The time that VGG-16-A takes beside the whole VGG-16.

use std::time::Instant;

use anyhow::Result;
use nnc_core::candle::{Device, Tensor};
use nnc_core::forward;
use nnc_core::network::Network;
use nnc_core::params::Params;
use nnc_core::rng::Rng;
use nnc_core::source::{Step, VarSource};
use nnc_core::tap::Taps;

use super::cuts;
use crate::experiment::statistics::median;
use crate::experiment::{Better, Context, Profile, Progress, Row, Rule};

const BATCHES: [usize; 2] = [1, 16];

/// How often each network is run on each batch.
pub(super) fn n_runs(profile: Profile) -> usize {
    match profile {
        Profile::Smoke => 9,
        Profile::Quick => 31,
        Profile::Full => 101,
    }
}

pub(super) fn note(profile: Profile) -> String {
    format!(
        "Times are medians of {} runs of nnc-core's forward pass, after three to warm up; the two networks take turns, so that \
         whatever else the machine does reaches both. The goal for the time cut is ours: the paper times ResNet-34 \
         on ImageNet.",
        n_runs(profile)
    )
}

/// Milliseconds a batch and the share saved, beside the multiply-accumulates.
pub(super) fn rows(ctx: &Context, progress: &dyn Progress) -> Result<Vec<Row>> {
    let variant = cuts::vgg_16_a();
    let (network, specs) = cuts::Base::Vgg16.build()?;
    let params = specs.init(ctx.seed(), &Device::Cpu)?;
    let (small, small_params) = cuts::cut(&variant, &network, &params)?;
    let macs =
        |network: &Network, params: &Params| Ok::<_, anyhow::Error>(network.cost(params)?.total().macs);
    let macs = [macs(&network, &params)?, macs(&small, &small_params)?];
    let whole = Timed { network: &network, source: VarSource::new(&params)? };
    let small = Timed { network: &small, source: VarSource::new(&small_params)? };
    let mut rows = Vec::new();
    for (i, batch) in BATCHES.into_iter().enumerate() {
        progress.stage(&format!("timing VGG-16 and VGG-16-A, batch {batch}"));
        let mut rng = Rng::keyed(ctx.seed(), "li2017/batch", &[batch as u64]);
        let images: Vec<f32> = (0..batch * 3 * 32 * 32).map(|_| rng.normal()).collect();
        let images = Tensor::from_vec(images, (batch, 3, 32, 32), &Device::Cpu)?;
        let [before, after] = medians([&whole, &small], &images, n_runs(ctx.profile()))?;
        for (model, ms, macs) in [("vgg-16", before, macs[0]), ("vgg-16-a", after, macs[1])] {
            let metric = format!("{model}/batch-{batch}-time");
            let remark = format!("{:.1} million multiply-accumulates an image", macs as f64 / 1e6);
            rows.push(Row::new(metric, ms, "ms", Better::Lower, Rule::Report).note(&remark));
        }
        let cut = 100.0 * (1.0 - after / before);
        let remark =
            format!("multiply-accumulates: {:.1} % less", 100.0 * (1.0 - macs[1] as f64 / macs[0] as f64));
        let metric = format!("vgg-16-a/batch-{batch}-time-cut");
        rows.push(Row::new(metric, cut, "%", Better::Higher, Rule::AtLeast(24.0)).note(&remark));
        progress.fraction((i + 1) as f64 / BATCHES.len() as f64);
        progress.check()?;
    }
    Ok(rows)
}

struct Timed<'a> {
    network: &'a Network,
    source: VarSource,
}

impl Timed<'_> {
    /// Milliseconds of one forward pass.
    fn run(&self, images: &Tensor) -> Result<f64> {
        let started = Instant::now();
        forward::run(self.network, &self.source, &Taps::new(), images, &["logits"], &Step::eval())?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

/// The median time of each network over `n` runs in turn.
fn medians(networks: [&Timed<'_>; 2], images: &Tensor, n: usize) -> Result<[f64; 2]> {
    let mut times = [Vec::with_capacity(n), Vec::with_capacity(n)];
    for run in 0..n + 3 {
        for (network, times) in networks.iter().zip(&mut times) {
            let ms = network.run(images)?;
            if run >= 3 {
                times.push(ms);
            }
        }
    }
    Ok(times.map(median))
}
