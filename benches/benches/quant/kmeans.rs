//! k-means in one dimension: 256 shared values of a million weights and of VGG-16's largest layer (25,088 × 4,096).
//!
//! Rows: `lloyd`, from a linear start, at most 300 iterations, with the assignment of every weight; `optimal`, exact on 65,536
//! weights, and on cells of a million. The outside peers are in `peers/kmeans.py`, which runs this bench on its own weights.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use nnc_core::rng::Rng;
use nnc_quant::codebook::{ClusterConfig, Clustering, Init, cluster, cluster_optimal};

const N_SHARED: usize = 256;

/// Lloyd iterations at most, as in recipes.
const MAX_ITERATIONS: usize = 300;

const MILLION: usize = 1_000_000;
const VGG_FC6: usize = 25_088 * 4_096;

/// Normal weights of the width of a trained layer's.
fn weights(n: usize) -> Vec<f32> {
    let mut rng = Rng::keyed(1, "bench/kmeans", &[]);
    (0..n).map(|_| rng.normal() * 0.01).collect()
}

fn by_lloyd(weights: &[f32], max_iterations: usize) -> Clustering {
    let config = ClusterConfig { n_shared: N_SHARED, init: Init::Linear, max_iterations };
    cluster(weights, &config, &mut Rng::keyed(1, "forgy", &[])).expect("finite weights")
}

pub(crate) fn lloyd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nnc-quant/kmeans/lloyd");
    group.sample_size(10);
    for (name, n) in [("1M", MILLION), ("103M", VGG_FC6)] {
        let weights = weights(n);
        let checked = by_lloyd(&weights, MAX_ITERATIONS);
        assert_eq!((checked.centroids.len(), checked.assignments.len()), (N_SHARED, n));
        drop(checked);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| by_lloyd(&weights, MAX_ITERATIONS))
        });
    }
}

pub(crate) fn optimal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nnc-quant/kmeans/optimal");
    group.sample_size(10);
    for (name, n) in [("65536", 1 << 16), ("1M", MILLION)] {
        let weights = weights(n);
        let best = cluster_optimal(&weights, N_SHARED).expect("finite weights");
        assert!(best.clustering.sum_of_squares <= by_lloyd(&weights, MAX_ITERATIONS).sum_of_squares);
        group.throughput(Throughput::Elements(n as u64));
        let run = || cluster_optimal(&weights, N_SHARED);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(run));
    }
}

/// Runs `NNC_PEER_WHAT` (`lloyd` or `optimal`) `NNC_PEER_ROUNDS` times, for `NNC_PEER_ITERATIONS` at most, on the weights of the peers' script, and prints the fastest
/// milliseconds, the sum of squares, the iterations, and the MiB that the process held before and at most.
pub(crate) fn for_peers() -> bool {
    let Ok(path) = std::env::var("NNC_PEER_WEIGHTS") else { return false };
    let is_optimal = std::env::var("NNC_PEER_WHAT").is_ok_and(|what| what == "optimal");
    let n_rounds = number("NNC_PEER_ROUNDS", 1);
    let max_iterations = number("NNC_PEER_ITERATIONS", MAX_ITERATIONS);
    let weights = read(&path);
    let before = status_mib("VmRSS:");
    let mut fastest = f64::INFINITY;
    let mut found = (0.0, 0);
    for _ in 0..n_rounds {
        let start = Instant::now();
        let got = if is_optimal {
            cluster_optimal(&weights, N_SHARED).expect("finite weights").clustering
        } else {
            by_lloyd(&weights, max_iterations)
        };
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
        found = (got.sum_of_squares, got.n_iterations);
    }
    let at_most = status_mib("VmHWM:");
    #[allow(clippy::print_stdout, reason = "this line is what the peers' script reads")]
    {
        println!("{fastest:.3} {:.9e} {} {before:.0} {at_most:.0}", found.0, found.1);
    }
    true
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |n| n.parse().expect("a number"))
}

/// Little-endian `f32`; read in pieces, so that the file's bytes are not in the process's peak.
fn read(path: &str) -> Vec<f32> {
    use std::io::Read;
    let mut file = std::fs::File::open(path).expect("the peers' script wrote it");
    let n_bytes = file.metadata().expect("a file").len();
    let mut weights = Vec::with_capacity(usize::try_from(n_bytes).expect("fits") / 4);
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut piece).expect("a readable file");
        if n == 0 {
            return weights;
        }
        assert_eq!(n % 4, 0, "a piece of whole numbers");
        weights.extend(piece[..n].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    }
}

/// A line of the system's report on this process, in MiB; 0 where it has none.
fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
