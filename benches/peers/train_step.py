"""Whole training steps in PyTorch: the baseline of `benches/benches/train_step.rs`.

Same shapes, same work, in float32 on the CPU: forward, loss, backward, SGD with momentum 0.9. Runs ours and
PyTorch's by turns, so that a busy machine slows both, and prints medians, minima and their ratio.

    python benches/peers/train_step.py [--threads 2] [--rounds 3] [--seconds 2] [--only NAME] [--peer-only] [--memory]

With --memory it prints the peak memory of two processes that do nothing but train LeNet-5, ours and PyTorch's.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def lenet_300_100():
    net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    return net, torch.rand(64, 784)


def lenet_5():
    """Caffe's variant: ReLU only after the first linear layer."""
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )
    return net, torch.rand(64, 1, 28, 28)


def classifier_step(make):
    net, x = make()
    labels = torch.arange(64) % 10
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()

    return step


def conv_3x3():
    """Forward and backward, with the gradients of input, weight and bias."""
    x = torch.rand(16, 64, 32, 32, requires_grad=True)
    conv = nn.Conv2d(64, 64, 3, padding=1)
    up = torch.rand(16, 64, 32, 32)

    def step():
        x.grad = None
        conv.zero_grad(set_to_none=True)
        conv(x).backward(up)

    return step


WORKLOADS = {
    "lenet-300-100": lambda: classifier_step(lenet_300_100),
    "lenet-5": lambda: classifier_step(lenet_5),
    "conv3x3-64": conv_3x3,
}


def measure(step, seconds):
    """Times of single steps in milliseconds."""
    for _ in range(20):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def ours(name, args):
    """(median, minimum, peak) of `cargo bench --bench train_step`, in milliseconds and MiB."""
    settings = {"NNC_PEER_SECONDS": str(args.seconds), "NNC_PEER_ONLY": name, "RAYON_NUM_THREADS": str(args.threads)}
    command = ["cargo", "bench", "--quiet", "-p", "nnc-benches", "--bench", "train_step"]
    output = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True).stdout
    return tuple(float(field) for field in output.split()[1:4])


def compare(name, args):
    step, peer, own = WORKLOADS[name](), [], []
    for _ in range(args.rounds):
        times = measure(step, args.seconds)
        peer.append((statistics.median(times), min(times)))
        if not args.peer_only:
            own.append(ours(name, args)[:2])
    summary = lambda rounds: (statistics.median(m for m, _ in rounds), min(m for _, m in rounds))
    (median, minimum) = summary(peer)
    line = f"{name:15} PyTorch {median:8.3f} ms (min {minimum:7.3f})"
    if own:
        (own_median, own_minimum) = summary(own)
        line += f"   nnc {own_median:8.3f} ms (min {own_minimum:7.3f})"
        line += f"   ratio {own_median / median:5.2f} (min {own_minimum / minimum:5.2f})"
    print(line, flush=True)


def memory(args):
    own = ours("lenet-5", args)[2]
    command = [sys.executable, __file__, "--only", "lenet-5", "--peer-only", "--print-peak", "--rounds", "1"]
    command += ["--threads", str(args.threads)]
    peer = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    print(f"lenet-5 peak memory   PyTorch {peer:.0f} MiB   nnc {own:.0f} MiB   ratio {own / peer:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each workload, side and round")
    parser.add_argument("--only", choices=WORKLOADS)
    parser.add_argument("--peer-only", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--print-peak", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.rounds} rounds of {args.seconds} s")
    if args.memory:
        return memory(args)
    for name in [args.only] if args.only else WORKLOADS:
        compare(name, args)
    if args.print_peak:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
