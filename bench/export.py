"""One set of weights for all: a TF.js layers model as Keras builds it, saved for Keras, as ONNX, and as a list of operations
with arrays that peer.py makes a PyTorch network of.

    python bench/export.py MODEL_FOLDER OUT_FOLDER
"""
import json
import os
import shutil
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "fixtures"))

import numpy as np


def keras_model(folder):
    import case_reference as ref
    import case_tfjs as tfjs
    import tf_keras

    with open(os.path.join(folder, "model.json")) as f:
        spec = json.load(f)
    topology = spec["modelTopology"].get("model_config", spec["modelTopology"])
    model = tf_keras.models.model_from_json(json.dumps(topology))
    found = tfjs.read(folder)
    model.set_weights([found.pop(ref.weight_name(w)) for w in ref.weights_of(model)])
    return model


def operations(model):
    """[{op, name, inputs, ...numbers}], arrays by "name/what"; tensors are named after the layer that makes them."""
    ops, arrays, last = [], {}, {}

    def walk(layer_list, outer):
        for layer in layer_list:
            kind, config = type(layer).__name__, layer.get_config()
            if hasattr(layer, "layers"):
                walk(layer.layers, layer)
                continue
            source = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
            inputs = [last.get(id(t)) or t._keras_history.layer.name for t in source] if kind != "InputLayer" else []
            op = {"op": kind, "name": layer.name, "inputs": inputs}
            for key in ("strides", "padding", "pool_size", "kernel_size", "epsilon", "axis", "activation"):
                if key in config:
                    op[key] = config[key]
            for w in layer.weights:
                arrays[layer.name + "/" + w.name.split("/")[-1].split(":")[0]] = w.numpy()
            if kind == "InputLayer" and ops:
                op = {"op": "Identity", "name": layer.name, "inputs": [ops[-1]["name"]]}
            ops.append(op)

    walk(model.layers, model)
    return ops, arrays


def pads(op):
    return "SAME_UPPER" if op["padding"] == "same" else "VALID"


def to_onnx(ops, arrays, size, path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, initial = [], []

    def constant(name, value):
        initial.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(kind, inputs, out, **attributes):
        nodes.append(helper.make_node(kind, inputs, [out], **attributes))

    def activate(op, name):
        act = op.get("activation", "linear")
        if act == "linear":
            node("Identity", [name], op["name"])
        elif act == "softmax":
            node("Softmax", [name], op["name"], axis=-1)
        else:
            node({"relu": "Relu", "sigmoid": "Sigmoid"}[act], [name], op["name"])

    for op in ops:
        name, a, x = op["name"], lambda what: arrays.get(name + "/" + what), (op["inputs"] or [None])[0]
        kind = op["op"]
        if kind == "InputLayer":
            node("Transpose", ["input"], name, perm=[0, 3, 1, 2])
        elif kind == "Conv2D":
            wanted = [x, constant(name + "/w", a("kernel").transpose(3, 2, 0, 1))]
            if a("bias") is not None:
                wanted.append(constant(name + "/b", a("bias")))
            node("Conv", wanted, name + ":0", strides=op["strides"], auto_pad=pads(op), kernel_shape=op["kernel_size"])
            activate(op, name + ":0")
        elif kind == "BatchNormalization":
            mean = a("moving_mean")
            gamma = a("gamma") if a("gamma") is not None else np.ones_like(mean)
            beta = a("beta") if a("beta") is not None else np.zeros_like(mean)
            parts = [constant(name + "/" + k, v) for k, v in
                     (("g", gamma), ("h", beta), ("m", mean), ("v", a("moving_variance")))]
            node("BatchNormalization", [x] + parts, name, epsilon=op["epsilon"])
        elif kind == "Activation":
            node({"relu": "Relu", "softmax": "Softmax"}[op["activation"]], [x], name)
        elif kind in ("MaxPooling2D", "AveragePooling2D"):
            extra = {} if kind == "MaxPooling2D" else {"count_include_pad": 0}
            node("MaxPool" if kind == "MaxPooling2D" else "AveragePool", [x], name, kernel_shape=op["pool_size"],
                 strides=op["strides"], auto_pad=pads(op), **extra)
        elif kind == "Concatenate":
            node("Concat", op["inputs"], name, axis=1)
        elif kind == "GlobalAveragePooling2D":
            node("GlobalAveragePool", [x], name + ":0")
            node("Flatten", [name + ":0"], name, axis=1)
        elif kind == "Dense":
            node("Gemm", [x, constant(name + "/w", a("kernel")), constant(name + "/b", a("bias"))], name + ":0")
            activate(op, name + ":0")
        elif kind == "Flatten":  # of one cell: the order of the channels is the same in both layouts
            node("Flatten", [x], name, axis=1)
        elif kind in ("Dropout", "Identity"):
            node("Identity", [x], name)
        else:
            raise ValueError("%s: %s is not exported" % (name, kind))
    shape = [1, size, size, 3] if size else ["n", "h", "w", 3]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(ops[-1]["name"], TensorProto.FLOAT, None)], initial)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    onnx.save(made, path)


def last_pool(layers, kind, inputs_of):
    """The pool whose one cell is flattened."""
    for layer in layers:
        if layer[kind] == "Flatten":
            return next((l for l in layers if l[kind] == "AveragePooling2D" and l["name"] in inputs_of(layer)), None)
    return None


def any_size(folder, ops, arrays, out):
    """The same network for images of any size and number: its last pool takes the whole map, whatever its size."""
    pool = last_pool(ops, "op", lambda op: op["inputs"])
    if pool:
        pool["op"] = "GlobalAveragePooling2D"
    to_onnx(ops, arrays, None, os.path.join(out, "model-any.onnx"))
    with open(os.path.join(folder, "model.json")) as f:
        spec = json.load(f)
    topology = spec["modelTopology"].get("model_config", spec["modelTopology"])
    for layer in topology["config"]["layers"]:
        if pool and layer["name"] == pool["name"]:
            layer["class_name"] = "GlobalAveragePooling2D"
            layer["config"] = {"name": layer["name"], "trainable": True, "data_format": "channels_last"}
    target = os.path.join(out, "any")
    os.makedirs(target, exist_ok=True)
    for name in os.listdir(folder):
        if name != "model.json":
            shutil.copy(os.path.join(folder, name), target)
    with open(os.path.join(target, "model.json"), "w") as f:
        json.dump(spec, f)


def main():
    folder, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    model = keras_model(folder)
    model.save(os.path.join(out, "model.h5"), save_format="h5", include_optimizer=False)
    ops, arrays = operations(model)
    to_onnx(ops, arrays, model.input_shape[1], os.path.join(out, "model.onnx"))
    np.savez(os.path.join(out, "arrays.npz"), **arrays)
    with open(os.path.join(out, "ops.json"), "w") as f:
        json.dump(ops, f)
    any_size(folder, ops, arrays, out)


if __name__ == "__main__":
    main()
