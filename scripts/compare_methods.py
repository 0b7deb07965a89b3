#!/usr/bin/env python3
"""Holds every attribution method against the library that made it known, or its formula in float64, on the same weights and
inputs.

    python scripts/compare_methods.py --netgaze build/release/netgaze [--model MODEL_JSON_FOLDER --layers mixed7,mixed10 --photo FILE]
                                      [--keras-python PYTHON] [--methods a,b] [--results FILE [--missing]]
                                      [--write docs/methods-compared.md]

Needs PyTorch, torchvision, grad-cam, captum, zennit, saliency, scikit-learn, scikit-image (Debian's python3-torch and
`pip install --no-deps` of the others will do) and, for its row, torchray; --keras-python names a Python with TensorFlow, tf_keras, tf-keras-vis and
xplique. Two small networks with random weights are written as TensorFlow.js models and run by PyTorch from the same files;
--model adds a real one. Maps are compared before any display: the signed map, where the method has one; the largest difference relative to
the reference's largest value. Pixel methods on the real network are compared with the peer in float64, plainly and with the
choices of relus and maxima that netgaze's float32 run made (compare_choices.py). Fails when a row is over 1e-3, of the two
comparisons with float64 the second.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch

import compare_choices as C
import compare_rows as R
from compare_nets import Net, deep_net, pooled_net, random_weights, write_model

ALLOWED = 1e-3
ONE_GRADIENT = ("saliency", "inputxgradient", "guidedbackprop", "deconvnet", "guidedgradcam", "lrp", "deeplift")
SAME, EXACT, EXACT_SAME, REF, FLOAT32 = "same choices", "exact", "exact, same choices", "ref", "peer's float32"
NETS = ("pooled", "deep", "inception", SAME, EXACT, EXACT_SAME, REF, FLOAT32)  # columns; what follows inception is of it too
EVERY_CHANNEL = ("scorecam", "ablationcam")  # a run for each: on the real network at the layer with fewest, the first


def rows(args):
    return R.cams() + R.pixel_methods() + (R.keras_rows(args.keras_python) if args.keras_python else [])


# ---- Comparing ---------------------------------------------------------------------------------

def netgaze_map(program, model, array, row, name, c, work, backend="auto"):
    words = [program, "explain", str(model), str(array), "-o", str(work / "maps"), "--method", row.method, "--class", str(c), "--target",
             row.target, "--outputs", "raw,sidecar", "--json", "-q", "--force", "--preprocess", "unit", "--backend", backend]
    words += [o.format(work=work) for o in row.options]
    if row.at_layer:
        words += ["--layer", name]
    if row.parameters:
        words += ["--param", row.parameters]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    line = json.loads(done.stdout)
    found = np.array(json.loads(pathlib.Path(line["files"]["sidecar"]).read_text())["signed"]).reshape(line["shape"])
    return row.after(found) if callable(row.after) else found


def difference(found, expected, either_sign):
    if found.shape != expected.shape:
        return float("inf")
    size = np.abs(expected).max()
    if max(size, np.abs(found).max()) < 1e-9:
        return 0.0  # nothing on either side
    errors = [np.abs(found - s * expected).max() / size for s in ((1, -1) if either_sign else (1,))]
    return float(min(errors))


KNOWN_DIFFERENCES = [
    "Where libraries disagree, the row's parameters name the variant. What is known beyond that:", "",
    "- zennit's canonizer leaves a merged batch norm's epsilon in place, so that the norm still divides by sqrt(1 + epsilon):",
    "  5e-4 of the relevance at Keras's epsilon of 1e-3. The script takes that out; all that is left is rounding.",
    "- captum's DeepLIFT behind maximum pooling misses the score's rise; netgaze's adds up (a test). captum is the peer where there",
    "  is no maximum pooling, the rule in float64 elsewhere.",
    "- tf-keras-vis's Score-CAM weighs channels by the class's probability, without the paper's softmax over channels: variant tkv.",
    "- xplique divides RISE's sums by the masks' sum at every pixel, and VarGrad's by n - 1: both are taken back here. Its Grad-CAM++",
    "  takes means where the paper has sums of activations and of weights, its Kernel SHAP fits random coalitions without holding",
    "  the values to their sum: neither was compared.",
    "- TorchRay smooths the mask of an extremal perturbation by a soft maximum and perturbs by a pyramid of blurs: variant torchray.",
    "  netgaze's other masks are a bilinear grid over one blur; their optimisation is held against PyTorch's autograd and optimisers.",
    "  The sorted mask has ties at first, whose order is rounding's: in the first dozen of iterations the two are 1e-3 apart.",
    "- LIME and Kernel SHAP are compared on netgaze's own superpixels; XRAI's are those of its authors on both sides, each side's own.",
    "- Non-negative factorisations depend on their beginning: scikit-learn is given netgaze's.",
    "- CAM itself does not apply to inception, whose head has a hidden layer.", "",
    "Rows over 1e-3 with the same choices too, and why:", "",
    "- Guided integrated gradients, 20 steps: the features with the smallest gradients move first, and of nearly equal ones rounding",
    "  says which; from there on the ways part. The peer's own float32 map is as far off, on inception and, 1.7e-2 with another",
    "  baseline, on deep. At a black baseline gradients of neighbours are equal but for rounding from the first step on. Two steps",
    "  from a baseline that is not flat still agree with the exact kernels: the row below it.",
    "- Meaningful perturbation, 12 iterations: Adam divides every gradient by its own size, so that the rounding of the smallest",
    "  counts like the largest. After one iteration there is little of it yet: the row below it.",
    "", "An empty cell: not compared there.",
]


class Table:
    """Results by row and net. With a file, those of earlier runs are kept, so that a long table can be made in pieces."""

    def __init__(self, file):
        self.cells, self.complete, self.failed, self.file = {}, set(), 0, pathlib.Path(file) if file else None
        if self.file and self.file.exists():
            kept = json.loads(self.file.read_text())
            self.cells = {tuple(k): {n: tuple(v) for n, v in c.items()} for k, c in kept["cells"]}
            self.complete = {(tuple(k), net) for k, net in kept["complete"]}
        self.begun = set()

    @staticmethod
    def key(row):
        parameters = " ".join([row.parameters, *(o for o in row.options if "/" not in o)]).strip()
        return (row.method, parameters, row.target, row.peer, row.note)

    def finish(self, row, net):
        """All layers and inputs of it are done."""
        self.complete.add((self.key(row), net))
        if self.file:
            self.file.write_text(json.dumps({"cells": list(self.cells.items()), "complete": list(self.complete)}))

    def is_complete(self, row, net):
        broken = any(v[0] == float("inf") for v in self.cells.get(self.key(row), {}).values())
        return not broken and (self.key(row), net) in self.complete

    def add(self, row, column, found, say="", judged=True):
        key = self.key(row)
        cell = self.cells.setdefault(key, {})
        if (key, column) not in self.begun:
            self.begun.add((key, column))
            cell.pop(column, None)
        worst, count = cell.get(column, (0.0, 0))
        cell[column] = (max(worst, found), count + 1)
        good = found <= ALLOWED or not judged
        self.failed += not good
        print("%-20s %-40s %-20s %9.2e  %s %s" % (row.method, row.parameters, column, found, "ok" if good else "OUT", say), flush=True)

    def in_order(self, rows):
        """Cells in the order of the rows, whatever order they were measured in."""
        keys = dict.fromkeys(map(self.key, rows))
        return [(k, self.cells[k]) for k in keys if k in self.cells]

    def write(self, path, keras_versions, rows):
        packages = ("grad-cam", "captum", "zennit", "saliency", "torchray", "scikit-learn", "scikit-image")
        installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages if p in installed)
        lines = ["# Methods compared with their peers", "",
                 "Made by `scripts/compare_methods.py`. The same weights and inputs on both sides; the signed map before any display,",
                 "largest difference relative to the reference's largest value. pooled and deep are small networks with random weights,",
                 "inception the fine-tuned InceptionV3 that the demo fetches.", "",
                 "On inception, methods of pixels are compared with the peer run in float64. Where a relu's input, or the difference of two",
                 "values of a maximum, is zero but for rounding, float32 and float64 choose differently, and single pixels of the gradient",
                 "move, in every float32 program: the last column is how far the peer's own float32 map is from its float64 one. *Same",
                 "choices* is netgaze beside float64 whose relus and maxima choose as netgaze's float32 run of the same input did (of DeepLIFT:",
                 "whose slopes are that run's): what is left is netgaze's rounding. A row over 1e-3 that is not over it there differs in such",
                 "choices and in nothing else. inception is netgaze's default back end, exact is `--exact` (direct kernels), ref the plain",
                 "loops. Score-CAM and Ablation-CAM, a run a channel, were compared at mixed7 only, the other CAMs at mixed7 and mixed10.", "",
                 f"{versions}, PyTorch {torch.__version__.split('+')[0]}{keras_versions}.", "",
                 *KNOWN_DIFFERENCES, "",
                 "| method | parameters | target | peer | maps | pooled | deep | " + " | ".join(NETS[2:]) + " | |",
                 "| --- " * (6 + len(NETS)) + "|"]
        for (method, parameters, target, peer, note), cell in self.in_order(rows):
            texts = ["%.1e" % cell[n][0] if n in cell else "" for n in NETS]
            count = sum(cell[n][1] for n in NETS[:3] if n in cell)
            lines.append("| %s | %s | %s | %s | %d | %s | %s |" % (method, parameters, target, peer, count, " | ".join(texts), note))
        path.write_text("\n".join(lines) + "\n")


def keep_golden(goldens, folder, label, array, row, name, c, expected):
    """The peer's map, for tests/app/test_goldens.py."""
    home = goldens / label
    if not home.exists():
        shutil.copytree(folder, home)
    shutil.copy(array, home / "x.npy")
    index = home / "goldens.json"
    entries = json.loads(index.read_text()) if index.exists() else []
    file = "%02d.%s.npy" % (len(entries), row.method)
    np.save(home / file, expected.astype(np.float32))
    entries.append({"method": row.method, "parameters": row.parameters, "target": row.target, "layer": name if row.at_layer else None,
                    "class": c, "peer": row.peer, "either_sign": "sign" in row.note, "map": file})
    index.write_text(json.dumps(entries, indent=1) + "\n")


def wanted(args, row, label):
    return not (row.nets and label not in row.nets) and not (args.methods and row.method not in args.methods.split(",")) \
        and args.peers in row.peer


def compare_deep(args, table, row, name, x, c, work, net, say):
    """With float64 on the real network: by the default back end, the exact kernels and, where it is one gradient, plain loops."""
    single = row.run(net, name, x, c, work)
    net.double()
    expected = row.run(net, name, x.double(), c, work)
    table.add(row, FLOAT32, difference(single, expected, False), say, judged=False)
    library = args.library or pathlib.Path(args.netgaze).with_name("libnetgaze.so")
    columns = [("auto", "inception", SAME), ("onednn", EXACT, EXACT_SAME)] + [("ref", REF, None)] * (row.method in ONE_GRADIENT)
    for backend, column, same_column in columns:
        found = netgaze_map(args.netgaze, net.folder, work / "x.npy", row, name, c, work, backend)
        choose = same_column and row.deep != R.NOTHING
        table.add(row, column, difference(found, expected, False), say, judged=row.deep == R.NOTHING)
        if choose and row.deep == R.SLOPES:
            with C.seen(net, library, backend, True) as now:
                same = row.run(net, name, x.double(), c, work, seen=now)
        elif choose:
            with C.chosen(net, library, backend, unfused=row.deep == R.UNFUSED):
                same = row.run(net, name, x.double(), c, work)
        if choose:
            table.add(row, same_column, difference(found, same, False), say, judged=not row.unstable)


def compare_row(args, table, label, net, row, name, x, c, work):
    """One row at one layer."""
    say = name if row.at_layer else ""
    if label == "inception" and row.deep:
        return compare_deep(args, table, row, name, x, c, work, net, say)
    found = netgaze_map(args.netgaze, net.folder, work / "x.npy", row, name, c, work)
    if row.deep:
        net.double()
        x = x.double()
    needs_map = row.run.__code__.co_varnames[row.run.__code__.co_argcount - 1] == "found"
    expected = row.run(net, name, x, c, work, *((found,) if needs_map else ()))
    if row.after == "unit":
        found = np.maximum(found, 0)
        found, expected = found / max(found.max(), 1e-300), expected / max(expected.max(), 1e-300)
    elif args.goldens and label != "inception" and not row.options and row.after is None:
        keep_golden(pathlib.Path(args.goldens), net.folder, label, work / "x.npy", row, name, c, expected)
    table.add(row, label, difference(found, expected, "sign" in row.note), say)


def read_input(args, label, size, rng):
    h, w, depth = size
    if args.photo and label == "inception":
        from PIL import Image
        return np.asarray(Image.open(args.photo).convert("RGB").resize((w, h), Image.BILINEAR), np.float32) / 255
    return rng.uniform(0, 1, (h, w, depth)).astype(np.float32)


def inputs_of(args, label, net, n_inputs, work):
    """Yields each as a tensor with the class that is explained; the files that netgaze reads are there meanwhile."""
    rng = np.random.default_rng(5)
    for i in range(n_inputs):
        values = read_input(args, label, net.size, rng)
        np.save(work / "x.npy", values)
        np.save(work / "baseline.npy", 0.5 * values[:, ::-1])
        x = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            order = net(x)[0].argsort()
        yield i, x, int(order[-1 - i % 2])


def compare(args, table, label, folder, layers, n_inputs, work):
    net = Net(folder)
    for row in rows(args):
        if not wanted(args, row, label) or args.missing and table.is_complete(row, label):
            continue
        every = label == "inception" and row.method in EVERY_CHANNEL and "channels=" not in row.parameters
        for i, x, c in inputs_of(args, label, net, n_inputs, work):
            if row.method == "finercam" and i % 2:
                continue  # pytorch-grad-cam takes the predicted class
            for name in row.layers or (layers if row.at_layer and not every else layers[:1]):
                try:
                    compare_row(args, table, label, net, row, name, x, c, work)
                except Exception as error:  # noqa: BLE001: one broken row must not hide the others
                    table.add(row, label, float("inf"), f"{name}: {error!r}"[:300])
                net.float()
        table.finish(row, label)


def versions_of_keras(python):
    if not python:
        return ""
    names = ("tf-keras-vis", "xplique", "tf_keras", "tensorflow")
    code = "import importlib.metadata as m; print(', '.join(f'{p} {m.version(p)}' for p in %r))" % (names,)
    return ", " + subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netgaze", default="build/release/netgaze")
    parser.add_argument("--model", help="folder of a TensorFlow.js model: a real one")
    parser.add_argument("--layers", default="mixed10")
    parser.add_argument("--photo")
    parser.add_argument("--keras-python", help="with TensorFlow, tf_keras, tf-keras-vis and xplique")
    parser.add_argument("--methods", default="")
    parser.add_argument("--peers", default="", help="only rows whose peer's name has this in it")
    parser.add_argument("--nets", default="pooled,deep,inception", help="only these")
    parser.add_argument("--results", help="a file in which results of several runs are gathered")
    parser.add_argument("--missing", action="store_true", help="only what --results does not have")
    parser.add_argument("--library", help="libnetgaze.so; else the one beside the program")
    parser.add_argument("--write")
    parser.add_argument("--goldens", help="folder for the small networks and the peers' maps of them")
    args = parser.parse_args()
    table = Table(args.results)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(open(os.devnull, "w")):
        work = pathlib.Path(folder)
        for label, layers, taps, seed in (("pooled", pooled_net(), ["r3", "r2"], 1), ("deep", deep_net(), ["c3", "ra"], 2)):
            write_model(work / label, layers, random_weights(layers, seed))
            if label in args.nets.split(","):
                compare(args, table, label, work / label, taps, 2, work)
        if args.model and "inception" in args.nets.split(","):
            compare(args, table, "inception", pathlib.Path(args.model), args.layers.split(","), 1, work)
    if args.write:
        table.write(pathlib.Path(args.write), versions_of_keras(args.keras_python), rows(args))
    print("%d rows, %d out" % (len(table.cells), table.failed))
    sys.exit(table.failed != 0)


if __name__ == "__main__":
    main()
