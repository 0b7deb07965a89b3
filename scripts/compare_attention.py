#!/usr/bin/env python3
"""What the loss on attention does to accuracy and to the energy on the object, over seeds.

    python scripts/compare_attention.py NETGAZE BASE DATA [--seeds 1,2,3] [--weights 0.000001,1] [-- OPTION...]

DATA is a folder that scripts/stamps.sh made. For each seed a head on --base-layer is trained, then once more with each weight of
the loss (1e-6: the same second stage, nothing looked after), and judged on the test images by `netgaze evaluate`'s figures. Options
behind -- go to `netgaze train`. Prints a Markdown table with 95 % intervals, and the differences of each seed.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

RECIPE = ["--base-layer", "mixed7", "--epochs", 25, "--rate", 0.01, "--fine-epochs", 6, "--fine-rate", 0.003, "--keep-last"]


def train(options, work, seed, weight):
    """(accuracy, energy) of the test images, each {value, low, high}."""
    name = "%s-%s" % (seed, weight)
    command = [options.netgaze, "train", options.base, options.data / "list.csv", "-o", work / (name + ".keras"), *RECIPE,
               "--attention-loss", weight, "--seed", seed, "--features", work / "features", "--no-duplicates", "-q", *options.more]
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    report = json.loads((work / (name + "-report") / "report.json").read_text())
    return report["accuracy"], report["energy_in_mask"]


def words(figure):
    return "%.3f (%.3f to %.3f)" % (figure["value"], figure["low"], figure["high"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("netgaze")
    parser.add_argument("base")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("more", nargs="*")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--weights", default="0.000001,1")
    options = parser.parse_args()
    print("| seed | `--attention-loss` | test accuracy | energy on the object |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for seed in options.seeds.split(","):
            found = []
            for weight in options.weights.split(","):
                found.append(train(options, pathlib.Path(work), seed, weight))
                print("| %s | %s | %s | %s |" % (seed, weight, *map(words, found[-1])), flush=True)
            print("# seed %s: accuracy %+.3f, energy %+.3f" % (
                seed, *(found[-1][i]["value"] - found[0][i]["value"] for i in range(2))), flush=True)


if __name__ == "__main__":
    main()
