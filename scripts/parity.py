#!/usr/bin/env python3
"""Holds netgaze against Keras itself, on the same inputs, on every back end.

    python scripts/parity.py --netgaze build/release/netgaze
    python scripts/parity.py --netgaze build/release/netgaze --models vgg16,nsfwjs --nsfwjs nsfwjs-4.3.0.tgz
    python scripts/parity.py --netgaze build/release/netgaze --models article --nsfwjs nsfwjs-4.3.0.tgz --photo dog.jpg

Needs scripts/parity-requirements.txt (scripts/parity.sh makes an environment with it). Checks, and fails when any is out:
  keras.applications  random weights, saved by Keras 3 (.keras, .h5) and tf_keras (.h5): logits to 1e-4 of the largest,
                      Grad-CAM at the automatic layer (which must be the expected one) and a middle layer to 1e-4 of its
                      maximum; references in float64. A gradient jumps at a relu's kink and where two values of a maximum
                      are equal: those that are so near in float64 that float32's rounding may lead to the other side
                      are taken on whichever side explains a map, and the row says how many and how far off it was before
  nsfwjs              a real fine-tuned InceptionV3, TF.js and resaved by Keras: softmax to 1e-5, Grad-CAM to 1e-4
  article             `--compat article` on a photograph against the article's own Keras and OpenCV code: heatmap levels
                      within 1, overlay within 2
References are kept in --work; --fresh makes them again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
APPLICATIONS = ["inception_v3", "mobilenet_v2", "resnet50", "vgg16", "xception", "densenet121", "efficientnet_b0"]
MORE = ["vgg19", "resnet101", "resnet152", "resnet50_v2", "resnet101_v2", "resnet152_v2", "inception_resnet_v2", "mobilenet",
        "mobilenet_v3_small", "mobilenet_v3_large", "densenet169", "densenet201", "nasnet_mobile", "nasnet_large",
        *("efficientnet_b%d" % i for i in range(1, 8)), *("efficientnet_v2_%s" % s for s in "b0 b1 b2 b3 s m l".split()),
        *("convnext_%s" % s for s in "tiny small base large xlarge".split())]
SEED = 20240607


class Table:
    """Rows as they come, and whether all were in."""

    def __init__(self):
        self.failures, self.rows = 0, 0
        self.worst = {}  # (model, back end) -> [logits, maps, comparisons, out]

    def note(self, model, backend, what, found, good):
        worst = self.worst.setdefault((model, backend), [None, None, 0, 0])
        worst[2] += 1
        worst[3] += not good
        column = 0 if what == "logits" else 1 if what.startswith("Grad-CAM") else None
        if column is not None:  # a NaN stays
            worst[column] = max((v for v in (worst[column], found) if v is not None), key=lambda v: (v != v, v))

    def summary(self):
        """Markdown, as docs/compatibility.md has it: the worst of all files and layers for each model and back end."""
        print("\n| model | back end | worst logit difference | worst map difference | comparisons | out |")
        print("| --- | --- | --- | --- | --- | --- |")
        for (model, backend), (logits, maps, count, out) in self.worst.items():
            cells = ["-" if v is None else "%.1e" % v for v in (logits, maps)]
            print("| %s | %s | %s | %s | %d | %d |" % (model, backend, *cells, count, out))
        print()

    def row(self, model, file, backend, what, found, allowed, note=""):
        good = found <= allowed  # NaN is not
        self.rows += 1
        self.failures += not good
        self.note(model, backend, what, found, good)
        print("%-16s %-24s %-7s %-34s %9.2e  %7.0e  %s %s" % (model, file, backend, what, found, allowed,
                                                            "ok " if good else "OUT", note), flush=True)

    def broken(self, model, file, backend, what, why):
        self.rows += 1
        self.failures += 1
        self.note(model, backend, "", float("nan"), False)
        print("%-16s %-24s %-7s %-34s FAILED: %s" % (model, file, backend, what, why), flush=True)


def relative(found, expected):
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max() / max(np.abs(expected).max(), 1e-300))


def netgaze(program, *words):
    """The JSON objects that a command prints."""
    done = subprocess.run([program, *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("exit code %d: %s" % (done.returncode, done.stderr.strip()[-500:]))
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def keras_side(job, args):
    """Runs parity_keras.py unless its results are there already."""
    folder = job["folder"]
    if args.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    done = os.path.join(folder, "facts.json")
    if not os.path.exists(done) or job["kind"] == "article":
        os.makedirs(folder, exist_ok=True)
        ran = subprocess.run([sys.executable, os.path.join(HERE, "parity_keras.py"), json.dumps(job)], capture_output=True,
                             text=True)
        if ran.returncode != 0:
            raise RuntimeError("Keras's side: " + ran.stderr.strip()[-1500:])
    with open(done) as f:
        return json.load(f)


def scores(program, model, given, backend):
    rows = netgaze(program, "classify", model, given, "--top", "0", "--json", "--backend", backend)
    predictions = sorted(rows[0]["predictions"], key=lambda p: p["index"])
    return np.array([[p["logit"] for p in predictions]]), np.array([[p["probability"] for p in predictions]])


def without_kinks(found, expected, changes):
    """The difference of two maps, relative to the maximum, and how many kinks had to be taken on their other side."""
    top = max(np.abs(expected).max(), 1e-300)
    rest, taken = (found.astype(np.float64) - expected) / top, 0
    changes = [c / top for c in changes]
    while changes and not np.abs(rest).max() <= 1e-5:
        lengths = [np.linalg.norm(rest - c) for c in changes]
        best = int(np.argmin(lengths))
        if not lengths[best] < np.linalg.norm(rest):
            break
        rest, taken = rest - changes.pop(best), taken + 1
    return float(np.abs(rest).max()), taken


def explained(program, model, given, out, *words):
    return netgaze(program, "explain", model, given, "--json", "-o", out, *words)


def check_model(table, args, name, file, model, folder, facts, output_tolerance=None, first=True):
    """One model file against Keras's results, on every back end; on the plain loops the first of those that hold the same
    network only."""
    expected, given = np.load(os.path.join(folder, "reference.npz")), os.path.join(folder, "input.npy")
    note = ("" if facts["float64"] else "reference in float32 ") + ("input %d; " % facts["input"] if facts["input"] else "")
    for backend in [b for b in args.backends.split(",") if first or b != "ref"]:
        out = os.path.join(folder, "maps-" + backend)
        shutil.rmtree(out, ignore_errors=True)
        try:
            logits, probabilities = scores(args.netgaze, model, given, backend)
            table.row(name, file, backend, "logits", relative(logits, expected["logits"]), 1e-4, note)
            if output_tolerance:
                off = float(np.abs(probabilities - expected["output"]).max())
                table.row(name, file, backend, "softmax (absolute)", off, output_tolerance, note)
            for i, wanted in enumerate(facts["maps"]):
                words = ["--class", str(wanted["class"]), "--backend", backend] + ([] if i == 0 else ["--layer", wanted["layer"]])
                row = explained(args.netgaze, model, given, out, *words)[0]
                if row["layer"].split("/")[-1] != wanted["layer"]:
                    table.broken(name, file, backend, "automatic layer", "%s, expected %s" % (row["layer"], wanted["layer"]))
                    continue
                found = np.load(row["files"]["raw"])
                off, said = relative(found, expected["map%d" % i][0]), note + "Keras's own float32: %.0e" % wanted["float32"]
                if off > 1e-4 and found.shape == expected["map%d" % i][0].shape:
                    plain = off
                    off, taken = without_kinks(found, expected["map%d" % i][0], expected["kinks%d" % i])
                    said += "; %.1e before %d of %d near kinks" % (plain, taken, len(expected["kinks%d" % i]))
                table.row(name, file, backend, "Grad-CAM " + wanted["layer"], off, 1e-4, said)
        except (RuntimeError, OSError, KeyError, IndexError, ValueError) as failure:
            table.broken(name, file, backend, "running", failure)


def check_applications(table, args, name):
    for producer in args.producers.split(","):
        formats = ["keras", "h5"]
        folder = os.path.join(args.work, producer, name)
        job = {"kind": "applications", "producer": producer, "model": name, "folder": folder, "formats": formats, "seed": SEED,
               "float64": not args.float32, "tries": args.tries, "size": args.size}
        try:
            facts = keras_side(job, args)
        except RuntimeError as failure:
            table.broken(name, producer, "-", "reference", failure)
            continue
        for i, file in enumerate(facts["files"]):
            check_model(table, args, name, "%s %s" % (producer, file), os.path.join(folder, file), folder, facts, first=i == 0)
        if not args.keep:
            for file in facts["files"]:
                os.remove(os.path.join(folder, file))
            os.remove(os.path.join(folder, "facts.json"))


def converted_nsfwjs(args):
    """The TF.js model folder, converted once from the npm package."""
    folder = os.path.join(args.work, "nsfwjs-tfjs")
    if not os.path.exists(os.path.join(folder, "model.json")):
        if not args.nsfwjs:
            raise RuntimeError("give the npm package's file: --nsfwjs nsfwjs-4.3.0.tgz (npm pack nsfwjs@4.3.0)")
        subprocess.run([sys.executable, os.path.join(HERE, "fetch-nsfwjs.py"), args.nsfwjs, folder, "--model", "inception_v3"],
                       check=True, stdout=subprocess.DEVNULL)
    return folder


def check_nsfwjs(table, args):
    given = os.path.splitext(os.path.basename(args.photo))[0] if args.photo else "noise"
    tfjs, folder = converted_nsfwjs(args), os.path.join(args.work, "nsfwjs-" + given)
    job = {"kind": "nsfwjs", "producer": "tf_keras", "folder": folder, "formats": ["keras", "h5"], "seed": SEED, "tfjs": tfjs,
           "photo": args.photo, "float64": not args.float32, "tries": args.tries}
    facts = keras_side(job, args)
    for file, model in [("TF.js", tfjs)] + [("tf_keras " + f, os.path.join(folder, f)) for f in facts["files"]]:
        check_model(table, args, "nsfwjs", file, model, folder, facts, output_tolerance=1e-5, first=model == tfjs)


def check_article(table, args):
    from PIL import Image

    if not args.photo:
        raise RuntimeError("give a photograph: --photo FILE")
    tfjs, folder = converted_nsfwjs(args), os.path.join(args.work, "article")
    facts = keras_side({"kind": "article", "producer": "tf_keras", "folder": folder, "tfjs": tfjs,
                        "photo": os.path.abspath(args.photo)}, args)
    theirs = np.load(os.path.join(folder, "article.npz"))
    for backend in args.backends.split(","):
        out = os.path.join(folder, "pictures-" + backend)
        shutil.rmtree(out, ignore_errors=True)
        row = explained(args.netgaze, tfjs, args.photo, out, "--compat", "article", "--preprocess", "tf", "--layer", "mixed10",
                        "--backend", backend)[0]
        if row["index"] != facts["class"]:
            table.broken("article", "TF.js", backend, "class", "%d, Keras %d" % (row["index"], facts["class"]))
            continue
        table.row("article", "TF.js", backend, "probability (absolute)", abs(row["probability"] - float(theirs["probability"])), 1e-4)
        raw = np.load(row["files"]["raw"]).astype(np.float64)
        levels = np.uint8(255 * ((raw - raw.min()) / (raw.max() - raw.min() + 1e-8)))
        table.row("article", "TF.js", backend, "heatmap levels at the grid", differ(levels, theirs["levels"]), 1)
        picture = np.asarray(Image.open(row["files"]["heatmap"]).convert("RGB"), np.int32)
        table.row("article", "TF.js", backend, "heatmap levels of the picture", differ(levels_of(picture, theirs), theirs["large"]), 1)
        overlay = np.asarray(Image.open(row["files"]["overlay"]).convert("RGB"))
        table.row("article", "TF.js", backend, "overlay", differ(overlay, theirs["overlay"]), 2)


def levels_of(picture, theirs):
    """A jet-coloured picture back to the levels 0..255; infinity where a colour is not of the map."""
    jet = theirs["jet"].astype(np.int32)
    distance = np.abs(picture[:, :, None, :] - jet[None, None]).sum(-1)
    levels = distance.argmin(-1).astype(np.float64)
    levels[distance.min(-1) > 0] = np.inf
    return levels


def differ(a, b):
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) if a.shape == b.shape else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netgaze", default=os.path.join(HERE, "..", "build", "release", "netgaze"), help="the program")
    parser.add_argument("--models", default=",".join(APPLICATIONS), help="comma separated; also nsfwjs, article, more: the "
                        "rest of keras.applications at small sizes")
    parser.add_argument("--backends", default="ref,onednn,auto")
    parser.add_argument("--work", default=os.path.join(HERE, "..", "build", "parity"), help="folder for models and references")
    parser.add_argument("--nsfwjs", help="the npm package's .tgz")
    parser.add_argument("--photo", help="a photograph")
    parser.add_argument("--float32", action="store_true", help="references in float32 (less memory)")
    parser.add_argument("--tries", type=int, default=12, help="inputs among which a steady one is looked for")
    parser.add_argument("--size", type=int, help="input size of keras.applications, instead of those of parity_keras.py")
    parser.add_argument("--producers", default="keras3,tf_keras")
    parser.add_argument("--keep", action="store_true", help="keep model files and reuse references (GBs)")
    parser.add_argument("--fresh", action="store_true", help="make references again")
    args = parser.parse_args()
    args.work, table, start = os.path.abspath(args.work), Table(), time.time()
    names = args.models.split(",") + ([n for n in ("nsfwjs",) if args.nsfwjs and n not in args.models])
    names = [n for name in names for n in (MORE if name == "more" else [name])]
    unknown = [n for n in names if n not in APPLICATIONS + MORE + ["nsfwjs", "article"]]
    if unknown:
        parser.error("unknown models: %s" % ", ".join(unknown))
    print("%-16s %-24s %-7s %-34s %9s  %7s" % ("model", "file", "back end", "compared", "found", "allowed"))
    for name in names:
        try:
            {"nsfwjs": check_nsfwjs, "article": check_article}.get(name, lambda t, a: check_applications(t, a, name))(table, args)
        except (RuntimeError, OSError, KeyError, subprocess.CalledProcessError) as failure:
            table.broken(name, "-", "-", "running", failure)
    table.summary()
    print("%d comparisons, %d out, %.0f s" % (table.rows, table.failures, time.time() - start))
    return 1 if table.failures or not table.rows else 0


if __name__ == "__main__":
    sys.exit(main())
