#!/usr/bin/env python3
"""One map of tf-keras-vis, for compare_methods.py: run by a Python that has TensorFlow, tf_keras and tf-keras-vis.

    compare_tkv.py MODEL_FOLDER INPUT.npy LAYER CLASS METHOD OUT.npy [option=value ...]
"""

import json
import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

from compare_weights import read_weights


def load(folder):
    """The TensorFlow.js layers model in tf_keras, its softmax made linear (what tf-keras-vis asks for)."""
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


def main():
    folder, array, layer, c, method, out = sys.argv[1:7]
    options = {k: int(v) for k, v in (o.split("=") for o in sys.argv[7:])}
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore
    classes = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus, "layercam": Layercam, "scorecam": Scorecam}
    visualiser = classes[method](load(pathlib.Path(folder)), clone=False)
    value = visualiser(CategoricalScore(int(c)), np.load(array)[None].astype(np.float32), penultimate_layer=layer,
                       seek_penultimate_conv_layer=False, activation_modifier=None if method != "gradcam++" else tf.nn.relu,
                       expand_cam=False, normalize_cam=False, **options)
    np.save(out, np.asarray(value, np.float32).reshape(np.asarray(value).shape[-2:]))


main()
