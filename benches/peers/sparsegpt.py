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


def ours(threads):
    """Seconds and processor seconds of a round of our bench."""
    command = ["cargo", "bench", "-q", "--bench", "prune"]
    env = dict(os.environ, NNC_PEER_ROUNDS="1", NNC_PEER_ONLY="sparsegpt-4096x4096", RAYON_NUM_THREADS=str(threads))
    lines = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()
    fields = next(line for line in lines if line.startswith("sparsegpt-4096x4096")).split()
    return float(fields[2]), float(fields[3])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--peer-only", action="store_true", help="PyTorch alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(1)
    weight, hessian = torch.randn(N, N, generator=generator), moments(N, 2 * N, generator)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {N}x{N}, sparsity {SPARSITY}")
    sides = {"torch": [], "nnc": []}
    for _ in range(arguments.rounds):
        start, cpu = time.perf_counter(), time.process_time()
        result = sparse_gpt(weight, hessian)
        sides["torch"].append((time.perf_counter() - start, time.process_time() - cpu))
        assert abs((result == 0).float().mean().item() - SPARSITY) < 0.01
        if not arguments.peer_only:
            sides["nnc"].append(ours(arguments.threads))
        turn = ", ".join(f"{name} {turns[-1][0]:.3f} s ({turns[-1][1]:.2f} cpu)" for name, turns in sides.items() if turns)
        print(turn, flush=True)
    for what, i in [("seconds", 0), ("cpu seconds", 1)]:
        for name, turns in sides.items():
            if turns:
                times = [turn[i] for turn in turns]
                print(f"{name}: {what}, median {statistics.median(times):.3f}, minimum {min(times):.3f}")
        if sides["nnc"]:
            minima = [min(turn[i] for turn in turns) for turns in sides.values()]
            print(f"ratio of minima, {what}: {minima[1] / minima[0]:.3f}")


if __name__ == "__main__":
    main()
