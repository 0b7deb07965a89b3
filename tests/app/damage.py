"""Ways to make bad input. Each function gives a function of the case's folder, which holds good/ (a small model) and
photo.png when it is called."""
import json
import pathlib
import shutil
import struct
import zlib

import tiny_model

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def nothing(folder):
    pass


def take(source, name):
    return lambda folder: shutil.copy(FIXTURES / source, folder / name)


def cut(source, name, share):
    def make(folder):
        data = (FIXTURES / source).read_bytes()
        (folder / name).write_bytes(data[:int(len(data) * share)])
    return make


def flip(source, name, byte, mask=0x10):
    def make(folder):
        data = bytearray((FIXTURES / source).read_bytes())
        data[byte] ^= mask
        (folder / name).write_bytes(data)
    return make


def put(name, content=b""):
    return lambda folder: (folder / name).write_bytes(content)


def folder_called(name):
    return lambda folder: (folder / name).mkdir()


def several(*makes):
    def make(folder):
        for m in makes:
            m(folder)
    return make


# ---- The small model, a TensorFlow.js one ----------------------------------------------------------------------------


def edited(change):
    """Its model.json changed: `change` gets the layers by name, the weights by name and the whole file."""
    def make(folder):
        path = folder / "good" / "model.json"
        model = json.loads(path.read_text())
        layers = {layer["name"]: layer for layer in model["modelTopology"]["model_config"]["config"]["layers"]}
        weights = {weight["name"]: weight for weight in model["weightsManifest"][0]["weights"]}
        change(layers, weights, model)
        path.write_text(json.dumps(model))
    return make


def config(layer, key, value):
    def change(layers, weights, model):
        layers[layer]["config"][key] = value
    return edited(change)


def class_name(layer, value):
    def change(layers, weights, model):
        layers[layer]["class_name"] = value
    return edited(change)


def fed_by(**sources):
    def change(layers, weights, model):
        for layer, source in sources.items():
            layers[layer]["inbound_nodes"] = [[[source, 0, 0, {}]]]
    return edited(change)


def weight_shape(name, shape):
    def change(layers, weights, model):
        weights[name]["shape"] = shape
    return edited(change)


def without_weight(name):
    return edited(lambda layers, weights, model: model["weightsManifest"][0]["weights"].remove(weights[name]))


def shard_named(name):
    def change(layers, weights, model):
        model["weightsManifest"][0]["paths"] = [name]
    return edited(change)


def resized_shard(by):
    def make(folder):
        path = folder / "good" / "weights.bin"
        data = path.read_bytes()
        path.write_bytes(data[:by] if by < 0 else data + bytes(by))
    return make


def flipped_shard(folder):
    """The highest bit of the exponent of the first weight: 0.1 becomes 10^37."""
    path = folder / "good" / "weights.bin"
    data = bytearray(path.read_bytes())
    data[3] |= 0x7F
    data[2] |= 0x80
    path.write_bytes(data)


def no_shard(folder):
    (folder / "good" / "weights.bin").unlink()


def bad_weight(value):
    def make(folder):
        shutil.rmtree(folder / "good")
        tiny_model.write_model(folder / "good", bad_value=value)
    return make


def model_json(content):
    return lambda folder: (folder / "good" / "model.json").write_text(content)


def cut_model_json(folder):
    path = folder / "good" / "model.json"
    path.write_text(path.read_text()[:700])


# ---- Images and arrays -----------------------------------------------------------------------------------------------


def huge_png(folder):
    """A picture of four pixels that claims 200,000 x 200,000 of them."""
    path = folder / "huge.png"
    tiny_model.write_png(path, 2, 2)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 200000, 200000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)


def npy(shape, kind="<f4", size=None, values=None):
    def make(folder):
        header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
        data += struct.pack("<3072f", *([values] * 3072)) if values is not None else bytes(4 * 3072)
        (folder / "x.npy").write_bytes(data if size is None else data[:size])
    return make


# ---- Results of an earlier run ---------------------------------------------------------------------------------------

def explained(change):
    """`change` gets the folder of results that an earlier, whole run left: run by the test before."""
    change.wants_results = True
    return change


@explained
def cut_sidecar(folder):
    path = next((folder / "out").glob("*.json"))
    path.write_text(path.read_text()[:200])


@explained
def no_raw_map(folder):
    next((folder / "out").glob("*.npy")).unlink()


@explained
def no_photo(folder):
    (folder / "photo.png").unlink()
