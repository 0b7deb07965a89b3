#!/usr/bin/env python3
"""What the loss on attention and other backgrounds do to accuracy and to the energy on the object, over seeds.

    python scripts/compare_attention.py [--seeds 1,2,3,4,5] [--base-layer mixed7] NETGAZE BASE DATA [-- OPTION...]

DATA is a folder that scripts/stamps.sh made; with {seed} in its name one for each seed: other scenes, and other objects and
backgrounds held out. For each seed a head is trained on --base-layer's features in the same way four times: with nothing looked
after in the second stage (a loss of weight 1e-6, so that there is one), with --attention-loss, with --background-swap, with
both; and judged on the test images by `netgaze evaluate`'s figures. Options behind -- go to `netgaze train`.

Prints a Markdown table with the 95 % intervals of each run, then the mean over seeds and the mean difference from the first of
the four on the same seed, with its 95 % interval (paired, Student's t). Needs scipy.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from scipy import stats

RECIPE = ["--epochs", 25, "--rate", 0.01, "--fine-epochs", 6, "--fine-rate", 0.003, "--keep-last"]
PLAIN = "neither"
FIGURES = ("accuracy", "energy_in_mask")


def variants(options):
    attention = ["--attention-loss", options.attention]
    swap = ["--background-swap", options.swap]
    return {PLAIN: ["--attention-loss", 1e-6], "`--attention-loss %g`" % options.attention: attention, "`--background-swap %g`" % options.swap: swap,
            "both": attention + swap}


def train(options, work, seed, name, more):
    """The test images' figures, each {value, low, high}."""
    data = str(options.data).format(seed=seed)
    command = [options.netgaze, "train", options.base, pathlib.Path(data) / "list.csv", "-o", work / (name + ".keras"),
               "--base-layer", options.base_layer, *RECIPE, *more, "--seed", seed, "--features", work / "features",
               "--no-duplicates", "-q", *options.more]
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    report = json.loads((work / (name + "-report") / "report.json").read_text())
    return [report[figure] for figure in FIGURES]


def words(figure):
    return "%.3f (%.3f to %.3f)" % (figure["value"], figure["low"], figure["high"])


def mean_difference(values):
    """In words, with the interval of Student's t over seeds."""
    mean = np.mean(values)
    if len(values) < 2:
        return "%+.3f" % mean
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return "%+.3f (%+.3f to %+.3f)" % (mean, low, high)


def show_means(found):
    print("\n| over %d seeds | accuracy | difference | energy on the object | difference |\n| --- | --- | --- | --- | --- |"
          % len(found[PLAIN]))
    plain = np.array(found[PLAIN])
    for name, values in found.items():
        values = np.array(values)
        apart = ["", ""] if name == PLAIN else [mean_difference(values[:, i] - plain[:, i]) for i in range(2)]
        print("| %s | %.3f | %s | %.3f | %s |" % (name, values[:, 0].mean(), apart[0], values[:, 1].mean(), apart[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netgaze")
    parser.add_argument("base")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("more", nargs="*")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--base-layer", default="mixed7")
    parser.add_argument("--attention", type=float, default=1)
    parser.add_argument("--swap", type=float, default=0.5)
    options = parser.parse_args()
    found = {name: [] for name in variants(options)}
    print("| seed | | test accuracy | energy on the object |\n| --- | --- | --- | --- |", flush=True)
    for seed in options.seeds.split(","):
        with tempfile.TemporaryDirectory() as work:
            for i, (name, more) in enumerate(variants(options).items()):
                figures = train(options, pathlib.Path(work), seed, str(i), more)
                found[name].append([f["value"] for f in figures])
                print("| %s | %s | %s | %s |" % (seed, name, *map(words, figures)), flush=True)
    show_means(found)


if __name__ == "__main__":
    main()
