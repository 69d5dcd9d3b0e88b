//! Products of bytes on every instruction set, requantized to bytes, right factor packed.
//!
//! Beside them raw sums, ours and those of `rten-gemm`, and products of the same shapes in 32-bit floats by candle (whose
//! product is the `gemm` crate's).
//!
//! With `NNC_PEER_SECONDS` set it prints medians for `benches/peers/gemm.py`: on `NNC_THREADS` threads, on `NNC_GEMM_ISA` or the
//! best instruction set.
#![allow(missing_docs, reason = "criterion's macros")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use nnc_benches::peak;
use nnc_core::candle::{Device, Tensor};
use nnc_gemmlowp::{Gemm, Isa, MatMut, MatRef, Multiplier, PackedRhs, Per, Quantized, Stage};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, QuantParams};
use rten_tensor::NdTensorView;

/// Rows, columns and depth: cubes, products with few rows, and convolutions of ResNet-50 as products.
const SHAPES: [(usize, usize, usize); 11] = [
    (64, 64, 64),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (1, 4096, 4096),
    (8, 4096, 4096),
    (3136, 64, 576),
    (784, 128, 1152),
    (196, 256, 2304),
    (49, 512, 4608),
];

/// Bytes that look random.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    nnc_testing::bytes(seed).take(len).collect()
}

/// Bytes that begin a cache line, as the peers allocate theirs.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(seed: u64, len: usize) -> Self {
        let mut bytes = bytes(seed, len + 64);
        let start = bytes.as_ptr().align_offset(64);
        bytes.rotate_right(start);
        Self { bytes, start, len }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

/// A layer: unsigned activations with a zero point, signed weights, a bias and a multiplier for each output.
struct Layer {
    rows: usize,
    depth: usize,
    lhs: Aligned,
    rhs: PackedRhs,
    bias: Vec<i32>,
    multipliers: Vec<Multiplier>,
    out: Vec<u8>,
}

impl Layer {
    fn new((rows, cols, depth): (usize, usize, usize)) -> Self {
        let weights: Vec<i8> = bytes(2, depth * cols).into_iter().map(u8::cast_signed).collect();
        let weights = Quantized::new(MatRef::col_major(&weights, depth, cols).expect("its length"), 0);
        let multiplier = |byte: u8| Multiplier::from_real(1e-5 * f64::from(byte) + 1e-4).expect("in range");
        Self {
            rows,
            depth,
            lhs: Aligned::new(1, rows * depth),
            rhs: PackedRhs::new(weights),
            bias: bytes(3, cols).into_iter().map(i32::from).collect(),
            multipliers: bytes(4, cols).into_iter().map(multiplier).collect(),
            out: vec![0; rows * cols],
        }
    }

    fn lhs(&self) -> Quantized<'_, u8> {
        Quantized::new(MatRef::row_major(self.lhs.get(), self.rows, self.depth).expect("its length"), 128)
    }

    fn run(&mut self, gemm: Gemm) {
        let lhs = Quantized::new(
            MatRef::row_major(self.lhs.get(), self.rows, self.depth).expect("its length"),
            128,
        );
        let stages = [
            Stage::Bias(Per::Col(&self.bias)),
            Stage::Scale { multiplier: Per::Col(&self.multipliers), offset: 128 },
        ];
        let out = MatMut::row_major(&mut self.out, self.rows, self.rhs.cols()).expect("its length");
        gemm.gemm_packed(lhs, &self.rhs, &stages, out).expect("shapes fit");
    }
}

fn isas() -> impl Iterator<Item = Gemm> {
    Isa::ALL.into_iter().filter_map(|isa| Gemm::on(isa).ok())
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemmlowp/requantized");
    for shape in SHAPES {
        let mut layer = Layer::new(shape);
        let (rows, cols, depth) = shape;
        group.throughput(Throughput::Elements(2 * (rows * cols * depth) as u64));
        for gemm in isas().filter(|gemm| gemm.isa() != Isa::Scalar || rows * cols * depth <= 1 << 24) {
            let id = BenchmarkId::new(gemm.isa().name(), format!("{rows}x{cols}x{depth}"));
            group.bench_function(id, |b| b.iter(|| layer.run(gemm)));
        }
    }
}

/// Raw sums: ours, on the best instruction set, and those of `rten-gemm`.
fn sums(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemmlowp/sums");
    for (rows, cols, depth) in SHAPES {
        let layer = Layer::new((rows, cols, depth));
        let weights: Vec<i8> = bytes(2, depth * cols).into_iter().map(u8::cast_signed).collect();
        let zeros = vec![128; rows];
        let shape = format!("{rows}x{cols}x{depth}");
        group.throughput(Throughput::Elements(2 * (rows * cols * depth) as u64));
        let mut ours = vec![0_i32; rows * cols];
        group.bench_function(BenchmarkId::new(Gemm::best().isa().name(), &shape), |b| {
            b.iter(|| {
                let out = MatMut::row_major(&mut ours, rows, cols).expect("its length");
                Gemm::best().gemm_packed(layer.lhs(), &layer.rhs, &[], out).expect("shapes fit");
            });
        });
        let peer = GemmExecutor::<u8, i8, i32>::new();
        let lhs = NdTensorView::from_data([rows, depth], layer.lhs.get());
        // The weights lie column by column: a row-major matrix, transposed.
        let rhs = peer.prepack_b(NdTensorView::from_data([cols, depth], &weights[..]).transposed());
        let mut theirs = vec![0_i32; rows * cols];
        let mut run = || {
            let options =
                GemmOptions { a_quant: Some(QuantParams { zero_point: &zeros }), ..Default::default() };
            peer.gemm(&mut theirs, GemmInputA::Unpacked(lhs), GemmInputB::Packed(&rhs), options)
                .expect("shapes fit");
        };
        group.bench_function(BenchmarkId::new("rten-gemm", &shape), |b| b.iter(&mut run));
        assert_eq!(ours, theirs, "the sums of {shape} differ");
    }
}

/// Products of the same shapes in 32-bit floats.
fn floats(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemmlowp/f32");
    for (rows, cols, depth) in SHAPES {
        let floats = |seed, len| bytes(seed, len).into_iter().map(f32::from).collect::<Vec<f32>>();
        let (lhs, rhs) = (floats(1, rows * depth), floats(2, depth * cols));
        let shape = format!("{rows}x{cols}x{depth}");
        group.throughput(Throughput::Elements(2 * (rows * cols * depth) as u64));
        let tensor = |data, shape| Tensor::from_vec(data, shape, &Device::Cpu).expect("its length");
        let (lhs, rhs) = (tensor(lhs, (rows, depth)), tensor(rhs, (depth, cols)));
        group.bench_function(BenchmarkId::new("candle", &shape), |b| {
            b.iter(|| lhs.matmul(&rhs).expect("shapes fit"))
        });
    }
}

/// Median and minimum of as many runs as `time` allows, in microseconds.
fn measure(time: Duration, mut run: impl FnMut()) -> (f64, f64) {
    (0..3).for_each(|_| run());
    let (mut times, begin) = (vec![], Instant::now());
    while begin.elapsed() < time || times.len() < 5 {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

/// The lines that `benches/peers/gemm.py` reads.
#[allow(clippy::print_stdout, reason = "its result")]
fn report(seconds: f64) {
    let setting = |name| std::env::var(name).ok();
    let isa = setting("NNC_GEMM_ISA").map(|name| {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .expect("NNC_GEMM_ISA: a name of an instruction set")
    });
    let gemm =
        isa.map_or(Gemm::best(), |isa| Gemm::on(isa).expect("NNC_GEMM_ISA: one that this processor has"));
    let isa = gemm.isa().name();
    if let Some(gops) = peak::gops(gemm.isa()) {
        println!("peak {isa} {gops:.1}");
    }
    let only = setting("NNC_PEER_ONLY");
    for (rows, cols, depth) in SHAPES {
        let name = format!("{rows}x{cols}x{depth}");
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let mut layer = Layer::new((rows, cols, depth));
        let (median, min) = measure(Duration::from_secs_f64(seconds), || layer.run(gemm));
        println!("nnc {isa} {name} {median:.3} {min:.3}");
    }
}

criterion_group!(benches, products, sums, floats);

fn main() {
    let threads = std::env::var("NNC_THREADS").ok().map_or(1, |n| n.parse().expect("NNC_THREADS: a number"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    pool.build_global().expect("the first use of the pool");
    if let Ok(seconds) = std::env::var("NNC_PEER_SECONDS") {
        return report(seconds.parse().expect("NNC_PEER_SECONDS: a number"));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
