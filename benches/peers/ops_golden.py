"""Writes `crates/nnc-core/tests/it/golden/ops.json`: outputs and gradients of PyTorch's operators.

    python benches/peers/ops_golden.py > crates/nnc-core/tests/it/golden/ops.json

Inputs are multiples of 1/16 from a formula, so that the file stays short; the gradient of every output is the
formula's too. Each case: operator, settings, inputs, output, gradients of the inputs. Made with the versions that
the file names.
"""

import json
import sys

import torch
from torch.nn import functional as F


def draw(*shape, seed):
    """Multiples of 1/16 in [-2, 2), from a small congruential generator."""
    state, values = seed * 7919 + 17, []
    for _ in range(torch.Size(shape).numel()):
        state = (state * 1103515245 + 12345) % 2**31
        values.append((state >> 16) % 64 / 16 - 2)
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


def case(op, settings, function, *inputs):
    leaves = [x.clone().requires_grad_(True) for x in inputs]
    y = function(*leaves)
    up = draw(*y.shape, seed=99)
    y.backward(up)
    tensor = lambda t: {"shape": list(t.shape), "values": [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]}
    return {
        "op": op, "settings": settings, "inputs": [tensor(x) for x in leaves], "up": tensor(up), "output": tensor(y),
        "gradients": [tensor(x.grad) for x in leaves],
    }


def conv(x, w, bias, relu=False, **settings):
    full = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1} | settings
    function = lambda x, w, b: (F.relu if relu else lambda y: y)(F.conv2d(x, w, b, **full))
    inputs = draw(*x, seed=1), draw(*w, seed=2), draw(bias, seed=3)
    return case("conv2d", full | {"relu": relu}, function, *inputs)


def pool(kind, x, **settings):
    full = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil_mode": False, "count_include_pad": True}
    full |= settings
    args = {"kernel_size": full["kernel"], "stride": full["stride"], "padding": full["padding"],
            "ceil_mode": full["ceil_mode"]}
    if kind == "avg_pool2d":
        args["count_include_pad"] = full["count_include_pad"]
    return case(kind, full, lambda x: getattr(F, kind)(x, **args), draw(*x, seed=4))


def cases():
    yield case("linear", {"relu": False}, F.linear, draw(3, 5, seed=1), draw(4, 5, seed=2), draw(4, seed=3))
    yield case("linear", {"relu": True}, lambda x, w, b: F.relu(F.linear(x, w, b)),
               draw(3, 5, seed=4), draw(4, 5, seed=5), draw(4, seed=6))
    yield conv((2, 2, 5, 6), (3, 2, 3, 3), 3)
    yield conv((2, 2, 5, 6), (3, 2, 3, 3), 3, relu=True, padding=[1, 1])
    yield conv((1, 2, 7, 8), (2, 2, 3, 2), 2, stride=[2, 3], padding=[1, 0])
    yield conv((1, 1, 7, 7), (2, 1, 3, 3), 2, dilation=[2, 2], padding=[2, 1])
    yield conv((2, 4, 4, 5), (6, 2, 3, 3), 6, groups=2, padding=[1, 1], relu=True)
    yield conv((2, 3, 4, 4), (3, 1, 3, 3), 3, groups=3, stride=[2, 2], padding=[1, 1])
    yield pool("max_pool2d", (1, 2, 5, 7))
    yield pool("max_pool2d", (1, 2, 5, 7), ceil_mode=True)
    yield pool("max_pool2d", (1, 1, 6, 7), kernel=[3, 3], stride=[2, 2], padding=[1, 1])
    yield pool("max_pool2d", (1, 1, 6, 5), kernel=[3, 2], stride=[1, 3])
    yield pool("avg_pool2d", (1, 2, 5, 7))
    yield pool("avg_pool2d", (1, 1, 6, 7), kernel=[3, 3], padding=[1, 1], ceil_mode=True)
    yield pool("avg_pool2d", (1, 1, 6, 7), kernel=[3, 3], padding=[1, 1], ceil_mode=True, count_include_pad=False)
    x = draw(3, 12, seed=7) * 4
    for op in ["relu", "relu6", "tanh", "sigmoid"]:
        yield case(op, {}, getattr(F, op) if op in ("relu", "relu6") else getattr(torch, op), x)
    yield case("hard_swish", {}, F.hardswish, x + 1 / 32)
    yield case("abs", {}, torch.abs, x)
    yield case("clip", {"low": -1.0, "high": 2.0}, lambda x: torch.clamp(x, -1.0, 2.0), x)
    yield case("prelu", {}, F.prelu, draw(2, 3, 2, 2, seed=8), draw(3, seed=9))
    yield case("batch_norm_train", {"epsilon": 1e-3},
               lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True, eps=1e-3),
               draw(3, 2, 2, 3, seed=10), draw(2, seed=11), draw(2, seed=12))
    mean, variance = draw(2, seed=13), draw(2, seed=14).abs() + 0.5
    yield case("batch_norm_eval", {"epsilon": 1e-3, "mean": mean.tolist(), "variance": variance.tolist()},
               lambda x, g, b: F.batch_norm(x, mean, variance, g, b, training=False, eps=1e-3),
               draw(3, 2, 2, 3, seed=15), draw(2, seed=16), draw(2, seed=17))
    for size in [5, 4]:
        yield case("local_response_norm", {"size": size, "alpha": 0.5, "beta": 0.75, "k": 2.0},
                   lambda x: F.local_response_norm(x, size, 0.5, 0.75, 2.0), draw(2, 7, 2, 2, seed=18))
    yield case("softmax", {}, lambda x: F.softmax(x, -1), draw(3, 6, seed=19))
    yield case("log_softmax", {}, lambda x: F.log_softmax(x, -1), draw(3, 6, seed=20))
    labels = [2, 0, 5]
    yield case("softmax_cross_entropy", {"labels": labels}, lambda x: F.cross_entropy(x, torch.tensor(labels)),
               draw(3, 6, seed=21))


def main():
    torch.set_num_threads(1)
    file = {"made_by": "benches/peers/ops_golden.py", "torch": torch.__version__.split("+")[0],
            "python": sys.version.split()[0], "cases": list(cases())}
    print(json.dumps(file, separators=(",", ":")).replace('{"op"', '\n{"op"'))


if __name__ == "__main__":
    main()
