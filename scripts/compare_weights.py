"""Weights of a TensorFlow.js layers model, dequantised in double as netgaze does."""

import numpy as np


def read_weights(folder, model):
    weights = {}
    for group in model["weightsManifest"]:
        data, at = b"".join((folder / p).read_bytes() for p in group["paths"]), 0
        for w in group["weights"]:
            q = w.get("quantization")
            kind = np.dtype({"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}[q["dtype"]] if q else "<f4")
            count = int(np.prod(w["shape"], dtype=np.int64))
            values = np.frombuffer(data, kind, count, at).reshape(w["shape"])
            at += count * kind.itemsize
            if q and q["dtype"] != "float16":
                values = values.astype(np.float64) * q["scale"] + q["min"]
            weights[w["name"]] = values.astype(np.float32)
    return weights
