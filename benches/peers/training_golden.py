"""Writes `crates/nnc-core/tests/it/golden/training.json`: a small network after ten steps of PyTorch's optimizers.

    python benches/peers/training_golden.py > crates/nnc-core/tests/it/golden/training.json

Images are bytes from a formula, normalised by mean 0.5 and deviation 0.25; weights are multiples of 1/32 from the same
formula. Batches are taken in order. Only weights decay. Made with the version that the file names.
"""

import json
import sys

import torch
from torch.nn import functional as F

N_IMAGES, BATCH, N_EPOCHS, LR = 20, 4, 2, 0.05


def draw(n, seed):
    """Integers in [0, 64), from a small congruential generator."""
    state, values = seed * 7919 + 17, []
    for _ in range(n):
        state = (state * 1103515245 + 12345) % 2**31
        values.append((state >> 16) % 64)
    return values


def weight(*shape, seed):
    return (torch.tensor(draw(torch.Size(shape).numel(), seed), dtype=torch.float32) / 32 - 1).reshape(shape)


PIXELS = [4 * value for value in draw(N_IMAGES * 6, 1)]
LABELS = [value % 3 for value in draw(N_IMAGES, 2)]


def start():
    return {
        "ip1.weight": weight(5, 6, seed=3), "ip1.bias": weight(5, seed=4),
        "ip2.weight": weight(3, 5, seed=5), "ip2.bias": weight(3, seed=6),
    }


def plain(params):
    return {name: {"shape": list(p.shape), "values": [float(f"{v:.9g}") for v in p.detach().flatten().tolist()]}
            for name, p in params.items()}


def train(ours, clip_norm, make):
    params = {name: p.clone().requires_grad_(True) for name, p in start().items()}
    decay = ours["weight_decay"]
    groups = [{"params": [p], "weight_decay": decay if name.endswith("weight") else 0.0} for name, p in params.items()]
    optimizer = make(groups)
    x = ((torch.tensor(PIXELS, dtype=torch.float32) / 255 - 0.5) / 0.25).reshape(N_IMAGES, 6)
    y = torch.tensor(LABELS)
    losses = []
    for _ in range(N_EPOCHS):
        total = 0.0
        for i in range(0, N_IMAGES, BATCH):
            hidden = F.relu(F.linear(x[i : i + BATCH], params["ip1.weight"], params["ip1.bias"]))
            logits = F.linear(hidden, params["ip2.weight"], params["ip2.bias"])
            loss = F.cross_entropy(logits, y[i : i + BATCH])
            optimizer.zero_grad()
            loss.backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(params.values(), clip_norm)
            optimizer.step()
            total += loss.item()
        losses.append(float(f"{total / (N_IMAGES // BATCH):.9g}"))
    return {"optimizer": ours, "clip_norm": clip_norm, "epoch_losses": losses, "params": plain(params)}


def sgd(momentum, nesterov, weight_decay, clip_norm=None):
    ours = {"kind": "sgd", "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    make = lambda groups: torch.optim.SGD(groups, lr=LR, momentum=momentum, nesterov=nesterov)
    return train(ours, clip_norm, make)


def adam(weight_decay, clip_norm=None):
    ours = {"kind": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": weight_decay}
    make = lambda groups: torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.999), eps=1e-8)
    return train(ours, clip_norm, make)


cases = [sgd(0.0, False, 0.0), sgd(0.9, False, 0.1), sgd(0.9, True, 0.1), sgd(0.9, False, 0.0, clip_norm=0.5), adam(0.0), adam(0.1)]
json.dump({
    "made_by": "benches/peers/training_golden.py", "torch": torch.__version__, "lr": LR, "n_epochs": N_EPOCHS, "batch_size": BATCH, "pixels": PIXELS, "labels": LABELS,
    "start": plain(start()), "cases": cases,
}, sys.stdout)
print()
