#!/usr/bin/env python3
"""Holds every attribution method against the library that made it known, or its formula in float64, on the same weights and
inputs.

    python scripts/compare_methods.py --netgaze build/release/netgaze [--model MODEL_JSON_FOLDER --layers mixed7,mixed10 --photo FILE]
                                      [--keras-python PYTHON] [--methods a,b] [--write docs/methods-compared.md]

Needs PyTorch, torchvision, grad-cam, captum, zennit, saliency, scikit-learn, scikit-image (Debian's python3-torch and
`pip install --no-deps` of the others will do); --keras-python names a Python with TensorFlow, tf_keras and tf-keras-vis. Two
small networks with random weights are written as TensorFlow.js models and run by PyTorch from the same files; --model adds a
real one. Maps are compared before any display: the signed map, where the method has one; the largest difference relative to
the reference's largest value. Fails when one is over 1e-3; for pixel methods on the real network, where single pixels jump,
over 1e-2 and twice what the peer's own float32 result is off by, and over 1e-3 on the reference back end.
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
import types

import numpy as np
import torch

import compare_formulas as N
import compare_peers as P
from compare_nets import Net, deep_net, pooled_net, random_weights, write_model

ALLOWED, ALLOWED_DEEP = 1e-3, 1e-2
ONE_GRADIENT = ("saliency", "inputxgradient", "guidedbackprop", "deconvnet", "guidedgradcam", "lrp", "deeplift")
NETS = ("pooled", "deep", "inception", "inception, exact", "inception, ref")  # columns
EVERY_CHANNEL = ("scorecam", "ablationcam")  # a run for each: on the real network at the layer with fewest, the first


# ---- What is compared with what ----------------------------------------------------------------

Row = types.SimpleNamespace


def row(method, peer, run, parameters="", target="logit", layer=False, options=(), nets=None, note="", after=None, deep=False, layers=None):
    """layer: at each of the net's layers, else at the input; options: of explain; nets: only these; after: what is done with
    netgaze's map; deep: compared with float64 on the real network; layers: these, as one."""
    return Row(method=method, peer=peer, run=run, parameters=parameters, target=target, at_layer=layer, options=list(options), nets=nets,
               note=note, after=after, deep=deep, layers=layers)


def cams():
    """At a layer."""
    def of(method, class_name, parameters="", target="logit", note=""):
        return row(method, "grad-cam", P.pgc(class_name), parameters, target, layer=True, note=note)
    sign = "up to the sign, which is arbitrary"
    return [
        row("cam", "formula", N.cam, layer=True, nets=["pooled"], layers=["r3"]),
        of("gradcam", "GradCAM"), of("hirescam", "HiResCAM"), of("gradcamelementwise", "GradCAMElementWise"),
        of("gradcam++", "GradCAMPlusPlus", "variant=pgc"),
        row("gradcam++", "paper's formula", N.gradcampp, layer=True), of("xgradcam", "XGradCAM"), of("layercam", "LayerCAM"),
        of("scorecam", "ScoreCAM", "variant=pgc"), of("ablationcam", "AblationCAM"), of("eigencam", "EigenCAM", note=sign),
        of("eigengradcam", "EigenGradCAM", note=sign), of("kpcacam", "KPCA_CAM", note=sign), of("finercam", "FinerCAM", "alpha=0.6"),
        of("fem", "FEM"), of("shapleycam", "ShapleyCAM", target="rest"),
        row("randomcam", "formula, the same numbers", N.randomcam, "seed=7", layer=True),
        row("dff", "scikit-learn's NMF, the same beginning", N.dff, "concepts=3,iterations=100", layer=True),
        row("gradcam", "grad-cam, aug_smooth", P.pgc_smoothed("GradCAM", True), options=["--smooth", "scaled"], layer=True),
        row("gradcam", "grad-cam, mean of its transforms", P.pgc_smoothed("GradCAM", False), options=["--smooth", "augment"], layer=True),
        row("layercam", "grad-cam, aug_smooth", P.pgc_smoothed("LayerCAM", True), options=["--smooth", "scaled"], layer=True),
        *(row(m, "grad-cam, eigen_smooth", P.pgc(n, eigen=True), options=["--eigen-smooth"], layer=True, note=sign)
          for m, n in (("gradcam", "GradCAM"), ("hirescam", "HiResCAM"), ("layercam", "LayerCAM"), ("xgradcam", "XGradCAM"))),
        *(row(m, "grad-cam, several target_layers", P.pgc_layers(n), options=["--fuse", "mean"], layer=True, nets=[net],
              layers=[layers], after=P.scaled, note="scaled to 0..1 at last, as there")
          for m, n in (("gradcam", "GradCAM"), ("layercam", "LayerCAM")) for net, layers in (("pooled", "r2,r3"), ("deep", "ra,c3"))),
    ]


def pixel_methods():
    """At the input."""
    k, small = "captum", ["pooled", "deep"]
    return [
        row("fullgrad", "grad-cam", P.pgc_fullgrad, "variant=pgc"),
        row("saliency", k, P.captum("Saliency", "abs-max"), "reduce=abs-max", deep=True), row("inputxgradient", k, P.captum("InputXGradient"), deep=True),
        row("guidedbackprop", k, P.captum("GuidedBackprop"), deep=True), row("deconvnet", k, P.captum("Deconvolution"), deep=True),
        row("guidedgradcam", k, P.captum_guided_gradcam, layer=True, deep=True),
        row("integratedgradients", k, P.captum_ig("black"), "baseline=zero", deep=True),
        row("integratedgradients", k, P.captum_ig("white"), "baseline=white", nets=small),
        row("integratedgradients", k, P.captum_ig("blur"), "baseline=blur,blur=3", nets=small),
        row("integratedgradients", k, P.captum_ig("given"), nets=small, options=["--baseline", "{work}/baseline.npy"]),
        row("smoothgrad", "formula, the same noise", N.smoothgrad("mean"), "samples=8,seed=3", deep=True),
        row("smoothgrad", "formula, the same noise", N.smoothgrad("squared"), "samples=8,seed=3,variant=squared", deep=True),
        row("vargrad", "formula, the same noise", N.smoothgrad("variance"), "samples=8,seed=3", deep=True),
        row("guidedig", "saliency", P.pair_guided_ig, "baseline=zero,steps=20", deep=True),
        row("xrai", "saliency", P.pair_xrai, "steps=4,rule=riemann", deep=True),
        row("occlusion", k, P.captum_occlusion(8, 4), "window=8,stride=4,baseline=zero", nets=small),
        row("occlusion", k, P.captum_occlusion(75, 56), "window=75,stride=56,baseline=zero", nets=["inception"]),
        row("rise", "authors' formula, the same masks", N.rise, "samples=40,cells=5,seed=2", deep=True),
        row("lime", "scikit-learn's Ridge, the same samples", N.lime, "samples=60,segments=12,seed=1,baseline=grey,compactness=100"),
        row("kernelshap", "Shapley's definition", N.kernelshap, "samples=1024,segments=8,baseline=grey,compactness=100"),
        row("extremalperturbation", "formula, PyTorch's SGD", N.perturbation("extremal"), "iterations=12,cells=7"),
        row("extremalperturbation", "formula, PyTorch's Adam", N.perturbation("meaningful"), "variant=meaningful,iterations=12,cells=7", deep=True),
        # behind maximum pooling captum's own attributions miss the score's rise, netgaze's add up (tests/attr)
        row("deeplift", k, P.captum_deeplift, "baseline=zero", nets=["pooled"]),
        row("deeplift", "formula", N.deeplift, "baseline=zero", deep=True),
        *(row("lrp", "zennit, its merged batch norms mended", P.zennit_lrp(n), "preset=" + p, deep=True)
          for n, p in (("EpsilonPlusFlat", "epsilon-plus-flat"), ("EpsilonPlus", "epsilon-plus"), ("EpsilonAlpha2Beta1", "epsilon-alpha2-beta1"))),
    ]


def tkv_rows(python):
    name = "tf-keras-vis"
    return [row("gradcam", name, P.tkv(python, "gradcam"), layer=True), row("layercam", name, P.tkv(python, "layercam"), layer=True),
            row("gradcam++", name, P.tkv(python, "gradcam++"), "variant=tkv", layer=True, note="its relu, up to the factor exp(score)", after="unit"),
            row("scorecam", name, P.tkv(python, "scorecam"), "variant=tkv", layer=True, nets=["pooled", "deep"]),
            row("scorecam", name + ", max_N", P.tkv(python, "scorecam", max_N=5), "variant=tkv,channels=5", layer=True)]


def rows(args):
    return cams() + pixel_methods() + (tkv_rows(args.keras_python) if args.keras_python else [])


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
    "- TorchRay smooths the mask of an extremal perturbation by a soft maximum and perturbs by a pyramid of blurs; netgaze's mask is",
    "  a bilinear grid over one blur. The optimisation is held against PyTorch's autograd and optimisers.",
    "- LIME and Kernel SHAP are compared on netgaze's own superpixels, XRAI on its authors' segments.",
    "- Non-negative factorisations depend on their beginning: scikit-learn is given netgaze's.", "",
    "Rows over 1e-3, all on inception:", "",
    "- Saliency and input x gradient: one window of the first maximum pooling (channel 20 at 43,59) has two values that are equal",
    "  but for rounding. With the other one, float64's map of the saliency is 3.0e-2 off itself, and netgaze's and PyTorch's float32",
    "  maps have that one. PyTorch's float32 chooses otherwise than float64 in three windows and three relus; made to choose so,",
    "  float64 gives its map to 2.7e-7. The plain loops round alike everywhere and choose as float64 does: 1e-7.",
    "- SmoothGrad, VarGrad, integrated gradients, deconvnet: as far off as PyTorch's float32, or up to twice as far; taken for the",
    "  same, which was not shown for each.",
    "- DeepLIFT: a relu whose input is near zero in the image and in the baseline has a slope that rounding decides. Noise of 3e-8 of",
    "  the largest value at relus' inputs, the same in image and baseline, moves float64's map by 2.3e-2 to 3.4e-2 of its largest.",
    "- Guided integrated gradients: which pixels move next is decided by the order of the smallest gradients.",
    "- Meaningful perturbation: Adam's first step is the sign of the gradient, however small it is.",
    "- XRAI: not explained. Its gradients agree (PyTorch's float32 gives the map to 1.4e-3), its segments of a photograph may not.",
    "", "An empty cell: not compared there.",
]


class Table:
    """Results by row and net. With a file, those of earlier runs are kept, so that a long table can be made in pieces."""

    def __init__(self, file):
        self.cells, self.failed, self.file = {}, 0, pathlib.Path(file) if file else None
        if self.file and self.file.exists():
            self.cells = {tuple(k): {n: tuple(v) for n, v in c.items()} for k, c in json.loads(self.file.read_text())}
        self.begun = set()

    def save(self):
        if self.file:
            self.file.write_text(json.dumps(list(self.cells.items())))

    def add(self, row, net, found, own, why=""):
        parameters = " ".join([row.parameters, *(o for o in row.options if "/" not in o)]).strip()
        key = (row.method, parameters, row.target, row.peer, row.note)
        cell = self.cells.setdefault(key, {})
        if (key, net) not in self.begun:
            self.begun.add((key, net))
            cell.pop(net, None)
        worst, count, owns = cell.get(net, (0.0, 0, 0.0))
        cell[net] = (max(worst, found), count + 1, max(own, owns))
        good = found <= (max(ALLOWED_DEEP, 2 * own) if own else ALLOWED)
        self.failed += not good
        print("%-20s %-26s %-9s %9.2e  %9.2e  %s %s" % (row.method, row.parameters, net, found, own, "ok" if good else "OUT", why),
              flush=True)

    def in_order(self, rows):
        """Cells in the order of the rows, whatever order they were measured in."""
        places = {}
        for i, row in enumerate(rows):
            places.setdefault((row.method, row.peer), i)
        return sorted(self.cells.items(), key=lambda c: places.get((c[0][0], c[0][3]), len(rows)))

    def write(self, path, keras_versions, rows):
        packages = ("grad-cam", "captum", "zennit", "saliency", "scikit-learn", "scikit-image")
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
        lines = ["# Methods compared with their peers", "",
                 "Made by `scripts/compare_methods.py`. The same weights and inputs on both sides; the signed map before any display,",
                 "largest difference relative to the reference's largest value. pooled and deep are small networks with random weights,",
                 "inception the fine-tuned InceptionV3 that the demo fetches.", "",
                 "On inception, methods of pixels are compared with the peer run in float64, and the peer's own float32 result is held",
                 "against that too (in brackets). There, inception is netgaze's default back end, exact is `--exact` (direct kernels), ref",
                 "the plain loops. Where neighbouring values are equal but for rounding, as in flat parts of a photograph, a maximum or a",
                 "relu tips over and single pixels of the gradient move, in every float32 program: what is known about the rows above 1e-3",
                 "follows. Score-CAM and Ablation-CAM, a run a channel, were compared at mixed7 only, the other CAMs at mixed7 and mixed10.", "",
                 f"{versions}, PyTorch {torch.__version__.split('+')[0]}{keras_versions}.", "",
                 *KNOWN_DIFFERENCES, "",
                 "| method | parameters | target | peer | maps | pooled | deep | " + " | ".join(NETS[2:]) + " | |",
                 "| --- " * (6 + len(NETS)) + "|"]
        for (method, parameters, target, peer, note), cell in self.in_order(rows):
            texts = ["%.1e" % cell[n][0] + (" (%.1e)" % cell[n][2] if cell[n][2] else "") if n in cell else "" for n in NETS]
            count = sum(c[1] for c in cell.values())
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


def compare_row(args, table, label, net, row, name, x, c, work):
    """One row at one layer."""
    needs_map = row.run.__code__.co_argcount == 6
    say = name if row.at_layer else ""
    found = netgaze_map(args.netgaze, net.folder, work / "x.npy", row, name, c, work)
    more = (found,) if needs_map else ()
    expected, own = row.run(net, name, x, c, work, *more), 0.0
    either_sign = "sign" in row.note
    if row.after == "unit":
        found = np.maximum(found, 0)
        found, expected = found / max(found.max(), 1e-300), expected / max(expected.max(), 1e-300)
    if label == "inception" and row.deep:
        single = expected  # a deep network's gradient jumps where a ReLU or a maximum tips over
        expected = row.run(net.double(), name, x.double(), c, work, *more)
        net.float()
        own = difference(single, expected, False)
    elif args.goldens and label != "inception" and not row.options and not callable(row.after) and row.after is None:
        keep_golden(pathlib.Path(args.goldens), net.folder, label, work / "x.npy", row, name, c, expected)
    if own:
        exact = netgaze_map(args.netgaze, net.folder, work / "x.npy", row, name, c, work, "onednn")
        table.add(row, "inception, exact", difference(exact, expected, False), own, say)
    if own and row.method in ONE_GRADIENT:
        plain = netgaze_map(args.netgaze, net.folder, work / "x.npy", row, name, c, work, "ref")
        table.add(row, "inception, ref", difference(plain, expected, False), 0.0, say)
    table.add(row, label, difference(found, expected, either_sign), own, say)


def read_input(args, label, size, rng):
    h, w, depth = size
    if args.photo and label == "inception":
        from PIL import Image
        return np.asarray(Image.open(args.photo).convert("RGB").resize((w, h), Image.BILINEAR), np.float32) / 255
    return rng.uniform(0, 1, (h, w, depth)).astype(np.float32)


def compare(args, table, label, folder, layers, n_inputs, work):
    net = Net(folder)
    rng = np.random.default_rng(5)
    for i in range(n_inputs):
        values = read_input(args, label, net.size, rng)
        np.save(work / "x.npy", values)
        np.save(work / "baseline.npy", 0.5 * values[:, ::-1])
        x = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            c = int(net(x)[0].argmax()) if i % 2 == 0 else int(net(x)[0].argsort()[-2])
        chosen = args.methods.split(",") if args.methods else []
        for row in sorted(rows(args), key=lambda r: chosen.index(r.method) if r.method in chosen else 0):
            if not wanted(args, row, label):
                continue
            if row.method == "finercam" and i % 2:
                continue  # pytorch-grad-cam takes the predicted class
            every = label == "inception" and row.method in EVERY_CHANNEL and "channels=" not in row.parameters
            for name in row.layers or (layers if row.at_layer and not every else layers[:1]):
                try:
                    compare_row(args, table, label, net, row, name, x, c, work)
                except Exception as error:  # noqa: BLE001: one broken row must not hide the others
                    net.float()
                    table.add(row, label, float("inf"), 0.0, f"{name}: {error!r}"[:300])
                table.save()


def versions_of_keras(python):
    code = "import importlib.metadata as m; print(', '.join(f'{p} {m.version(p)}' for p in ('tf-keras-vis', 'tf_keras', 'tensorflow-cpu')))"
    return ", " + subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip() if python else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netgaze", default="build/release/netgaze")
    parser.add_argument("--model", help="folder of a TensorFlow.js model: a real one")
    parser.add_argument("--layers", default="mixed10")
    parser.add_argument("--photo")
    parser.add_argument("--keras-python", help="with TensorFlow, tf_keras and tf-keras-vis")
    parser.add_argument("--methods", default="")
    parser.add_argument("--peers", default="", help="only rows whose peer's name has this in it")
    parser.add_argument("--nets", default="pooled,deep,inception", help="only these")
    parser.add_argument("--results", help="a file in which results of several runs are gathered")
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
