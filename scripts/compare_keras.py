#!/usr/bin/env python3
"""Maps of tf-keras-vis and xplique, for compare_methods.py: run by a Python that has TensorFlow, tf_keras and both.

Reads a line of JSON for each map, [model folder, layer, class, "library.method", options], takes the input from x.npy in the
folder that is its one argument, and from given.npz what the library gets in place of its random numbers; writes keras.npy
there and an empty line, or a line that says what went wrong.
"""

import contextlib
import functools
import json
import os
import pathlib
import sys
import unittest.mock

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

from compare_weights import read_weights


@functools.lru_cache(maxsize=1)
def load(folder):
    """The TensorFlow.js layers model in tf_keras, its softmax made linear (what tf-keras-vis asks for)."""
    folder = pathlib.Path(folder)
    described = json.loads((folder / "model.json").read_text())
    config = described["modelTopology"]["model_config"]
    config["config"]["layers"][-1]["config"]["activation"] = "linear"
    model = tf.keras.models.model_from_json(json.dumps(config))
    weights = read_weights(folder, described)
    for layer in model.layers:
        names = [w.name.split(":")[0].split("/")[-1] for w in layer.weights]
        if names:
            layer.set_weights([weights[f"{layer.name}/{n}"] for n in names])
    return model


def tkv_map(model, x, layer, c, method, options):
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore
    classes = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus, "layercam": Layercam, "scorecam": Scorecam}
    return classes[method](model, clone=False)(
        CategoricalScore(c), x, penultimate_layer=layer, seek_penultimate_conv_layer=False, expand_cam=False, normalize_cam=False,
        activation_modifier=None if method != "gradcam++" else tf.nn.relu, **options)


def xplique_map(model, x, layer, c, name, options, given):
    """The method led to the given samples, noise and masks; class activation maps stay at the layer's grid."""
    from xplique import attributions
    made, changes = getattr(attributions, name), []
    if name in ("SmoothGrad", "VarGrad", "SquareGrad"):
        changes = [(attributions.gradient_statistics.gradient_statistic.GradientStatistic, "_perturb_samples",
                    staticmethod(lambda *a: tf.constant(given["noisy"])))]
    elif name == "GradCAM":
        changes, options["conv_layer"] = [(tf.image, "resize", lambda image, *a, **k: image)], layer
    elif name == "Rise":
        changes = [(made, "_get_masks", staticmethod(lambda *a: tf.constant(given["masks"]))),
                   (made, "_apply_masks", staticmethod(lambda x, masks, value: (x[None] * masks, masks)))]
    elif name == "Lime":
        from sklearn.linear_model import Ridge
        options.update(map_to_interpret_space=lambda x: tf.constant(given["labels"]), interpretable_model=Ridge(alpha=1.0),
                       pertub_func=lambda features, count: tf.constant(given["on"]),
                       similarity_kernel=lambda x, on, images: tf.constant(given["weight"], tf.float32))
    if issubclass(made, attributions.base.WhiteBoxExplainer) and name != "GradCAM":
        options.setdefault("reducer", "sum")
    with contextlib.ExitStack() as stack:
        for where, what, new in changes:
            stack.enter_context(unittest.mock.patch.object(where, what, new))
        value = made(model, **options)(x, np.eye(model.output_shape[-1], dtype=np.float32)[None, c])
    if name == "Rise":  # it divides by the sum of the masks at each pixel, the authors by their number's share
        value = value * (given["masks"].sum(0) + 1e-4) / (0.5 * len(given["masks"]))
    return value


def make_map(work, folder, layer, c, method, options):
    library, method = method.split(".")
    model, x = load(folder), np.load(work / "x.npy")[None].astype(np.float32)
    if library == "tkv":
        value = tkv_map(model, x, layer, c, method, options)
    else:
        value = xplique_map(model, x, layer, c, method, options, np.load(work / "given.npz"))
    value = np.asarray(value, np.float32)
    np.save(work / "keras.npy", value[0].sum(-1) if value.ndim == 4 else value[0])


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            make_map(pathlib.Path(sys.argv[1]), *json.loads(line))
            answer = ""
        except Exception as error:  # noqa: BLE001: told to the caller
            answer = repr(error)[:300].replace("\n", " ")
        print(answer, file=answers, flush=True)


main()
