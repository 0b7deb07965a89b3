"""Writes tests/nn/activation_goldens.h and tests/exec/ref/resize_goldens.h from Keras with TensorFlow.

Run it where keras and tensorflow are installed: python tests/exec/ref/make_goldens.py
"""
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf

TESTS = Path(__file__).resolve().parents[2]
INF = float("inf")
A = keras.activations
POINTS = [-60, -8, -3.5, -3, -2.5, -1, -0.7, -1e-3, -1e-6, 0, 1e-6, 2e-3,
          0.3, 0.5, 1, 2.5, 2.75, 3, 5, 6, 9.5, 60]


def relu(alpha, most, threshold):
    most = None if most == INF else most
    return lambda x: A.relu(x, negative_slope=alpha, max_value=most, threshold=threshold)


# kind, alpha, max_value, threshold, function
RELUS = [("RELU", a, m, t, relu(a, m, t)) for a, m, t in
         [(0.0, INF, 0.0), (0.25, INF, 0.0), (0.0, 6.0, 0.0), (0.0, 2.5, 0.0), (0.5, 2.75, 1.0),
          (0.0, INF, 2.5), (0.125, 5.0, -1.0), (0.0, INF, -2.5), (0.25, 2.5, 0.0)]]
WITH_PARAMETERS = [
    ("ELU", 1, INF, 0, A.elu), ("ELU", 0.5, INF, 0, lambda x: A.elu(x, 0.5)),
    ("CELU", 2, INF, 0, lambda x: A.celu(x, 2.0)),
    ("LEAKY_RELU", 0.25, INF, 0, lambda x: A.leaky_relu(x, 0.25)),
    ("SOFT_SHRINK", 0, INF, 0.5, lambda x: A.soft_shrink(x, 0.5)),
    ("HARD_SHRINK", 0, INF, 0.5, lambda x: A.hard_shrink(x, 0.5)),
    ("THRESHOLD", -4, INF, 0.5, lambda x: A.threshold(x, 0.5, -4.0)),
    ("SQUAREPLUS", 4, INF, 0, lambda x: A.squareplus(x, 4.0)),
]
PLAIN = [(name.upper(), 0, INF, 0, getattr(A, name)) for name in
         ["linear", "relu6", "sigmoid", "tanh", "selu", "silu", "softplus", "softsign", "exponential",
          "hard_sigmoid", "hard_silu", "hard_tanh", "mish", "log_sigmoid", "tanh_shrink", "sparse_plus",
          "sparse_sigmoid"]]
PLAIN += [
    ("GELU", 0, INF, 0, lambda x: A.gelu(x, False)),
    ("GELU_TANH", 0, INF, 0, lambda x: A.gelu(x, True)),
    ("HARD_SIGMOID_2", 0, INF, 0, lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)),
]


def number(value, digits, suffix):
    if value == INF:
        return "INFINITY"
    text = f"{value:.{digits}g}"
    return text + (".0" if suffix and not set(text) & set(".e") else "") + suffix


def numbers(values, digits=9, suffix="f"):
    """Comma-separated, wrapped at 104 columns."""
    lines, line = [], ""
    for value in np.ravel(values):
        item = number(value, digits, suffix)
        if len(line) + len(item) > 98:
            lines.append(line.rstrip())
            line = ""
        line += item + ", "
    return "\n      ".join(lines + [line.rstrip(", ")])


def write_activations():
    keras.backend.set_floatx("float64")
    points = np.array(POINTS, "float32").astype("float64")
    rows = []
    for kind, alpha, most, threshold, function in RELUS + PLAIN + WITH_PARAMETERS:
        x = tf.constant(points)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        slope = tape.gradient(y, x).numpy()
        attr = ", ".join(number(float(v), 9, "f") for v in (alpha, most, threshold))
        rows.append(f"    {{{{NGI_ACT_{kind}, {attr}}},\n     {{{numbers(np.asarray(y), 17, '')}}},\n"
                    f"     {{{numbers(slope, 17, '')}}}}},\n")
    (TESTS / "nn/activation_goldens.h").write_text(
        f"/* Values and derivatives of every activation: keras.activations {keras.__version__} with TensorFlow\n"
        f" * {tf.__version__} in float64, its own gradients. Written by tests/exec/ref/make_goldens.py. */\n"
        "/* clang-format off */\n"
        f"#define GOLDEN_POINTS {len(points)}\n\nstatic const float golden_x[GOLDEN_POINTS] = {{\n"
        f"      {numbers(points)}}};\n\n"
        "static const struct {\n    ngi_activation_attr attr;\n    double y[GOLDEN_POINTS], slope[GOLDEN_POINTS];\n"
        "} goldens[] = {\n" + "".join(rows) + "};\n")


def resize_cases(rng):
    """name, op, scale, size, bilinear, crop, input, layer"""
    for h, w, c, sh, sw in [(2, 3, 2, 2, 3), (1, 1, 3, 3, 2), (5, 4, 1, 1, 4), (3, 3, 2, 5, 2)]:
        x = rng.standard_normal((h, w, c)).astype("f")
        for mode in ("nearest", "bilinear"):
            yield (f"upsample {mode} {sh}x{sw}", "UPSAMPLE", (sh, sw), (0, 0), mode == "bilinear", False, x,
                   keras.layers.UpSampling2D((sh, sw), interpolation=mode))
    for h, w, c, oh, ow in [(5, 7, 2, 3, 4), (4, 4, 1, 9, 7), (6, 9, 2, 5, 5), (9, 5, 1, 4, 7), (7, 7, 1, 7, 7),
                            (1, 6, 2, 3, 3), (10, 3, 1, 2, 8)]:
        x = rng.standard_normal((h, w, c)).astype("f")
        for mode in ("nearest", "bilinear"):
            for crop in (False, True):
                yield (f"resize {mode}{' crop' if crop else ''} {oh}x{ow}", "RESIZE", (0, 0), (oh, ow),
                       mode == "bilinear", crop, x,
                       keras.layers.Resizing(oh, ow, interpolation=mode, crop_to_aspect_ratio=crop))


def write_resizes():
    keras.backend.set_floatx("float32")
    rows = []
    for name, op, scale, size, bilinear, crop, x, layer in resize_cases(np.random.default_rng(5)):
        y = np.asarray(layer(tf.constant(x[None])))[0]
        assert x.size <= 128 and y.size <= 192, name
        h, w, c = x.shape
        rows.append(f'    {{"{name}", NGI_OP_{op}, {h}, {w}, {c}, {scale[0]}, {scale[1]}, {size[0]}, {size[1]}, '
                    f"{str(bilinear).lower()}, {str(crop).lower()}, {y.shape[0]}, {y.shape[1]},\n"
                    f"     {{{numbers(x)}}},\n     {{{numbers(y)}}}}},\n")
    (TESTS / "exec/ref/resize_goldens.h").write_text(
        f"/* UpSampling2D and Resizing of Keras {keras.__version__} with TensorFlow {tf.__version__}: input, then output, row\n"
        " * major [h,w,c]. Written by tests/exec/ref/make_goldens.py. */\n/* clang-format off */\n"
        "static const struct {\n    const char *name;\n    ngi_op op;\n"
        "    int h, w, c, scale_h, scale_w, size_h, size_w;\n    bool bilinear, crop;\n    int oh, ow;\n"
        "    float x[128], y[192];\n} goldens[] = {\n" + "".join(rows) + "};\n")


write_activations()
write_resizes()
