//! Masks of a 25088×4096 layer by a global threshold, beside a quickselect over indices; SparseGPT of a 4096×4096 layer.
//!
//! The peer of SparseGPT is `benches/peers/sparsegpt.py` (PyTorch). That script runs this bench with `NNC_PEER_ROUNDS` set, which
//! prints `name round seconds cpu-seconds MiB` instead of criterion's statistics, the last being the memory that the work adds.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use nnc_benches::process;
use nnc_core::candle::{Device, Tensor};
use nnc_core::linalg::Gram;
use nnc_core::rng::Rng;
use nnc_prune::importance::second_order::{Pattern, SparseGptConfig, sparse_gpt};
use nnc_prune::select::{self, Layer};
use nnc_prune::{Mask, importance::magnitude::magnitude};
use rayon::prelude::*;

/// VGG-16's fc6.
const SHAPE: [usize; 2] = [25_088, 4_096];
/// One weight in 25 stays.
const SPARSITY: f64 = 0.96;

/// Normal numbers, one stream a row.
fn normal(shape: [usize; 2], name: &str) -> Tensor {
    let mut values = vec![0.0_f32; shape[0] * shape[1]];
    values.par_chunks_mut(shape[1]).enumerate().for_each(|(row_idx, row)| {
        let mut rng = Rng::keyed(1, name, &[row_idx as u64]);
        row.iter_mut().for_each(|value| *value = 0.01 * rng.normal());
    });
    Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).expect("a shape of its values")
}

/// Scores and mask of one layer, as a user would ask for them.
fn global(weight: &Tensor) -> Mask {
    let scores = magnitude(weight).expect("a readable weight");
    let layer = Layer { name: "fc6.weight", scores: &scores, shape: &SHAPE };
    select::global(&[layer], SPARSITY).expect("a sparsity in range").remove(0)
}

/// The plain way: a quickselect over a vector of indices.
fn quickselect(weight: &Tensor) -> Mask {
    let scores = magnitude(weight).expect("a readable weight");
    // The floor of the share, as the level pruner takes it.
    let n_pruned = scores.len() - scores.len() / 25 - usize::from(!scores.len().is_multiple_of(25));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.select_nth_unstable_by(n_pruned, |&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    let mut mask = Mask::all(&SHAPE);
    order[..n_pruned].iter().for_each(|&i| mask.prune(i));
    mask
}

fn selection(criterion: &mut Criterion) {
    let weight = normal(SHAPE, "fc6");
    assert_eq!(global(&weight), quickselect(&weight), "both ways choose the same");
    let mut group = criterion.benchmark_group("nnc-prune/select");
    group.sample_size(10).throughput(Throughput::Elements(weight.elem_count() as u64));
    group.bench_function("global/25088x4096", |bencher| bencher.iter(|| global(black_box(&weight))));
    group
        .bench_function("quickselect/25088x4096", |bencher| bencher.iter(|| quickselect(black_box(&weight))));
    group.finish();
}

/// Weight and second moments of a 4096×4096 layer whose inputs depend on their neighbours.
fn layer() -> (Tensor, Gram) {
    const N: usize = 4_096;
    let noise = normal([2 * N, N], "inputs").flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("floats");
    let inputs: Vec<f32> =
        noise.iter().enumerate().map(|(i, x)| if i % N > 0 { x + 0.8 * noise[i - 1] } else { *x }).collect();
    let mut gram = Gram::new(N).expect("a length above 0");
    gram.add_rows(&inputs).expect("whole samples");
    (normal([N, N], "weight"), gram)
}

fn second_order(criterion: &mut Criterion) {
    let (weight, gram) = layer();
    let mut group = criterion.benchmark_group("nnc-prune/sparse_gpt");
    group.sample_size(10).throughput(Throughput::Elements(weight.elem_count() as u64));
    for (name, pattern) in
        [("4096x4096/50%", Pattern::Level(0.5)), ("4096x4096/2:4", Pattern::NofM { n: 2, m: 4 })]
    {
        let config = SparseGptConfig::frantar_2023(pattern);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                sparse_gpt(black_box(&weight), std::slice::from_ref(&gram), &config).expect("a layer")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, selection, second_order);

fn main() {
    let Ok(rounds) = std::env::var("NNC_PEER_ROUNDS") else {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    };
    let rounds: usize = rounds.parse().expect("NNC_PEER_ROUNDS is a number");
    let only = std::env::var("NNC_PEER_ONLY").ok();
    let is_wanted = |name| only.as_ref().is_none_or(|only| only == name);
    let name = "select-global-25088x4096";
    if is_wanted(name) {
        let weight = normal(SHAPE, "fc6");
        report(name, rounds, || global(&weight));
    }
    let name = "sparsegpt-4096x4096";
    if is_wanted(name) {
        let (weight, gram) = layer();
        let config = SparseGptConfig::frantar_2023(Pattern::Level(0.5));
        report(name, rounds, || sparse_gpt(&weight, std::slice::from_ref(&gram), &config).expect("a layer"));
    }
}

/// Time and memory of each round.
#[allow(clippy::print_stdout, reason = "these lines are what the peers' script reads")]
fn report<T>(name: &str, rounds: usize, work: impl Fn() -> T) {
    for round in 0..rounds {
        let cpu_before = process::cpu_seconds();
        let start = Instant::now();
        let (bytes, result) = process::peak_of(&work);
        let seconds = start.elapsed().as_secs_f64();
        let cpu = process::cpu_seconds().zip(cpu_before).map_or(f64::NAN, |(after, before)| after - before);
        drop(black_box(result));
        let mib = bytes.map_or(f64::NAN, |bytes| bytes as f64 / f64::from(1 << 20));
        println!("{name} {round} {seconds:.4} {cpu:.2} {mib:.1}");
    }
}
