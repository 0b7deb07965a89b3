"""A head for the stamp scenes: global average pooling and Dense on a layer of a TF.js InceptionV3, so that CAM applies.

    python bench/stamps_head.py MODEL_FOLDER DATA/list.csv OUT_FOLDER [LAYER]

The base is as it is; the head is a multinomial logistic regression on standardised pooled features of the training images,
its weight decay that of the best accuracy on the validation images. Nothing is random. Writes OUT_FOLDER/model.keras and
netgaze.json, and prints the accuracies. Needs what bench/requirements.txt lists.
"""
import csv
import json
import os
import sys

import export  # sets up TensorFlow
import numpy as np


def read_features(model, folder, rows):
    import tf_keras
    from PIL import Image

    size = model.input_shape[1]
    run = tf_keras.backend.function([model.input], [model.output])
    out = []
    for i in range(0, len(rows), 16):
        images = [Image.open(os.path.join(folder, r["path"])).convert("RGB") for r in rows[i:i + 16]]
        if any(im.size != (size, size) for im in images):
            images = [im.resize((size, size), Image.Resampling.BILINEAR) for im in images]
        x = np.stack([np.asarray(im, np.float32) / 255 for im in images])
        out.append(run([x])[0])
    return np.concatenate(out)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def fit(x, t, decay, steps=600, rate=0.01):
    """Adam on the whole training set; x standardised, t one-hot."""
    w = [np.zeros((x.shape[1], t.shape[1])), np.zeros(t.shape[1])]
    m, v = [0 * a for a in w], [0 * a for a in w]
    for step in range(1, steps + 1):
        g = (softmax(x @ w[0] + w[1]) - t) / len(x)
        for i, grad in enumerate((x.T @ g + decay * w[0], g.sum(0))):
            m[i] = 0.9 * m[i] + 0.1 * grad
            v[i] = 0.999 * v[i] + 0.001 * grad * grad
            w[i] = w[i] - rate * m[i] / (1 - 0.9 ** step) / (np.sqrt(v[i] / (1 - 0.999 ** step)) + 1e-8)
    return w


def train(features, y, split):
    x, t = features[split == "train"], np.eye(y.max() + 1)[y[split == "train"]]
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    best = (-1, None, None)
    for decay in (0.01, 0.03, 0.1, 0.3):
        kernel, bias = fit((x - mean) / deviation, t, decay)
        kernel = kernel / deviation[:, None]
        bias = bias - mean @ kernel
        right = (features @ kernel + bias).argmax(1) == y
        if right[split == "val"].mean() > best[0]:
            best = (right[split == "val"].mean(), (kernel, bias), {s: right[split == s].mean() for s in ("train", "val", "test")})
            print(f"decay {decay}: " + ", ".join(f"{k} {v:.3f}" for k, v in best[2].items()))
    return best[1]


def main(folder, listing, out, layer="mixed7"):
    import tf_keras

    with open(listing, newline="") as f:
        rows = list(csv.DictReader(f))
    classes = sorted({r["label"] for r in rows})
    y = np.array([classes.index(r["label"]) for r in rows])
    base = export.keras_model(folder)
    pooled = tf_keras.layers.GlobalAveragePooling2D(name="pool")(base.get_layer(layer).output)
    features = read_features(tf_keras.Model(base.input, pooled), os.path.dirname(listing), rows)
    kernel, bias = train(features, y, np.array([r["split"] for r in rows]))
    head = tf_keras.layers.Dense(len(classes), activation="softmax", name="scores")
    model = tf_keras.Model(base.input, head(pooled))
    head.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    os.makedirs(out, exist_ok=True)
    model.save(os.path.join(out, "model.keras"))
    with open(os.path.join(out, "netgaze.json"), "w") as f:
        json.dump({"labels": classes, "preprocess": "unit"}, f)


if __name__ == "__main__":
    main(*sys.argv[1:])
