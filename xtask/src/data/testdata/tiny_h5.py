"""Writes tiny.h5 (h5py 3.16.0, NumPy 2.4.6); packed by `gzip -9 -n`."""

import h5py
import numpy as np

with h5py.File("tiny.h5", "w", libver=("earliest", "v108")) as file:
    group = file.create_group("layers")
    a = group.create_group("a")
    for i in range(4):
        a.attrs[f"n{i}"] = np.float32(i)
    a.create_dataset("kernel:0", data=np.arange(6, dtype="<f4").reshape(2, 3) / 2)
    a.create_dataset("bias:0", data=np.array([-1.5, 2.25], "<f4"))
    for i in range(12):
        group.create_dataset(f"n{i:02d}", data=np.array([i], "<f4"))
    group.create_dataset("ints", data=np.arange(3, dtype="<i4"))
    group.create_dataset("chunked", data=np.zeros(8, "<f4"), chunks=(4,))
    group.create_dataset("scalar", data=np.float32(7))
