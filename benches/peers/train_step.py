"""Whole training steps in PyTorch: the baseline of `benches/benches/train_step.rs`.

Same shapes, same work, in float32 on the CPU: forward, loss, backward, SGD with momentum 0.9. Prints one line a
workload: `name median_ms minimum_ms`.

    python benches/peers/train_step.py [--threads 2] [--seconds 2] [--only NAME]
"""

import argparse
import statistics
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
    for _ in range(20):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", choices=WORKLOADS)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    for name in [args.only] if args.only else WORKLOADS:
        median, minimum = measure(WORKLOADS[name](), args.seconds)
        print(f"{name} {median:.4f} {minimum:.4f}", flush=True)


if __name__ == "__main__":
    main()
