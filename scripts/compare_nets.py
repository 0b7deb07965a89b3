"""The networks on which methods are compared: small ones with random weights and any TensorFlow.js layers model, written
once and read by both sides; run here by PyTorch."""

import contextlib
import json
import math

import numpy as np
import torch
import torch.nn.functional as F
import zennit.layer

from compare_weights import read_weights


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


class Join(torch.nn.Module):
    """Of channels."""

    def forward(self, *inputs):
        return torch.cat(inputs, 1)


class Net(torch.nn.Module):
    """A TensorFlow.js layers model run by PyTorch, up to the logits. Modules are named as the layers are."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
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
        if kind == "Add":
            return zennit.layer.Sum(dim=-1)
        if kind == "Concatenate":
            return Join()
        if kind == "Flatten":
            return None
        raise ValueError(f"layer class {kind}")

    @staticmethod
    def activated(module, c):
        """Softmax is left out: the net ends in logits."""
        return torch.nn.Sequential(module, torch.nn.ReLU()) if c.get("activation") == "relu" else module

    def forward(self, x):
        return self.run({self.input: x})

    def run(self, values):
        """The last layer's output; all layers' are left in values."""
        for name, sources, has_module, kind in self.order:
            inputs = [values[s] for s in sources]
            if kind == "Add":
                values[name] = getattr(self, name)(torch.stack(inputs, -1))
            elif has_module:
                values[name] = getattr(self, name)(*inputs)
            else:  # Keras flattens height, width, channel
                values[name] = inputs[0].permute(0, 2, 3, 1).flatten(1)
            if name == self.tapped:
                values[name] = self.tap(values[name])
        return values[self.order[-1][0]]

    tapped = None

    def shapes(self):
        """Of every layer's output, [c,h,w] where it has these."""
        found = {self.input: (self.size[2], *self.size[:2])}
        with torch.no_grad():
            values = {self.input: torch.zeros(1, *found[self.input], dtype=next(self.parameters()).dtype)}
            self.run(values)
        return {n: tuple(v.shape[1:]) for n, v in values.items()}

    def choosing(self):
        """Relus and maximum pools: (layer, its inputs, whether it is a pool, module)."""
        for name, sources, has_module, _ in self.order:
            for module in getattr(self, name).modules() if has_module else ():
                if isinstance(module, (torch.nn.ReLU, torch.nn.MaxPool2d)):
                    yield name, sources, isinstance(module, torch.nn.MaxPool2d), module

    @contextlib.contextmanager
    def by_rule(self, relu, pool):
        """Other functions in place of relus, (x, layer, input layer), and of maximum pools, (x, layer, input layer, module)."""
        changed = list(self.choosing())
        for name, sources, is_pool, module in changed:
            module.forward = (lambda x, n=name, s=sources[0], m=module: pool(x, n, s, m)) if is_pool else \
                (lambda x, n=name, s=sources[0]: relu(x, n, s))
        try:
            yield
        finally:
            for *_, module in changed:
                del module.forward


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
