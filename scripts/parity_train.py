#!/usr/bin/env python3
"""Fine-tuning of a real network, step by step against Keras. Usage: parity_train.py NETGAZE BASE DATA [LAYER [EPOCHS]]

Trains everything behind LAYER (mixed6) and a new head on DATA's training images, in batches of 8, with netgaze and with
Keras from the same start, in the same order, without dropout and augmentation, and compares each epoch's loss and the
trained weights. Needs keras 3, numpy, Pillow.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "fixtures"))
import make_train_fixtures as order_of  # noqa: E402  netgaze's order of an epoch

BATCH, RATE, MOMENTUM, SEED = 8, 1e-3, 0.9, order_of.SEED  # SGD: Adam may make steps of the signs of rounding errors


def netgaze(program, base, data, out, layer, epochs):
    command = [program, "train", base, data, "-o", out, "--base-layer", "mixed10", "--epochs", 0, "--batch", BATCH,
               "--seed", SEED, "--dropout", 0, "--keep-last", "--patience", 0, "--no-duplicates", "--json", "-q", "--val", 0,
               "--folder", out.parent / "run"]
    if epochs:
        command += ["--unfreeze", layer, "--fine-epochs", epochs, "--fine-rate", RATE, "--optimizer", "sgd",
                    "--momentum", MOMENTUM]
    result = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def load(data, size):
    paths, labels = [], []
    classes = sorted(p.name for p in data.iterdir() if p.is_dir())
    for c, name in enumerate(classes):
        for path in sorted((data / name).iterdir()):
            paths.append(path)
            labels.append(c)
    pixels = [np.asarray(Image.open(p).convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32) for p in paths]
    return np.array(pixels), np.eye(len(classes), dtype=np.float32)[labels]


def main():
    program, base, data = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    layer = sys.argv[4] if len(sys.argv) > 4 else "mixed6"
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 2
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        netgaze(program, base, data, folder / "start.keras", layer, 0)
        ours = netgaze(program, base, data, folder / "end.keras", layer, epochs)
        model = keras.models.load_model(folder / "start.keras", compile=False)
        theirs_end = keras.models.load_model(folder / "end.keras", compile=False)
    x, y = load(data, model.input_shape[2:0:-1])
    mode = "unit" if len(sys.argv) <= 6 else sys.argv[6]
    x = x / 255 if mode == "unit" else x / 127.5 - 1
    first = [l.name for l in model.layers].index(layer)
    behind = {layer}
    for l in model.layers[first:]:  # descendants only, as --unfreeze has them
        if any(p in behind for p in parents(l)):
            behind.add(l.name)
    variables = [v for l in model.layers if l.name in behind and not isinstance(l, keras.layers.BatchNormalization)
                 for v in l.trainable_variables]
    optimizer, loss_of = keras.optimizers.SGD(RATE, momentum=MOMENTUM), keras.losses.CategoricalCrossentropy()
    worst = 0
    for epoch in range(epochs):
        order, total = order_of.order(len(x), epoch), 0.0
        for at in range(0, len(x), BATCH):
            items = order[at:at + BATCH]
            with tf.GradientTape() as tape:
                loss = loss_of(y[items], model(x[items], training=False))
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
            total += float(loss) * len(items)
        difference = abs(ours[epoch]["loss"] - total / len(x)) / (total / len(x))
        worst = max(worst, difference)
        print(f"epoch {epoch + 1}: loss {ours[epoch]['loss']:.7f}, Keras {total / len(x):.7f}, relative difference {difference:.1e}")
    apart, where = 0.0, "none"
    for a, b in zip(model.trainable_variables, theirs_end.trainable_variables):
        scale = float(np.abs(a.numpy()).max()) or 1
        difference = float(np.abs(a.numpy() - b.numpy()).max()) / scale
        if difference > apart:
            apart, where = difference, a.path
    print(f"{len(variables)} trained weights; largest difference of any weight {apart:.1e} of its tensor's largest value ({where})")
    return 0 if worst <= 1e-4 and apart <= 1e-3 else 1


def parents(layer):
    names = set()
    for node in layer._inbound_nodes:
        names.update(t._keras_history.operation.name for t in node.input_tensors)
    return names


if __name__ == "__main__":
    sys.exit(main())
