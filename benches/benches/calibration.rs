//! What calibration costs: the forward pass with observers on every site, beside the forward pass alone.
//!
//! With `NNC_PEER_SECONDS` set, the two alternate for as many seconds a row, and the ratio is that of the minima.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use mimalloc::MiMalloc;
use nnc_core::candle::{Device, Tensor};
use nnc_core::forward;
use nnc_core::network::zoo::{LeNetConfig, lenet_5, lenet_300_100};
use nnc_core::network::{Conv, Network};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::ParamSpecs;
use nnc_core::rng::Rng;
use nnc_core::source::{Step, VarSource};
use nnc_core::tap::Taps;
use nnc_quant::calibrate::Calibration;
use nnc_quant::observer::RangeMethod;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const METHODS: [(&str, RangeMethod); 3] = [
    ("min-max", RangeMethod::MinMax),
    ("moving average", RangeMethod::MovingAverage { momentum: 0.01 }),
    // The histogram is the same for all methods that have one.
    ("histogram", RangeMethod::Entropy),
];

/// Caffe's `cifar10_full` without its response normalisation.
fn cifar10_full() -> nnc_core::Result<(Network, ParamSpecs)> {
    let pool = Pool2dConfig { stride: (2, 2), ceil_mode: true, ..Pool2dConfig::square(3) };
    let conv = |channels| Conv::new(channels, 5).padding(2);
    Network::builder()
        .input("image", &[3, 32, 32])
        .conv2d("conv1", conv(32))
        .max_pool2d("pool1", pool)
        .relu("relu1")
        .conv2d("conv2", conv(32))
        .relu("relu2")
        .avg_pool2d("pool2", pool)
        .conv2d("conv3", conv(64))
        .relu("relu3")
        .avg_pool2d("pool3", pool)
        .flatten("flatten")
        .linear("ip1", 10)
        .output("logits")
        .build()
}

/// A network with its parameters and a batch.
struct Workload {
    name: &'static str,
    network: Network,
    source: VarSource,
    batch: Tensor,
}

impl Workload {
    fn new(
        name: &'static str,
        n_images: usize,
        (network, specs): (Network, ParamSpecs),
    ) -> nnc_core::Result<Self> {
        let mut shape = vec![n_images];
        shape.extend(&network.inputs()[0].shape);
        let mut rng = Rng::keyed(1, name, &[]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform()).collect();
        let batch = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(Self { name, network, source: VarSource::new(&specs.init(1, &Device::Cpu)?)?, batch })
    }

    fn run(&self, taps: &Taps) {
        black_box(self.logits(taps));
    }

    fn logits(&self, taps: &Taps) -> Tensor {
        let run = forward::run(&self.network, &self.source, taps, &self.batch, &["logits"], &Step::eval());
        run.expect("a forward pass").get("logits").expect("the output asked for").clone()
    }

    /// Observers on every site, which change no output.
    fn taps(&self, method: RangeMethod) -> Taps {
        let mut taps = Taps::new();
        Calibration::new(&self.network, &["*"], method).expect("observers").hang(&mut taps);
        let values = |logits: Tensor| logits.to_vec2::<f32>().expect("a matrix");
        assert!(values(self.logits(&taps)) == values(self.logits(&Taps::new())), "{}", self.name);
        taps
    }
}

fn workloads() -> nnc_core::Result<Vec<Workload>> {
    Ok(vec![
        Workload::new("lenet-300-100", 64, lenet_300_100(&LeNetConfig::default())?)?,
        Workload::new("lenet-5", 64, lenet_5(&LeNetConfig::default())?)?,
        Workload::new("cifar10-full", 4, cifar10_full()?)?,
    ])
}

fn calibration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nnc-quant/calibration");
    for workload in workloads().expect("networks") {
        group.throughput(Throughput::Elements(workload.batch.dims()[0] as u64));
        group.bench_function(format!("{}/forward", workload.name), |bencher| {
            bencher.iter(|| workload.run(&Taps::new()));
        });
        for (name, method) in METHODS {
            let taps = workload.taps(method);
            group.bench_function(format!("{}/{name}", workload.name), |bencher| {
                bencher.iter(|| workload.run(&taps));
            });
        }
    }
}

criterion_group!(benches, calibration);

fn main() {
    // As in `train_step`: a member of the pool sleeps less between layers.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().expect("the first use of the pool");
    let Ok(seconds) = std::env::var("NNC_PEER_SECONDS") else {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    };
    let seconds: f64 = seconds.parse().expect("NNC_PEER_SECONDS is a number");
    for workload in workloads().expect("networks") {
        for (name, method) in METHODS {
            let taps = workload.taps(method);
            let (plain, observed) = alternate(|| workload.run(&Taps::new()), || workload.run(&taps), seconds);
            #[allow(clippy::print_stdout, reason = "the rows are what this mode is for")]
            {
                let ratio = observed / plain;
                println!(
                    "{}, {name}: {plain:.4} ms, observed {observed:.4} ms, ratio {ratio:.3}",
                    workload.name
                );
            }
        }
    }
}

/// The minima of two pieces of work that take turns, in milliseconds.
fn alternate(plain: impl Fn(), observed: impl Fn(), seconds: f64) -> (f64, f64) {
    let time = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    let (mut least, begin) = ((f64::INFINITY, f64::INFINITY), Instant::now());
    while begin.elapsed().as_secs_f64() < seconds {
        least = (least.0.min(time(&plain)), least.1.min(time(&observed)));
    }
    least
}
