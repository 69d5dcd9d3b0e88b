//! Whole training steps at the operators' own level: forward, loss, backward, SGD with momentum.
//!
//! The peer is `benches/peers/train_step.py` (PyTorch), same shapes and same work. That script runs this bench with
//! `NNC_PEER_SECONDS` set, which prints `name median_ms minimum_ms` instead of criterion's statistics.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group};
use mimalloc::MiMalloc;
use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::ops::{self, Activation, Conv2dConfig, Pool2dConfig, SgdMomentum};
use nnc_core::rng::Rng;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const BATCH: usize = 64;

fn random(shape: &[usize], scale: f32, name: &str) -> Tensor {
    let mut rng = Rng::keyed(1, name, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform_in(-scale, scale)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a shape of its values")
}

/// Parameters with their velocities, and the step that trains them.
struct Model {
    params: Vec<Var>,
    velocities: Vec<Vec<f32>>,
    input: Tensor,
    labels: Tensor,
    forward: fn(&[Var], &Tensor) -> nnc_core::Result<Tensor>,
}

impl Model {
    fn new(
        shapes: &[&[usize]],
        input: &[usize],
        forward: fn(&[Var], &Tensor) -> nnc_core::Result<Tensor>,
    ) -> Self {
        let labels: Vec<u32> = (0..10).cycle().take(BATCH).collect();
        let params: Vec<Var> = shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| {
                Var::from_tensor(&random(shape, 0.05, &format!("param {i}"))).expect("a variable")
            })
            .collect();
        Self {
            velocities: params.iter().map(|param| vec![0.0; param.elem_count()]).collect(),
            params,
            input: random(input, 1.0, "input"),
            labels: Tensor::from_vec(labels, BATCH, &Device::Cpu).expect("a vector"),
            forward,
        }
    }

    fn step(&mut self) -> nnc_core::Result<()> {
        let logits = (self.forward)(&self.params, &self.input)?;
        let gradients = ops::backward(&ops::softmax_cross_entropy(&logits, &self.labels)?)?;
        let sgd = SgdMomentum { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, nesterov: false };
        for (param, velocity) in self.params.iter().zip(&mut self.velocities) {
            let gradient = gradients.get(param).expect("every parameter is used");
            ops::update_in_place(param, gradient, |p, g| ops::sgd_momentum_update(p, velocity, g, &sgd))?;
        }
        Ok(())
    }
}

fn lenet_300_100() -> Model {
    let shapes: [&[usize]; 6] = [&[300, 784], &[300], &[100, 300], &[100], &[10, 100], &[10]];
    Model::new(&shapes, &[BATCH, 784], |p, x| {
        let h = ops::linear(x, &p[0], Some(&p[1]), Activation::Relu)?;
        let h = ops::linear(&h, &p[2], Some(&p[3]), Activation::Relu)?;
        ops::linear(&h, &p[4], Some(&p[5]), Activation::None)
    })
}

/// Caffe's variant: ReLU only after the first linear layer.
fn lenet_5() -> Model {
    let shapes: [&[usize]; 8] =
        [&[20, 1, 5, 5], &[20], &[50, 20, 5, 5], &[50], &[500, 800], &[500], &[10, 500], &[10]];
    Model::new(&shapes, &[BATCH, 1, 28, 28], |p, x| {
        let (conv, pool) = (Conv2dConfig::default(), Pool2dConfig::square(2));
        let h = ops::conv2d_max_pool2d(x, &p[0], Some(&p[1]), &conv, Activation::None, &pool)?;
        let h = ops::conv2d_max_pool2d(&h, &p[2], Some(&p[3]), &conv, Activation::None, &pool)?;
        let h = ops::linear(&h, &p[4], Some(&p[5]), Activation::Relu)?;
        ops::linear(&h, &p[6], Some(&p[7]), Activation::None)
    })
}

/// Forward and backward of one convolution, with the gradients of input, weight and bias.
fn conv_3x3() -> impl FnMut() {
    let var = |shape: &[usize], name| Var::from_tensor(&random(shape, 0.1, name)).expect("a variable");
    let (x, w, b) = (var(&[16, 64, 32, 32], "x"), var(&[64, 64, 3, 3], "w"), var(&[64], "b"));
    let up = random(&[16, 64, 32, 32], 1.0, "up");
    move || {
        let y = ops::conv2d(&x, &w, Some(&b), &Conv2dConfig::padded(1), Activation::None).expect("it fits");
        black_box(ops::backward_from(&y, &up).expect("a gradient"));
    }
}

/// Name, multiply-adds of a step, the step.
type Workload = (&'static str, u64, Box<dyn FnMut()>);

/// The workloads with their multiply-adds a step (forward, weight gradients, input gradients of all but the first layer).
fn workloads() -> Vec<Workload> {
    let (mut small, mut large) = (lenet_300_100(), lenet_5());
    vec![
        ("lenet-300-100", 64 * (2 * 235_200 + 3 * 31_000), Box::new(move || small.step().expect("a step"))),
        (
            "lenet-5",
            64 * (2 * 288_000 + 3 * (1_600_000 + 405_000)),
            Box::new(move || large.step().expect("a step")),
        ),
        ("conv3x3-64", 3 * 16 * 64 * 64 * 9 * 1024, Box::new(conv_3x3())),
    ]
}

fn train_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nnc-core/train_step");
    for (name, multiply_adds, mut step) in workloads() {
        group.throughput(Throughput::Elements(multiply_adds));
        group.bench_function(name, |bencher| bencher.iter(&mut step));
    }
}

criterion_group!(benches, train_step);

/// With `NNC_PEER_SECONDS` set: medians and minima of as many seconds a workload, and the process's peak memory; otherwise
/// criterion.
fn main() {
    // PyTorch's calling thread is one of its threads too, and a member of the pool sleeps less between layers.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().expect("the first use of the pool");
    let Ok(seconds) = std::env::var("NNC_PEER_SECONDS") else {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    };
    let seconds: f64 = seconds.parse().expect("NNC_PEER_SECONDS is a number");
    let only = std::env::var("NNC_PEER_ONLY").ok();
    for (name, _, mut step) in
        workloads().into_iter().filter(|(name, ..)| only.as_ref().is_none_or(|o| o == name))
    {
        let (median, minimum) = measure(&mut step, seconds);
        #[allow(clippy::print_stdout, reason = "this line is what the peers' script reads")]
        {
            println!("{name} {median:.4} {minimum:.4} {:.1}", peak_mib());
        }
    }
}

/// The most memory that this process has held, in MiB; 0 where the system does not tell.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Median and minimum of a step, in milliseconds.
fn measure(step: &mut dyn FnMut(), seconds: f64) -> (f64, f64) {
    (0..20).for_each(|_| step());
    let (mut times, begin) = (Vec::new(), std::time::Instant::now());
    while begin.elapsed().as_secs_f64() < seconds {
        let start = std::time::Instant::now();
        step();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}
