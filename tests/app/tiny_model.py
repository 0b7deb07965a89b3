"""A small TensorFlow.js layers model, images and arrays, written with the standard library alone."""
import json
import pathlib
import random
import struct
import zlib

SIZE = 32


def layer(class_name, name, config, inputs):
    return {"class_name": class_name, "name": name, "config": {"name": name, **config},
            "inbound_nodes": [[[i, 0, 0, {}] for i in inputs]] if inputs else []}


def conv(name, filters, stride, inputs):
    return layer("Conv2D", name, {"filters": filters, "kernel_size": [3, 3], "strides": [stride, stride], "padding": "same",
                                  "activation": "relu", "use_bias": True}, inputs)


def write_model(folder, classes=3, activation="softmax", bad_value=None, scale=1.0, head=None, rescale=None):
    """input 32x32x3 [-> rescaling] -> conv a (stride 2) -> conv b -> global average -> dense.

    bad_value: one weight of a; scale: of the dense kernel; head: every value of the dense kernel."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layers = [layer("InputLayer", "image", {"batch_input_shape": [None, SIZE, SIZE, 3], "dtype": "float32"}, []),
              conv("a", 8, 2, ["image"]), conv("b", 16, 1, ["a"]),
              layer("GlobalAveragePooling2D", "pool", {}, ["b"]),
              layer("Dense", "scores", {"units": classes, "activation": activation, "use_bias": True}, ["pool"])]
    if rescale:
        layers.insert(1, layer("Rescaling", "rescaling", {"scale": rescale[0], "offset": rescale[1]}, ["image"]))
        layers[2]["inbound_nodes"][0][0][0] = "rescaling"
    shapes = {"a/kernel": [3, 3, 3, 8], "a/bias": [8], "b/kernel": [3, 3, 8, 16], "b/bias": [16],
              "scores/kernel": [16, classes], "scores/bias": [classes]}
    rng = random.Random(7)
    data = b""
    for name, shape in shapes.items():
        count = 1
        for d in shape:
            count *= d
        values = [rng.uniform(-0.5, 0.5) * (scale if name == "scores/kernel" else 1) for _ in range(count)]
        if head is not None and name == "scores/kernel":
            values = [head] * count
        if bad_value is not None and name == "a/kernel":
            values[5] = bad_value
        data += struct.pack(f"<{count}f", *values)
    model = {"modelTopology": {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": {
        "class_name": "Functional", "config": {"name": "tiny", "layers": layers, "input_layers": [["image", 0, 0]],
                                               "output_layers": [["scores", 0, 0]]}}},
             "weightsManifest": [{"paths": ["weights.bin"], "weights": [
                 {"name": n, "shape": s, "dtype": "float32"} for n, s in shapes.items()]}]}
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "weights.bin").write_bytes(data)
    return folder


def write_rows(path, width, height, depth, colour, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
                                   chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def write_png(path, width, height, seed=1):
    """RGB noise over a gradient."""
    rng = random.Random(seed)
    write_rows(path, width, height, 8, 2, [
        bytes((x * 255 // width + rng.randrange(40)) % 256 for x in range(width) for _ in range(3)) for _ in range(height)])


def write_deep_png(path, width, height, low, high, seed=1):
    """Grey noise of 16 bits."""
    rng = random.Random(seed)
    write_rows(path, width, height, 16, 0,
               [struct.pack(f">{width}H", *(rng.randrange(low, high) for _ in range(width))) for _ in range(height)])


def write_npy(path, shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    pathlib.Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                                   struct.pack(f"<{len(values)}f", *values))


def read_npy(path):
    data = pathlib.Path(path).read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return list(struct.unpack(f"<{(len(data) - start) // 4}f", data[start:]))
