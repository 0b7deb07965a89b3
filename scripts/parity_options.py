#!/usr/bin/env python3
"""Losses, update rules, schedules and what else changes a training step, each against Keras.

    python scripts/parity_options.py NETGAZE [PART...]

A small network of random weights (depthwise, separable and dilated convolutions, batch norms, a residual sum, five
activations, a dense layer) is trained from the same start and in the same order by `netgaze train` and by Keras in
float32, without dropout and augmentation, four epochs of sixteen images in batches of five. Prints a row for each case whose
name has one of the PARTs: the largest relative difference of an epoch's loss, and of all weights the largest difference as a
share of its tensor's largest value. Fails where a loss is off by more than 1e-4 or a weight by more than 1e-3. Needs
scripts/parity-requirements.txt.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "fixtures"))
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

import make_train_fixtures as fixtures  # noqa: E402  netgaze's order of an epoch

LOSS, WEIGHT = 1e-4, 1e-3
CLASSES, COUNTS = "abc", (7, 5, 4)
DEFAULTS = dict(loss="softmax", optimizer="adam", schedule="constant", warmup=0, ema=0, clip=0, smoothing=0, class_weights=False,
                batch=5, micro=4, norms=False, hidden="", decay=None, epochs=4, rate=2e-3, unfreeze="depthwise", end="tanh",
                memory=None)


def cases():
    for loss in ("softmax", "sigmoid", "several labels", "focal", "ordinal"):
        for optimizer in ("sgd", "adam", "adamw"):
            yield "%s, %s" % (loss, optimizer), dict(loss=loss, optimizer=optimizer, smoothing=0 if loss == "ordinal" else 0.1,
                                                     clip=0 if optimizer == "adam" else 0.3, norms=optimizer == "adamw")
    for schedule in ("constant", "cosine", "step"):
        for warmup in (0, 5):
            yield "%s, warm-up %d" % (schedule, warmup), dict(schedule=schedule, warmup=warmup, optimizer="sgd")
    for optimizer in ("sgd", "adam", "adamw"):
        yield "moving average, clipped, " + optimizer, dict(ema=0.9, clip=0.5, optimizer=optimizer)
    yield "class weights", dict(class_weights=True)
    yield "class weights, focal, moving average", dict(class_weights=True, loss="focal", ema=0.99)
    for optimizer, decay in (("sgd", 0.05), ("adam", 0.01), ("adamw", 0)):
        yield "weight decay %g, %s" % (decay, optimizer), dict(optimizer=optimizer, decay=decay)
    for batch, micro in ((5, 1), (16, 3), (1, 4), (100, 4)):
        yield "batch %d in parts of %d" % (batch, micro), dict(batch=batch, micro=micro, optimizer="sgd")
    yield "--memory 200K", dict(batch=16, micro=8, memory="200K")
    yield "hidden layers", dict(hidden="9,5")
    for layer in ("first", "norm", "relu6", "sum", "separable", "tanh"):
        yield "unfrozen from " + layer, dict(unfreeze=layer, norms=layer in ("first", "norm"))
    for layer in ("sum", "separable", "pool"):
        yield "cut at " + layer, dict(end=layer)
    yield "cut behind a dense layer", dict(end="dense", unfreeze="dense")


def make_base(path):
    keras.utils.set_random_seed(4)
    layers = keras.layers
    x = image = keras.Input((20, 24, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="first")(x)
    x = layers.ReLU(6.0, name="relu6")(layers.BatchNormalization(name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.Activation("swish", name="swish")(layers.BatchNormalization(name="second_norm")(y))
    x = layers.Add(name="sum")([x, layers.Conv2D(8, 1, name="pointwise")(y)])
    x = layers.SeparableConv2D(12, 3, activation="gelu", name="separable")(x)
    x = layers.Conv2D(10, 3, dilation_rate=2, activation="tanh", name="tanh")(x)
    x = layers.Dense(6, activation="relu", name="dense")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(image, layers.Dense(4, activation="softmax", name="old")(layers.Dropout(0.3)(x)))
    rng = np.random.default_rng(7)
    for name in ("norm", "second_norm"):
        layer = model.get_layer(name)
        layer.set_weights([rng.uniform(low, high, w.shape) for w, (low, high) in
                           zip(layer.get_weights(), ((0.5, 1.5), (-0.3, 0.3), (-0.2, 0.2), (0.5, 1.5)))])
    model.save(path)


def make_images(folder):
    """Pixels as the network sees them, classes [n], and of several labels [n, classes] in the order of their CSV's items."""
    rng, pixels, classes, lines = np.random.default_rng(7), [], [], []
    for c, count in enumerate(COUNTS):
        (folder / "images" / CLASSES[c]).mkdir(parents=True)
        for i in range(count):
            x = rng.integers(0, 170, (20, 24, 3))
            x[..., c] += 60
            path = "images/%s/%d.png" % (CLASSES[c], i)
            Image.fromarray(x.astype(np.uint8)).save(folder / path)
            pixels.append(x)
            classes.append(c)
            lines.append((min({c, (c + 1) % 3} if i % 2 else {c}), path, {c, (c + 1) % 3} if i % 2 else {c}))
    rows = ["%s,%s\n" % (path, "|".join(CLASSES[k] for k in sorted(labels))) for _, path, labels in lines]
    (folder / "several.csv").write_text("path,label\n" + "".join(rows))
    several = sorted(range(len(lines)), key=lambda i: lines[i][:2])
    labels = np.array([[k in lines[i][2] for k in range(3)] for i in several], np.float32)
    return np.array(pixels, np.float32) / 127.5 - 1, np.array(classes), several, labels


def netgaze(program, folder, out, case, *more):
    """The loss of each epoch."""
    several = case["loss"] == "several labels"
    command = [program, "train", folder / "base.h5", folder / ("several.csv" if several else "images"), "-o", out, "--base-layer", case["end"],
               "--preprocess", "tf", "--val", 0, "--seed", fixtures.SEED, "--dropout", 0, "--keep-last", "--patience", 0,
               "--no-duplicates", "--no-report", "--no-cache", "--json", "-q", "--epochs", 0, "--batch", case["batch"], "--loss",
               "sigmoid" if several else case["loss"], *(["--hidden", case["hidden"]] if case["hidden"] else []), *more]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    return [row["loss"] for row in map(json.loads, done.stdout.splitlines()) if "loss" in row]


def train(program, folder, case):
    options = ["--unfreeze", case["unfreeze"], "--fine-epochs", case["epochs"], "--fine-rate", case["rate"], "--optimizer",
               case["optimizer"], "--schedule", case["schedule"], "--warmup", case["warmup"], "--ema", case["ema"], "--clip", case["clip"],
               "--label-smoothing", case["smoothing"], "--micro-batch", case["micro"]]
    for name, flag in (("norms", "--train-norms"), ("class_weights", "--class-weights")):
        options += [flag] if case[name] else []
    for name, option in (("decay", "--weight-decay"), ("memory", "--memory")):
        options += [option, case[name]] if case[name] is not None else []
    return netgaze(program, folder, folder / "end.h5", case, *options)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, case, steps):
        left = steps - case["warmup"]
        self.case, self.then = case, lambda step: case["rate"]
        if case["schedule"] == "cosine":
            self.then = keras.optimizers.schedules.CosineDecay(case["rate"], left)
        if case["schedule"] == "step":
            self.then = keras.optimizers.schedules.ExponentialDecay(case["rate"], (left + 2) // 3, 0.1, staircase=True)

    def __call__(self, step):
        step, warmup = tf.cast(step, tf.float32), float(self.case["warmup"])
        return tf.where(step < warmup, self.case["rate"] * step / max(warmup, 1), self.then(step - warmup))


def make_optimizer(case, steps):
    more = {"use_ema": True, "ema_momentum": case["ema"]} if case["ema"] else {}
    more.update({"global_clipnorm": case["clip"]} if case["clip"] else {})
    more.update({"weight_decay": case["decay"]} if case["decay"] is not None else {})
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[case["optimizer"]]
    return kind(WarmUp(case, steps), **({"momentum": 0.9} if case["optimizer"] == "sgd" else {}), **more)


def loss_of(case):
    smooth = {"label_smoothing": case["smoothing"]}
    if case["loss"] == "ordinal":
        return lambda y, p, sample_weight: tf.reduce_mean(tf.reduce_sum((tf.cumsum(p, -1) - tf.cumsum(y, -1)) ** 2, -1))
    return {"softmax": keras.losses.CategoricalCrossentropy, "focal": keras.losses.CategoricalFocalCrossentropy}.get(
        case["loss"], keras.losses.BinaryCrossentropy)(**smooth)


def trained_by(model, case):
    """The unfrozen layer's weights and those of all behind it."""
    behind, found = {case["unfreeze"]}, []
    for layer in model.layers:
        if {t._keras_history.operation.name for node in layer._inbound_nodes for t in node.input_tensors} & behind:
            behind.add(layer.name)
        if layer.name in behind and (case["norms"] or not isinstance(layer, keras.layers.BatchNormalization)):
            found += layer.trainable_variables
    return found


def run_keras(start, case, x, y, weights):
    model = keras.models.load_model(start, compile=False)
    variables, n, batch = trained_by(model, case), len(x), case["batch"]
    optimizer, loss, losses = make_optimizer(case, case["epochs"] * -(-n // batch)), loss_of(case), []
    for epoch in range(case["epochs"]):
        order, total = fixtures.order(n, epoch), 0.0
        for at in range(0, n, batch):
            items = order[at:at + batch]
            with tf.GradientTape() as tape:
                value = loss(y[items], model(x[items], training=False), sample_weight=None if weights is None else weights[items])
            optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
            total += float(value) * len(items)
        losses.append(total / n)
    if case["ema"]:
        optimizer.finalize_variable_values(variables)
    return model, losses


def compare(program, folder, case, images):
    x, classes, several, labels = images
    y, weights = np.eye(3, dtype=np.float32)[classes], None
    if case["loss"] == "several labels":
        x, y = x[several], labels
    if case["class_weights"]:
        weights = (len(x) / (3 * np.bincount(classes)))[classes].astype(np.float32)
    netgaze(program, folder, folder / "start.h5", case)
    found = train(program, folder, case)
    model, losses = run_keras(folder / "start.h5", case, x, y, weights)
    end = keras.models.load_model(folder / "end.h5", compile=False)
    apart = max(np.abs(a - b).max() / max(np.abs(a).max(), 1e-12) for a, b in zip(model.get_weights(), end.get_weights()))
    return max(abs(a / b - 1) for a, b in zip(found, losses, strict=True)), apart


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, parts, good = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:] or [""], True
    print("| case | losses | weights |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_base(folder / "base.h5")
        images = make_images(folder)
        for name, case in cases():
            if any(part in name for part in parts):
                loss, weight = compare(program, folder, {**DEFAULTS, **case}, images)
                good = good and loss <= LOSS and weight <= WEIGHT
                print("| %s | %.1e | %.1e |" % (name, loss, weight), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
