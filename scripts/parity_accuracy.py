#!/usr/bin/env python3
"""The accuracy that a recipe reaches with netgaze and with Keras, over seeds.

    python scripts/parity_accuracy.py NETGAZE BASE DATA [--seeds 5]

DATA is a folder that scripts/stamps.sh made, with splits. The recipe: BASE cut at --end, global average pooling, dropout 0.2,
Dense; Adam at 1e-3, batches of 32, 60 epochs on what the base says; then, for the second table, everything behind --layer
with the head at 1e-4 for 6 epochs, batch norms kept as they are. No augmentation; the last epoch's weights. First weights,
orders and dropout are each program's own: what is compared is how good the model becomes, not its numbers
(parity_train.py compares those). Keras starts from the cut network that netgaze saves, and does the frozen part once.

Prints both tables in Markdown, and for test accuracy and loss the difference of the means with its 95 % interval (Welch's t).
Needs scripts/parity-requirements.txt and scipy.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from parity_train import descendants

BATCH, DROPOUT, RATE, FINE_RATE = 32, 0.2, 1e-3, 1e-4
SPLITS = ("val", "test")


def run_netgaze(options, out, *more):
    """Losses and accuracies of val and test: the last line of a run."""
    command = [options.netgaze, "train", options.base, options.data / "list.csv", "-o", out, "--base-layer", options.end,
               "--batch", BATCH, "--dropout", DROPOUT, "--rate", RATE, "--keep-last", "--patience", 0, "--no-duplicates",
               "--no-report", "--json", "-q", "--features", options.work / "features", *more]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    last = json.loads(done.stdout.splitlines()[-1])
    return [last[split + "_" + what] for split in SPLITS for what in ("loss", "accuracy")]


# ---- Keras ---------------------------------------------------------------------------------------------------------------


def read(options, below, rows):
    """What `below` says of all images."""
    from PIL import Image
    size, out = below.input_shape[2:0:-1], []
    for i in range(0, len(rows), 8):
        x = np.array([np.asarray(Image.open(options.data / row["path"]).convert("RGB").resize(
            size, Image.Resampling.BILINEAR), np.float32) for row in rows[i:i + 8]])
        out.append(np.asarray(below(x / 255 if options.preprocess == "unit" else x / 127.5 - 1, training=False)))
    return np.concatenate(out)


def judge(model, x, y, part):
    return [float(v) for split in SPLITS for v in model.evaluate(x[part[split]], y[part[split]], batch_size=BATCH, verbose=0)]


def run_keras(options, start):
    """For each seed the figures after the head, and after the second stage."""
    import keras
    base = keras.models.load_model(start, compile=False)
    rows = list(csv.DictReader(open(options.data / "list.csv", newline="")))
    classes = sorted({row["label"] for row in rows})
    y = np.eye(len(classes), dtype=np.float32)[[classes.index(row["label"]) for row in rows]]
    part = {s: np.array([i for i, row in enumerate(rows) if row["split"] == s]) for s in ("train", *SPLITS)}
    cut = base.get_layer(options.layer).output
    maps = read(options, keras.Model(base.input, cut), rows)
    tail = keras.Model(cut, base.get_layer("head_pool").output)
    behind = descendants(base, options.layer)
    for layer in tail.layers:
        layer.trainable = layer.name in behind and not isinstance(layer, keras.layers.BatchNormalization)
    first, pooled = tail.get_weights(), tail.predict(maps, batch_size=BATCH, verbose=0)
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        tail.set_weights(first)
        head = keras.Sequential([keras.Input(pooled.shape[1:]), keras.layers.Dropout(DROPOUT),
                                 keras.layers.Dense(len(classes), activation="softmax")])
        head.compile(keras.optimizers.Adam(RATE), "categorical_crossentropy", metrics=["accuracy"])
        head.fit(pooled[part["train"]], y[part["train"]], batch_size=BATCH, epochs=options.epochs, verbose=0)
        one = judge(head, pooled, y, part)
        whole = keras.Model(tail.input, head(tail.output))
        whole.compile(keras.optimizers.Adam(FINE_RATE), "categorical_crossentropy", metrics=["accuracy"])
        whole.fit(maps[part["train"]], y[part["train"]], batch_size=BATCH, epochs=options.fine_epochs, verbose=0)
        yield one, judge(whole, maps, y, part)


# ---- Tables --------------------------------------------------------------------------------------------------------------


def difference(ours, theirs):
    """Of the means, with its 95 % interval."""
    from scipy import stats
    found = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return np.mean(ours) - np.mean(theirs), found.low, found.high


def show(title, ours, theirs):
    print("\n%s\n\n| seed | netgaze: val loss, accuracy | test loss, accuracy | Keras: val loss, accuracy | test loss, accuracy |" % title)
    print("| --- | --- | --- | --- | --- |")
    for seed, (a, b) in enumerate(zip(ours, theirs)):
        print("| %d | %.4f, %.4f | %.4f, %.4f | %.4f, %.4f | %.4f, %.4f |" % (seed, *a, *b))
    ours, theirs = np.array(ours), np.array(theirs)
    for column, name in ((3, "test accuracy"), (2, "test loss")):
        print("\n%s: netgaze %.3f +- %.3f, Keras %.3f +- %.3f; difference %+.3f (%+.3f to %+.3f)" % (
            name.capitalize(), ours[:, column].mean(), ours[:, column].std(ddof=1), theirs[:, column].mean(),
            theirs[:, column].std(ddof=1), *difference(ours[:, column], theirs[:, column])))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netgaze")
    parser.add_argument("base")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--end", default="mixed7", help="the base is cut here")
    parser.add_argument("--layer", default="mixed6", help="what lies behind it is trained in the second stage")
    parser.add_argument("--preprocess", default="unit", choices=["unit", "tf"], help="the base's own")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--fine-epochs", type=int, default=6)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.TemporaryDirectory() as work:
        options.work = pathlib.Path(work)
        run_netgaze(options, options.work / "start.h5", "--epochs", 0)
        ours = []
        for seed in range(options.seeds):
            head = ["--seed", seed, "--epochs", options.epochs]
            one = run_netgaze(options, options.work / "one.h5", *head)
            two = run_netgaze(options, options.work / "two.h5", *head, "--unfreeze", options.layer, "--fine-epochs",
                              options.fine_epochs, "--fine-rate", FINE_RATE)
            ours.append((one, two))
            print("# netgaze, seed %d: %s" % (seed, ours[-1]), file=sys.stderr, flush=True)
        theirs = []
        for found in run_keras(options, options.work / "start.h5"):
            theirs.append(found)
            print("# Keras, seed %d: %s" % (len(theirs) - 1, found), file=sys.stderr, flush=True)
    for stage, title in enumerate(("The head alone", "The layers behind %s with it" % options.layer)):
        show(title, [o[stage] for o in ours], [t[stage] for t in theirs])


if __name__ == "__main__":
    main()
