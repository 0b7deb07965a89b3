#!/usr/bin/env python3
"""Holds every attribution method against the library that made it known, on the same weights and inputs.

    python scripts/compare_methods.py --netgaze build/release/netgaze [--model MODEL_JSON_FOLDER --layers mixed7,mixed10]
                                      [--methods a,b] [--write docs/methods-compared.md]

Needs PyTorch, torchvision, grad-cam, captum, scikit-learn (Debian's python3-torch and `pip install --no-deps` of the others
will do). Two small networks with random weights are written as TensorFlow.js models and run by PyTorch from the same
files; --model adds a real one. Maps are compared before any display: the signed map, where the method has one; the
largest difference relative to the reference's largest value. Fails when one is over 1e-3; for pixel methods on the real network,
where single pixels jump, over 1e-2, and over 1e-3 on the reference back end.
"""

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

import numpy as np
import torch
import torch.nn.functional as F

ALLOWED, ALLOWED_DEEP = 1e-3, 1e-2
ONE_GRADIENT = ("saliency", "inputxgradient", "guidedbackprop", "deconvnet", "guidedgradcam")


# ---- Networks: one topology, read by both sides ------------------------------------------------

def layer(class_name, name, inputs, **config):
    return {"class_name": class_name, "name": name, "config": {"name": name, **config},
            "inbound_nodes": [[[i, 0, 0, {}] for i in inputs]] if inputs else []}


def conv(name, source, filters, stride=1, activation="relu", size=3):
    return layer("Conv2D", name, [source], filters=filters, kernel_size=[size, size], strides=[stride, stride], padding="valid"
                 if stride > 1 else "same", activation=activation, use_bias=True)


def pooled_net():
    """Convolutions, batch norm, global average pooling, dense: the head of class activation mapping."""
    return [layer("InputLayer", "image", [], batch_input_shape=[None, 35, 33, 3], dtype="float32"),
            conv("c1", "image", 8), conv("c2", "c1", 12, stride=2, activation="linear"),
            layer("BatchNormalization", "bn", ["c2"], axis=-1, epsilon=1e-3, scale=True, center=True),
            layer("Activation", "r2", ["bn"], activation="relu"), conv("c3", "r2", 16, activation="linear"),
            layer("Activation", "r3", ["c3"], activation="relu"),
            layer("GlobalAveragePooling2D", "pool", ["r3"]),
            layer("Dense", "scores", ["pool"], units=5, activation="softmax", use_bias=True)]


def deep_net():
    """A shortcut, a maximum pool and hidden dense layers behind the explained layer."""
    return [layer("InputLayer", "image", [], batch_input_shape=[None, 32, 32, 3], dtype="float32"),
            conv("c1", "image", 8), conv("c2", "c1", 8, activation="linear"), layer("Add", "add", ["c1", "c2"]),
            layer("Activation", "ra", ["add"], activation="relu"),
            layer("MaxPooling2D", "mp", ["ra"], pool_size=[2, 2], strides=[2, 2], padding="valid"),
            conv("c3", "mp", 12), layer("MaxPooling2D", "mp2", ["c3"], pool_size=[2, 2], strides=[2, 2], padding="valid"),
            layer("Flatten", "flat", ["mp2"]), layer("Dense", "d1", ["flat"], units=20, activation="relu", use_bias=True),
            layer("Dense", "scores", ["d1"], units=4, activation="softmax", use_bias=True)]


def random_weights(layers, seed):
    """Weights by name, in the order of the file; shapes follow from a walk through the layers."""
    rng = np.random.default_rng(seed)
    shapes, weights = {}, {}
    for l in layers:
        c, kind, sources = l["config"], l["class_name"], [n[0] for n in l["inbound_nodes"][0]] if l["inbound_nodes"] else []
        shape = shapes[sources[0]] if sources else c["batch_input_shape"][1:]
        if kind == "Conv2D":
            k = c["kernel_size"][0]
            weights[c["name"] + "/kernel"] = rng.normal(0, math.sqrt(2 / (k * k * shape[2])), (k, k, shape[2], c["filters"]))
            weights[c["name"] + "/bias"] = rng.normal(0, 0.1, c["filters"])
            s = c["strides"][0]
            shape = [*(n if s == 1 else (n - k) // s + 1 for n in shape[:2]), c["filters"]]
        elif kind == "BatchNormalization":
            for name, low, high in (("gamma", 0.5, 1.5), ("beta", -0.3, 0.3), ("moving_mean", -0.3, 0.3), ("moving_variance", 0.5, 2)):
                weights[f"{c['name']}/{name}"] = rng.uniform(low, high, shape[2])
        elif kind == "MaxPooling2D":
            shape = [(shape[0] - 2) // 2 + 1, (shape[1] - 2) // 2 + 1, shape[2]]
        elif kind in ("GlobalAveragePooling2D",):
            shape = [shape[2]]
        elif kind == "Flatten":
            shape = [int(np.prod(shape))]
        elif kind == "Dense":
            weights[c["name"] + "/kernel"] = rng.normal(0, math.sqrt(2 / shape[0]), (shape[0], c["units"]))
            weights[c["name"] + "/bias"] = rng.normal(0, 0.1, c["units"])
            shape = [c["units"]]
        shapes[l["name"]] = shape
    return {n: w.astype(np.float32) for n, w in weights.items()}


def write_model(folder, layers, weights):
    folder.mkdir(parents=True)
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": {
        "class_name": "Functional", "config": {"name": "net", "layers": layers, "input_layers": [[layers[0]["name"], 0, 0]],
                                               "output_layers": [[layers[-1]["name"], 0, 0]]}}}
    manifest = [{"paths": ["weights.bin"],
                 "weights": [{"name": n, "shape": list(w.shape), "dtype": "float32"} for n, w in weights.items()]}]
    (folder / "model.json").write_text(json.dumps({"modelTopology": topology, "weightsManifest": manifest}))
    (folder / "weights.bin").write_bytes(b"".join(np.ascontiguousarray(w).tobytes() for w in weights.values()))


def read_weights(folder, model):
    weights = {}
    for group in model["weightsManifest"]:
        data, at = b"".join((folder / p).read_bytes() for p in group["paths"]), 0
        for w in group["weights"]:
            q = w.get("quantization")
            kind = np.dtype({"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}[q["dtype"]] if q else "<f4")
            count = int(np.prod(w["shape"], dtype=np.int64))
            values = np.frombuffer(data, kind, count, at).reshape(w["shape"])
            at += count * kind.itemsize
            if q and q["dtype"] != "float16":
                values = values.astype(np.float64) * q["scale"] + q["min"]
            weights[w["name"]] = values.astype(np.float32)
    return weights


class Same(torch.nn.Module):
    """TensorFlow's "same" padding before a module."""

    def __init__(self, inner, size, stride, value=0.0):
        super().__init__()
        self.inner, self.size, self.stride, self.value = inner, size, stride, value

    def forward(self, x):
        pads = []
        for n, k, s in zip(reversed(x.shape[2:]), reversed(self.size), reversed(self.stride)):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return self.inner(F.pad(x, pads, value=self.value))


class Net(torch.nn.Module):
    """A TensorFlow.js layers model run by PyTorch, up to the logits. Modules are named as the layers are."""

    def __init__(self, folder):
        super().__init__()
        model = json.loads((folder / "model.json").read_text())
        config = model["modelTopology"]["model_config"]["config"]
        self.weights = read_weights(folder, model)
        self.order, self.size = [], None
        for l in config["layers"]:
            name, kind, c = l["name"], l["class_name"], l["config"]
            sources = [n[0] for n in l["inbound_nodes"][0]] if l["inbound_nodes"] else []
            if kind == "InputLayer":
                self.size = c["batch_input_shape"][1:]
                self.input = name
                continue
            module = self.make(kind, c)
            self.order.append((name, sources, module is not None, kind))
            if module is not None:
                self.add_module(name, module)
        self.eval()

    def tensor(self, name):
        return torch.from_numpy(np.ascontiguousarray(self.weights[name]))

    def make(self, kind, c):
        name = c["name"]
        if kind == "Conv2D":
            kernel = self.tensor(name + "/kernel").permute(3, 2, 0, 1).contiguous()
            module = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], tuple(kernel.shape[2:]), tuple(c["strides"]), bias=c["use_bias"])
            module.weight.data = kernel
            if c["use_bias"]:
                module.bias.data = self.tensor(name + "/bias")
            if c["padding"] == "same" and list(c["strides"]) == [1, 1] and all(k % 2 for k in kernel.shape[2:]):
                module.padding = tuple(k // 2 for k in kernel.shape[2:])
            elif c["padding"] == "same":
                module = Same(module, kernel.shape[2:], c["strides"])
            return self.activated(module, c)
        if kind == "BatchNormalization":
            module = torch.nn.BatchNorm2d(len(self.weights[name + "/moving_mean"]), eps=c["epsilon"])
            if name + "/gamma" in self.weights:
                module.weight.data = self.tensor(name + "/gamma")
            module.bias.data = self.tensor(name + "/beta")
            module.running_mean.data = self.tensor(name + "/moving_mean")
            module.running_var.data = self.tensor(name + "/moving_variance")
            return module
        if kind == "Dense":
            kernel = self.tensor(name + "/kernel").T.contiguous()
            module = torch.nn.Linear(kernel.shape[1], kernel.shape[0], bias=c["use_bias"])
            module.weight.data = kernel
            if c["use_bias"]:
                module.bias.data = self.tensor(name + "/bias")
            return self.activated(module, c)
        if kind == "Activation":
            return torch.nn.ReLU() if c["activation"] == "relu" else torch.nn.Identity()
        if kind == "MaxPooling2D":
            return torch.nn.MaxPool2d(tuple(c["pool_size"]), tuple(c["strides"]))
        if kind == "AveragePooling2D":
            same = c["padding"] == "same"
            return torch.nn.AvgPool2d(tuple(c["pool_size"]), tuple(c["strides"]), padding=tuple(k // 2 for k in c["pool_size"]) if same
                                      else 0, count_include_pad=False)
        if kind == "GlobalAveragePooling2D":
            return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        if kind == "Dropout":
            return torch.nn.Identity()
        if kind in ("Flatten", "Concatenate", "Add"):
            return None
        raise ValueError(f"layer class {kind}")

    @staticmethod
    def activated(module, c):
        """Softmax is left out: the net ends in logits."""
        return torch.nn.Sequential(module, torch.nn.ReLU()) if c.get("activation") == "relu" else module

    def forward(self, x):
        values = {self.input: x}
        for name, sources, has_module, kind in self.order:
            inputs = [values[s] for s in sources]
            if has_module:
                values[name] = getattr(self, name)(*inputs)
            elif kind == "Concatenate":
                values[name] = torch.cat(inputs, 1)
            elif kind == "Add":
                values[name] = sum(inputs)
            else:  # Keras flattens height, width, channel
                values[name] = inputs[0].permute(0, 2, 3, 1).reshape(len(x), -1)
            if name == self.tapped:
                values[name] = self.tap(values[name])
        return values[self.order[-1][0]]

    tapped = None


@contextlib.contextmanager
def tapped(net, name):
    """A module behind the layer's output, on which hooks can be put; layers without a module have none of their own."""
    net.tapped = name
    net.add_module("tap", torch.nn.Identity())
    try:
        yield net.tap
    finally:
        del net.tap
        net.tapped = None


# ---- The peers ---------------------------------------------------------------------------------

def pgc(class_name, **options):
    """The map of pytorch-grad-cam before its relu and scaling."""
    def run(net, name, x, c, work):
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
        if class_name == "KPCA_CAM":
            options.setdefault("kernel", "sigmoid")
        with tapped(net, name) as tap:
            cam = getattr(pytorch_grad_cam, class_name)(model=net, target_layers=[tap], **options)
            base, got = getattr(cam, "base_cam", cam), []
            original = base.get_cam_image
            base.get_cam_image = lambda *a, **k: got.append(original(*a, **k)) or got[-1]
            if class_name == "FinerCAM":
                cam(input_tensor=x, alpha=0.6, target_idx=c)
            elif class_name == "ShapleyCAM":
                cam(input_tensor=x.clone().requires_grad_(True), targets=[lambda z: z[c] + torch.log_softmax(z, -1)[c]])
            else:
                cam(input_tensor=x, targets=[ClassifierOutputTarget(c)])
            value = got[0]
            return np.asarray(value.detach() if torch.is_tensor(value) else value, dtype=np.float64)[0]
    return run


def pgc_fullgrad(net, name, x, c, work):
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    cam = pytorch_grad_cam.FullGrad(model=net, target_layers=[])
    got = []
    original = cam.compute_cam_per_layer
    cam.compute_cam_per_layer = lambda *a, **k: got.append(original(*a, **k)) or got[-1]
    cam(input_tensor=x, targets=[ClassifierOutputTarget(c)])
    return got[0][0, 0]


def pixels(values, how="sum"):
    v = values.detach()[0].double().numpy()
    return {"sum": v.sum(0), "abs-max": np.abs(v).max(0)}[how]


def captum(class_name, how="sum", **options):
    def run(net, name, x, c, work):
        import captum.attr
        method = getattr(captum.attr, class_name)(net)
        return pixels(method.attribute(x.clone().requires_grad_(True), target=int(c), **options), how)
    return run


def captum_guided_gradcam(net, name, x, c, work):
    from captum.attr import GuidedGradCam
    with tapped(net, name) as tap:
        a = GuidedGradCam(net, tap).attribute(x.clone().requires_grad_(True), target=int(c), interpolate_mode="bilinear")
    return pixels(a)


def captum_ig(net, name, x, c, work):
    from captum.attr import IntegratedGradients
    a = IntegratedGradients(net).attribute(x, baselines=torch.zeros_like(x), target=int(c), n_steps=50, method="gausslegendre")
    return pixels(a)


def captum_occlusion(net, name, x, c, work):
    from captum.attr import Occlusion
    a = Occlusion(net).attribute(x, sliding_window_shapes=(x.shape[1], 8, 8), strides=(x.shape[1], 4, 4), target=int(c), baselines=0)
    return a.detach()[0].double().numpy().mean(0)


def captum_deeplift(net, name, x, c, work):
    from captum.attr import DeepLift
    return pixels(DeepLift(net).attribute(x, baselines=torch.zeros_like(x), target=int(c)))


def zennit_lrp(composite):
    def run(net, name, x, c, work):
        import zennit.attribution
        import zennit.canonizers
        import zennit.composites
        made = getattr(zennit.composites, composite)(canonizers=[zennit.canonizers.SequentialMergeBatchNorm()])
        with zennit.attribution.Gradient(model=net, composite=made) as attributor:
            _, relevance = attributor(x.clone(), lambda z: z * torch.nn.functional.one_hot(torch.tensor([c]), z.shape[1]))
        return pixels(relevance)
    return run


def score_and_gradient(net, x, c):
    x = x.clone().requires_grad_(True)
    score = net(x)[0, c]
    score.backward()
    return float(score.detach()), x.grad[0].double().numpy()


def tkv_gradcampp(net, name, x, c, work):
    """tf-keras-vis 0.8 GradcamPlusPlus, its formula rewritten; up to the factor exp(score)."""
    with tapped(net, name) as tap:
        kept = []
        hook = tap.register_forward_hook(lambda m, i, o: kept.append(o) or o.retain_grad())
        z = net(x.clone().requires_grad_(True))
        z[0, c].backward()
        hook.remove()
    a, g = kept[0].detach()[0].double().numpy(), kept[0].grad[0].double().numpy()
    second, third = g * g, g ** 3
    denominator = 2 * second + third * a.sum((1, 2), keepdims=True) + (second == 0)
    alphas = second / denominator
    total = alphas.sum((1, 2), keepdims=True)
    alphas = alphas / (total + (total == 0))
    return ((np.maximum(g, 0) * alphas).sum((1, 2))[:, None, None] * a).sum(0)


def guided_ig(net, name, x, c, work):
    """guided_ig_impl of the authors' saliency package, rewritten; black is zero here."""
    end = x[0].double().numpy()
    start = np.zeros_like(end)
    at, attr, total, steps, fraction, dist = start.copy(), np.zeros_like(end), np.abs(end - start).sum(), 20, 0.25, 0.02
    for step in range(steps):
        actual = score_and_gradient(net, torch.from_numpy(at[None]).to(x.dtype), c)[1]
        grad = actual.copy()
        low, high = max((step + 1) / steps - dist, 0.0), min((step + 1) / steps + dist, 1.0)
        x_min, x_max = start + (end - start) * low, start + (end - start) * high
        target, gamma = total * (1 - (step + 1) / steps), np.inf
        while gamma > 1.0:
            old = at.copy()
            with np.errstate(divide="ignore", invalid="ignore"):
                alpha = np.where(end - start != 0, (at - start) / (end - start), np.nan)
            alpha[np.isnan(alpha)] = high
            at[alpha < low] = x_min[alpha < low]
            current = np.abs(at - end).sum()
            if math.isclose(target, current, rel_tol=1e-9, abs_tol=1e-9):
                attr += (at - old) * actual
                break
            grad[at == x_max] = np.inf
            threshold = np.quantile(np.abs(grad), fraction, method="lower")
            s = np.logical_and(np.abs(grad) <= threshold, grad != np.inf)
            reach = (np.abs(at - x_max) * s).sum()
            gamma = (current - target) / reach if reach > 0 else np.inf
            if gamma > 1.0:
                at[s] = x_max[s]
            else:
                at[s] = (at + (x_max - at) * gamma)[s]
            attr += (at - old) * actual
            if not np.isfinite(threshold):
                break
    return attr.sum(0)


# method, parameters, target, peer, function, tolerance of its own, maps of every layer or of the input
Row = types.SimpleNamespace


def rows():
    def at_layer(method, peer, run, parameters="", target="logit", note=""):
        return Row(method=method, peer=peer, run=run, parameters=parameters, target=target, at_layer=True, note=note, nets=None)

    def at_input(method, peer, run, parameters="", needs_layer=False, note="", nets=None):
        return Row(method=method, peer=peer, run=run, parameters=parameters, target="logit", at_layer=needs_layer, note=note, nets=nets)

    g, k = "grad-cam", "captum"
    return [
        at_layer("gradcam", g, pgc("GradCAM")), at_layer("hirescam", g, pgc("HiResCAM")),
        at_layer("gradcamelementwise", g, pgc("GradCAMElementWise")), at_layer("gradcam++", g, pgc("GradCAMPlusPlus"), "variant=pgc"),
        at_layer("gradcam++", "formula of tf-keras-vis", tkv_gradcampp, "variant=tkv"), at_layer("xgradcam", g, pgc("XGradCAM")),
        at_layer("layercam", g, pgc("LayerCAM")), at_layer("scorecam", g, pgc("ScoreCAM"), "variant=pgc"),
        at_layer("ablationcam", g, pgc("AblationCAM")), at_layer("eigencam", g, pgc("EigenCAM"), note="up to the sign, which is arbitrary"),
        at_layer("eigengradcam", g, pgc("EigenGradCAM"), note="up to the sign"),
        at_layer("kpcacam", g, pgc("KPCA_CAM"), note="up to the sign"), at_layer("finercam", g, pgc("FinerCAM"), "alpha=0.6"),
        at_layer("fem", g, pgc("FEM")), at_layer("shapleycam", g, pgc("ShapleyCAM"), target="rest"),
        at_input("fullgrad", g, pgc_fullgrad, "variant=pgc"), at_input("saliency", k, captum("Saliency", "abs-max"), "reduce=abs-max"),
        at_input("inputxgradient", k, captum("InputXGradient")), at_input("guidedbackprop", k, captum("GuidedBackprop")),
        at_input("deconvnet", k, captum("Deconvolution")),
        at_input("guidedgradcam", k, captum_guided_gradcam, needs_layer=True), at_input("integratedgradients", k, captum_ig, "baseline=zero"),
        at_input("guidedig", "authors' formula in NumPy", guided_ig, "baseline=zero,steps=20"),
        at_input("occlusion", k, captum_occlusion, "window=8,stride=4,baseline=zero"),
        # behind maximum pooling captum's own attributions miss the score's rise, netgaze's add up (tests/attr)
        at_input("deeplift", k, captum_deeplift, "baseline=zero", nets=["pooled"]),
        # zennit knows the sum of branches and the concatenation only as modules, which the other nets here do not have
        at_input("lrp", "zennit", zennit_lrp("EpsilonPlusFlat"), "preset=epsilon-plus-flat", nets=["pooled"]),
        at_input("lrp", "zennit", zennit_lrp("EpsilonPlus"), "preset=epsilon-plus", nets=["pooled"]),
        at_input("lrp", "zennit", zennit_lrp("EpsilonAlpha2Beta1"), "preset=epsilon-alpha2-beta1", nets=["pooled"]),
    ]


# ---- Comparing ---------------------------------------------------------------------------------

def netgaze_map(program, model, array, row, name, c, work, backend="auto"):
    words = [program, "explain", str(model), str(array), "-o", str(work / "maps"), "--method", row.method, "--class", str(c), "--target",
             row.target, "--outputs", "raw,sidecar", "--json", "-q", "--force", "--preprocess", "raw", "--backend", backend]
    if row.at_layer:
        words += ["--layer", name]
    if row.parameters:
        words += ["--param", row.parameters]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    line = json.loads(done.stdout)
    return np.array(json.loads(pathlib.Path(line["files"]["sidecar"]).read_text())["signed"]).reshape(line["shape"])


def difference(found, expected, either_sign):
    if found.shape != expected.shape:
        return float("inf")
    size = max(np.abs(expected).max(), 1e-300)
    errors = [np.abs(found - s * expected).max() / size for s in ((1, -1) if either_sign else (1,))]
    return float(min(errors))


class Table:
    def __init__(self):
        self.cells, self.failed = {}, 0

    def add(self, row, net, found, own, why=""):
        key = (row.method, row.parameters, row.target, row.peer, row.note)
        cell = self.cells.setdefault(key, {})
        worst, count, owns = cell.get(net, (0.0, 0, 0.0))
        cell[net] = (max(worst, found), count + 1, max(own, owns))
        good = found <= (ALLOWED_DEEP if own else ALLOWED)
        self.failed += not good
        print("%-20s %-26s %-9s %9.2e  %9.2e  %s %s" % (row.method, row.parameters, net, found, own, "ok" if good else "OUT", why),
              flush=True)

    def write(self, path):
        versions = {p: importlib.metadata.version(p) for p in ("grad-cam", "captum", "zennit")}
        lines = ["# Methods compared with their peers", "",
                 "Made by `scripts/compare_methods.py`. The same weights and inputs on both sides; the signed map before any display,",
                 "largest difference relative to the reference's largest value. pooled and deep are small networks with random weights,",
                 "inception the fine-tuned InceptionV3 that the demo fetches.", "",
                 "On inception, pixel methods are compared with the peer run in float64, and the peer's own float32 result is held",
                 "against that too (in brackets). Where neighbouring values are equal but for rounding, as in flat parts of a photograph,",
                 "a maximum or a ReLU tips over and single pixels of the gradient move; netgaze's reference back end (`--backend ref`,",
                 "plain loops) rounds alike at every place, the fast ones do not. Guided integrated gradients, whose way depends on such",
                 "pixels, is compared on the small networks only.", "",
                 "grad-cam %s, captum %s, zennit %s, PyTorch %s." % (versions["grad-cam"], versions["captum"], versions["zennit"], torch.__version__.split("+")[0]), "",
                 "| method | parameters | target | peer | maps | pooled | deep | inception | inception, ref | |",
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for (method, parameters, target, peer, note), cell in self.cells.items():
            texts = ["%.1e" % cell[n][0] + (" (%.1e)" % cell[n][2] if cell[n][2] else "") if n in cell else "" for n in
                     ("pooled", "deep", "inception", "inception, ref")]
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


def compare(args, table, label, folder, layers, n_inputs, skip, work):
    net = Net(folder)
    rng = np.random.default_rng(5)
    h, w, depth = net.size
    for i in range(n_inputs):
        values = rng.uniform(0, 1, (h, w, depth)).astype(np.float32)
        if args.photo and label == "inception":
            from PIL import Image
            values = np.asarray(Image.open(args.photo).convert("RGB").resize((w, h), Image.BILINEAR), np.float32) / 255
        np.save(work / "x.npy", values)
        x = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            c = int(net(x)[0].argmax()) if i % 2 == 0 else int(net(x)[0].argsort()[-2])
        for row in rows():
            if row.method in skip or (row.nets and label not in row.nets) or (args.methods and row.method not in args.methods.split(",")):
                continue
            for name in layers if row.at_layer else layers[:1]:
                if row.method == "finercam" and i % 2:
                    continue  # pytorch-grad-cam takes the predicted class
                try:
                    expected, own = row.run(net, name, x, c, work), 0.0
                    pixel = not row.at_layer or row.method == "guidedgradcam"
                    if label == "inception" and pixel and row.method != "fullgrad":
                        single = expected  # a deep network's gradient jumps where a ReLU or a maximum tips over
                        expected = row.run(net.double(), name, x.double(), c, work)
                        net.float()
                        own = difference(single, expected, False)
                    if args.goldens and label != "inception" and i == 0:
                        keep_golden(pathlib.Path(args.goldens), folder, label, work / "x.npy", row, name, c, expected)
                    found = netgaze_map(args.netgaze, folder, work / "x.npy", row, name, c, work)
                    if own and row.method in ONE_GRADIENT:
                        plain = netgaze_map(args.netgaze, folder, work / "x.npy", row, name, c, work, "ref")
                        table.add(row, "inception, ref", difference(plain, expected, False), 0.0, name if row.at_layer else "")
                    table.add(row, label, difference(found, expected, "sign" in row.note), own, name if row.at_layer else "")
                except Exception as error:  # noqa: BLE001: one broken row must not hide the others
                    table.add(row, label, float("inf"), 0.0, f"{name}: {error!r}"[:300])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netgaze", default="build/release/netgaze")
    parser.add_argument("--model", help="folder of a TensorFlow.js model: a real one")
    parser.add_argument("--layers", default="mixed10")
    parser.add_argument("--photo")
    parser.add_argument("--methods", default="")
    parser.add_argument("--write")
    parser.add_argument("--goldens", help="folder for the small networks and the peers' maps of them")
    args = parser.parse_args()
    table = Table()
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(open(os.devnull, "w")):
        work = pathlib.Path(folder)
        for label, layers, taps, seed in (("pooled", pooled_net(), ["r3", "r2"], 1), ("deep", deep_net(), ["c3", "ra"], 2)):
            write_model(work / label, layers, random_weights(layers, seed))
            compare(args, table, label, work / label, taps, 2, (), work)
        if args.model:
            compare(args, table, "inception", pathlib.Path(args.model), args.layers.split(","), 1,
                    ("scorecam", "ablationcam", "kpcacam", "occlusion", "guidedig"), work)  # thousands of PyTorch forwards
    if args.write:
        table.write(pathlib.Path(args.write))
    print("%d rows, %d out" % (len(table.cells), table.failed))
    sys.exit(table.failed != 0)


if __name__ == "__main__":
    main()
