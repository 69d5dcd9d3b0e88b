"""k-means in one dimension: the peers of `benches/benches/quant.rs`, by turns with ours on the same weights.

    python benches/peers/kmeans.py [--rounds 3] [--threads 2] [--large]

`lloyd` is scikit-learn's KMeans from the same linear start for as many iterations (it also moves empty clusters to far weights,
which costs it little and lowers its sum of squares); `optimal` are ckwrap (Ckmeans.1d.dp) and kmeans1d, both exact. With --large
also VGG-16's largest layer, 103 million weights. Since 300 of scikit-learn's iterations take minutes there and hours here, it gets
the number below, and so does ours beside it; ours alone is also timed with 300.
"""

import argparse
import os
import subprocess
import tempfile
import time

import numpy as np

N_SHARED = 256

# Name, weights, iterations beside scikit-learn.
WORKLOADS = [("65536", 1 << 16, 100), ("1M", 1_000_000, 20)]
LARGE = ("103M", 25_088 * 4_096, 1)


def weights(n):
    return np.random.default_rng(1).standard_normal(n, dtype=np.float32) * np.float32(0.01)


def ours(path, what, iterations, args):
    """(ms, sum of squares, iterations, MiB before, MiB at most)"""
    settings = {"NNC_PEER_WEIGHTS": path, "NNC_PEER_WHAT": what, "NNC_PEER_ITERATIONS": str(iterations)}
    settings |= {"NNC_PEER_ROUNDS": "3", "RAYON_NUM_THREADS": str(args.threads)}
    command = ["cargo", "bench", "--quiet", "-p", "nnc-benches", "--bench", "quant"]
    output = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True).stdout
    return tuple(float(field) for field in output.split())


def cost(values, codes, n):
    """Sum of squares round the means of the clusters, in 64-bit floats."""
    values = values.astype(np.float64)
    counts = np.bincount(codes, minlength=n)
    means = np.bincount(codes, values, n) / np.maximum(counts, 1)
    return float(np.sum((values - means[codes]) ** 2))


def scikit_learn(values, n_iterations):
    from sklearn.cluster import KMeans

    start = np.linspace(values.min(), values.max(), N_SHARED, dtype=np.float32).reshape(-1, 1)
    kmeans = KMeans(N_SHARED, init=start, n_init=1, max_iter=n_iterations, tol=0, algorithm="lloyd")
    begin = time.perf_counter()
    kmeans.fit(values.reshape(-1, 1))
    return (time.perf_counter() - begin) * 1e3, float(kmeans.inertia_), kmeans.n_iter_


def ckwrap(values):
    import ckwrap as peer

    begin = time.perf_counter()
    result = peer.ckmeans(values.astype(np.float64), N_SHARED)
    return (time.perf_counter() - begin) * 1e3, cost(values, np.asarray(result.labels), N_SHARED)


def kmeans1d(values):
    import kmeans1d as peer

    begin = time.perf_counter()
    codes, _ = peer.cluster(values, N_SHARED)
    return (time.perf_counter() - begin) * 1e3, cost(values, np.asarray(codes), N_SHARED)


def row(workload, peer, unit_ms, peer_cost, own_ms, own_cost):
    print(f"{workload},{peer},ms,{unit_ms:.1f},{own_ms:.1f},{own_ms / unit_ms:.4f},{peer_cost:.6e},{own_cost:.6e}", flush=True)


def compare(name, n, iterations, args):
    values = weights(n)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.f32")
        values.tofile(path)
        own, peer = [], []
        for _ in range(args.rounds):
            own.append(ours(path, "lloyd", iterations, args))
            peer.append(scikit_learn(values, iterations))
        row(f"{name} lloyd {iterations} iterations", "scikit-learn", *min(peer)[:2], *min(own)[:2])
        full = min(ours(path, "lloyd", 300, args) for _ in range(args.rounds))
        print(f"# {name} lloyd, {full[2]:.0f} iterations: {full[0]:.1f} ms, {full[3]:.0f} MiB before, {full[4]:.0f} MiB at most", flush=True)
        best = min(ours(path, "optimal", 0, args) for _ in range(args.rounds))
        for exact in [kmeans1d, ckwrap] if n <= 1 << 16 else []:
            result = min(exact(values) for _ in range(args.rounds))
            row(f"{name} optimal", exact.__name__, *result, *best[:2])
        if n > 1 << 16:
            print(f"# {name} optimal on cells: {best[0]:.1f} ms, sum of squares {best[1]:.6e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true")
    args = parser.parse_args()
    # Read before numpy's and scikit-learn's pools start: they are imported lazily.
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    print("workload,peer,unit,peer_ms,nnc_ms,ratio,peer_sum_of_squares,nnc_sum_of_squares")
    for workload in WORKLOADS + [LARGE] * args.large:
        compare(*workload, args)


if __name__ == "__main__":
    main()
