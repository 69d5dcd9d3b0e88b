"""Prints the logits (before the last relu) of the formula's image: python logits.py cnn_model.h5 (h5py 3.16.0, NumPy 2.4.6)."""

import sys

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

file = h5py.File(sys.argv[1])["model_weights"]


def get(layer, name):
    return file[f"{layer}/{layer}/{name}:0"][()].astype(np.float64)


def names(base):
    return [base] + [f"{base}_{i}" for i in range(1, 6)]


c, y, x = np.meshgrid(range(3), range(32), range(32), indexing="ij")
maps = ((c * 85 + y * 8 + x * 3) % 256).astype(np.float64).transpose(1, 2, 0)
for i, (conv, norm) in enumerate(zip(names("conv2d"), names("batch_normalization"))):
    windows = sliding_window_view(maps, (3, 3), axis=(0, 1))
    maps = np.tensordot(windows, get(conv, "kernel").transpose(2, 0, 1, 3), axes=3) + get(conv, "bias")
    deviation = np.sqrt(get(norm, "moving_variance") + 1e-3)
    maps = (np.maximum(maps, 0) - get(norm, "moving_mean")) / deviation * get(norm, "gamma") + get(norm, "beta")
    if i in (1, 3):
        size = maps.shape[0] // 2
        maps = maps[: 2 * size, : 2 * size].reshape(size, 2, size, 2, -1).max((1, 3))
values = maps.reshape(-1)
for dense in ["dense", "dense_1"]:
    values = np.maximum(values @ get(dense, "kernel") + get(dense, "bias"), 0)
print((values @ get("dense_2", "kernel") + get("dense_2", "bias")).tolist())
