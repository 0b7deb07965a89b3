"""model.onnx with 8-bit convolutions, for bench/peer.py onnxruntime_int8: python bench/quantize.py FOLDER INPUT.npy

Static quantisation as ONNX Runtime recommends it for CPUs with VNNI: QDQ, weights by channel, ranges from the one input that
is measured, as netgaze's side has them."""
import os
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

folder, path = sys.argv[1:3]
x = np.load(path).astype(np.float32)


class Once(CalibrationDataReader):
    def __init__(self, name):
        self.left = [{name: x if x.ndim == 4 else x[None]}]

    def get_next(self):
        return self.left.pop() if self.left else None


import onnx

source, ready = os.path.join(folder, "model.onnx"), os.path.join(folder, "model-ready.onnx")
quant_pre_process(source, ready, skip_symbolic_shape=True)
name = onnx.load(ready).graph.input[0].name
quantize_static(ready, os.path.join(folder, "model-int8.onnx"), Once(name), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
