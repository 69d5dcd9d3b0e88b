"""SparseGPT of a 4096x4096 layer, ours and PyTorch's by turns.

The PyTorch side is algorithm 1 of Frantar and Alistarh (2023) as written there: damping, Cholesky, inverse, Cholesky of the
inverse, then blocks of 128 columns with a quantile each. Both start from the same kind of second moments (not timed), end with
the pruned weight, and run on two threads.

    .venv/bin/python benches/peers/sparsegpt.py --rounds 3
"""

import argparse
import os
import statistics
import subprocess
import time

import torch

N = 4096
SPARSITY = 0.5
BLOCK = 128


def moments(n, samples, generator):
    x = torch.randn(samples, n, generator=generator)
    x[:, 1:] += 0.8 * x[:, :-1]
    return 2.0 / samples * x.t() @ x


@torch.no_grad()
def sparse_gpt(weight, hessian):
    w, h = weight.clone(), hessian.clone()
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    diagonal = torch.arange(N)
    h[diagonal, diagonal] += 0.01 * torch.mean(torch.diag(h))
    u = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, N, BLOCK):
        end = min(start + BLOCK, N)
        block, part = w[:, start:end].clone(), u[start:end, start:end]
        scores = block**2 / torch.diag(part).reshape(1, -1) ** 2
        threshold = torch.sort(scores.flatten())[0][int(scores.numel() * SPARSITY)]
        pruned = scores <= threshold
        errors = torch.zeros_like(block)
        result = torch.zeros_like(block)
        for i in range(end - start):
            column = block[:, i]
            kept = column.clone()
            kept[pruned[:, i]] = 0
            result[:, i] = kept
            error = (column - kept) / part[i, i]
            block[:, i:] -= error.unsqueeze(1) @ part[i, i:].unsqueeze(0)
            errors[:, i] = error
        w[:, start:end] = result
        w[:, end:] -= errors @ u[start:end, end:]
    return w


def ours(rounds):
    """Seconds of each round of our bench."""
    command = ["cargo", "bench", "-q", "--bench", "prune"]
    env = dict(os.environ, NNC_PEER_ROUNDS=str(rounds), NNC_PEER_ONLY="sparsegpt-4096x4096", RAYON_NUM_THREADS="2")
    lines = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()
    return [float(line.split()[2]) for line in lines if line.startswith("sparsegpt-4096x4096")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--peer-only", action="store_true", help="PyTorch alone")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(1)
    weight, hessian = torch.randn(N, N, generator=generator), moments(N, 2 * N, generator)
    sparse_gpt(weight, hessian)
    peer, mine = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        result = sparse_gpt(weight, hessian)
        peer.append(time.perf_counter() - start)
        print(f"torch {peer[-1]:.3f} s", flush=True)
        if not arguments.peer_only:
            mine += ours(1)
    assert abs((result == 0).float().mean().item() - SPARSITY) < 0.01
    print(f"torch {torch.__version__}, 2 threads, {N}x{N}, sparsity {SPARSITY}")
    for name, seconds in [("torch", peer), ("nnc", mine)]:
        if seconds:
            print(f"{name}: median {statistics.median(seconds):.3f} s, minimum {min(seconds):.3f} s")
    if mine:
        print(f"ratio: medians {statistics.median(mine) / statistics.median(peer):.3f}, minima {min(mine) / min(peer):.3f}")


if __name__ == "__main__":
    main()
