#!/usr/bin/env python3
"""The table of bad input: what is wrong, how it is made, what is run and how it exits. What the program says stands in
docs/errors.md, word for word (* for the words of a library below, $ for the folder), and is read from there by
test_bad_input.py. After a change of words: bad_input.py PROGRAM > docs/errors.md, and read the difference."""
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import damage as d
import tiny_model

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "errors.md"
Case = collections.namedtuple("Case", "part name arguments code make foreign")
CASES = []
OUTPUT = ("-o", "$/out")


def add(part, name, make, *arguments, code, foreign=None):
    """foreign: a regular expression of words that are a library's or the system's own."""
    CASES.append(Case(part, name, arguments, code, make, foreign))


def model_file(name, file, make):
    add("Models", name, make, "explain", "$/" + file, "$/photo.png", *OUTPUT, code=3)


def tiny(name, make):
    model_file(name, "good", make)


def image(name, file, make, foreign=None):
    add("Images and arrays", name, make, "explain", "$/good", "$/" + file, *OUTPUT, code=1, foreign=foreign)


def other(part, name, make, *arguments, code, foreign=None):
    add(part, name, make, *arguments, code=code, foreign=foreign)


H5, KERAS = "h5/keras-2.2.4-flat.h5", "h5/keras-3.15.1-type-float64.keras"
RAW = "h5/raw-bad-"
for kind in ("h5", "keras"):
    model_file(f"no such .{kind} file", f"none.{kind}", d.nothing)
    model_file(f".{kind} file of 0 bytes", f"empty.{kind}", d.put(f"empty.{kind}"))
    model_file(f".{kind} file that is text", f"text.{kind}", d.put(f"text.{kind}", b"this is no model"))
    model_file(f"a folder called .{kind}", f"folder.{kind}", d.folder_called(f"folder.{kind}"))
model_file(".h5 file cut in the middle", "cut.h5", d.cut(H5, "cut.h5", 0.5))
model_file(".h5 file cut to its first 100 bytes", "cut.h5", d.cut(H5, "cut.h5", 0.001))
model_file(".h5 file with a flipped bit in its head", "flip.h5", d.flip(H5, "flip.h5", 13))
model_file(".h5 file with a flipped bit in a group", "flip.h5", d.flip(H5, "flip.h5", 0x60))
model_file(".keras file cut in the middle", "cut.keras", d.cut(KERAS, "cut.keras", 0.5))
model_file(".keras file with a flipped bit", "flip.keras", d.flip(KERAS, "flip.keras", 400))
for name, file in [
        ("a weight of the wrong shape", "shape.h5"), ("a missing weight", "missing-bias.h5"),
        ("a missing dataset", "missing-dataset.h5"), ("a missing layer", "missing-layer.h5"),
        ("a weight too many", "extra-weight.h5"), ("weights of another model", "other-model.h5"),
        ("weights that are integers", "integers.h5"), ("a weight that is NaN", "nan.h5"),
        ("a weight that is infinite", "infinite.h5"), ("no weights", "no-weights.h5"), ("no configuration", "no-config.h5"),
        ("a configuration that is no JSON", "not-json.h5"), ("JSON nested too deep", "deep.h5"),
        ("a layer of billions of weights", "huge.h5"), ("no configuration", "no-config.keras"),
        ("no weights", "no-weights.keras"), ("weights in NumPy's format", "npz.keras"), ("a zip bomb", "bomb.keras"),
        ("4 GB claimed", "claims.keras"), ("a wrong checksum", "flipped.keras"), ("encrypted", "encrypted.keras"),
        ("weights that are no HDF5", "not-hdf5.keras"), ("weights of 0 bytes", "empty-weights.keras"),
        ("damaged metadata", "metadata.keras")]:
    suffix = pathlib.Path(file).suffix
    model_file(f"{suffix}: {name}", file, d.take(RAW + file, file))
model_file(".h5: a tensor of 2 GB claimed", "claims.h5", d.take("h5/raw-claims.h5", "claims.h5"))
model_file(".h5: groups that contain themselves", "loop.h5", d.take("h5/raw-loop.h5", "loop.h5"))
model_file(".h5: data in another file", "external.h5", d.take("h5/raw-external-data.h5", "external.h5"))
model_file("a layer that is not supported", "model.keras",
           d.take("models/keras3.15_refused_transpose/model.keras", "model.keras"))
model_file("a Lambda layer", "model.keras", d.take("models/tf_keras2.21_refused_lambda/model.keras", "model.keras"))
model_file("a folder without a model", "empty", d.folder_called("empty"))
tiny("model.json of 0 bytes", d.model_json(""))
tiny("model.json cut in the middle", d.cut_model_json)
tiny("model.json that is a list", d.model_json("[1, 2]"))
tiny("model.json nested 100,000 deep", d.model_json("[" * 100000 + "]" * 100000))
tiny("model.json: layers in a circle", d.fed_by(a="b", b="a"))
tiny("model.json: a layer that feeds itself", d.fed_by(b="b"))
tiny("model.json: an input that is no layer", d.fed_by(b="nowhere"))
tiny("model.json: a class that is unknown", d.class_name("b", "Convolution5D"))
tiny("model.json: a kernel of a million columns", d.config("a", "kernel_size", [3, 1000000]))
tiny("model.json: strides of 0", d.config("a", "strides", [0, 0]))
tiny("model.json: negative filters", d.config("a", "filters", -8))
tiny("model.json: an input of a million by a million", d.config("image", "batch_input_shape", [None, 1000000, 1000000, 3]))
tiny("model.json: an unknown activation", d.config("a", "activation", "wobble"))
tiny("model.json: a tensor of 2 GB claimed", d.weight_shape("a/kernel", [3, 3, 7456540, 8]))
tiny("model.json: a tensor beyond all numbers", d.weight_shape("a/kernel", [2147483647, 2147483647, 2147483647, 8]))
tiny("model.json: a weight of the wrong shape", d.weight_shape("a/kernel", [3, 3, 8, 3]))
tiny("model.json: a negative dimension", d.weight_shape("a/kernel", [3, 3, -3, 8]))
tiny("model.json: a missing weight", d.without_weight("scores/bias"))
tiny("model.json: a shard outside of the folder", d.shard_named("../../../etc/passwd"))
tiny("a shard is missing", d.no_shard)
tiny("a shard is cut", d.resized_shard(-4))
tiny("a shard is too long", d.resized_shard(4))
tiny("a shard with flipped bits", d.flipped_shard)
tiny("a shard with a NaN", d.bad_weight(float("nan")))
tiny("a shard with an infinity", d.bad_weight(float("inf")))
add("Models", "--weights of another model", d.take(H5, "other.h5"), "explain", "$/good", "$/photo.png", "--weights",
    "$/other.h5", *OUTPUT, code=3)

image("no such image", "none.jpg", d.nothing)
image("JPEG cut in the middle", "cut.jpg", d.cut("images/photo.jpg", "cut.jpg", 0.5), foreign=r"(?<=damaged or truncated: ).*")
image("PNG cut in the middle", "cut.png", d.cut("images/photo.png", "cut.png", 0.5), foreign=r"(?<=damaged or truncated: ).*")
image("JPEG of 0 bytes", "empty.jpg", d.put("empty.jpg"))
image("text called .png", "text.png", d.put("text.png", b"this is no picture"))
image("PNG that claims 200,000 x 200,000 pixels", "huge.png", d.huge_png)
image("an array of 0 bytes", "x.npy", d.put("x.npy"))
image("an array that is cut", "x.npy", d.npy("(32, 32, 3)", size=3000))
image("an array of the wrong shape", "x.npy", d.npy("(16, 64, 3)"))
image("an array of float64", "x.npy", d.npy("(16, 32, 3)", kind="<f8"))
image("an array that claims terabytes", "x.npy", d.npy("(1000000, 1000, 1000, 3)"))
image("an array with a negative size", "x.npy", d.npy("(-32, 32, 3)"))

LABELS = ("classify", "$/good", "$/photo.png", "--labels", "$/labels.txt")
other("Labels and sidecars", "no such label file", d.nothing, *LABELS, code=2)
other("Labels and sidecars", "labels of another model", d.put("labels.txt", b"cat\ndog\n"), *LABELS, code=3)
other("Labels and sidecars", "label file of 0 bytes", d.put("labels.txt"), *LABELS, code=3)
other("Labels and sidecars", "labels that are damaged JSON", d.put("labels.json", b'["cat", '), *LABELS[:-1],
      "$/labels.json", code=3)
RENDER = ("render", "$/out/photo.b.gradcam.1.json", "-o", "$/again")
other("Labels and sidecars", "no such sidecar", d.nothing, "render", "$/none.json", "-o", "$/again", code=1)
other("Labels and sidecars", "a folder in the place of sidecars", d.folder_called("maps"), "render", "$/maps", "-o",
      "$/again", code=1)
other("Labels and sidecars", "sidecar cut in the middle", d.cut_sidecar, *RENDER, code=1)
other("Labels and sidecars", "the raw map is gone", d.no_raw_map, *RENDER, code=1)
other("Labels and sidecars", "the photograph is gone", d.no_photo, *RENDER, code=1)

GOOD = ("explain", "$/good", "$/photo.png", "-o")
other("Results", "the output is a file", d.put("file"), *GOOD, "$/file", code=4)
other("Results", "the output lies in a file", d.put("file"), *GOOD, "$/file/out", code=4)
other("Results", "the output cannot be made", d.nothing, *GOOD, "/proc/netgaze", code=4)


# ---- Running it ------------------------------------------------------------------------------------------------------


def prepare(case, folder, program):
    """The case's folder as it is before the run."""
    tiny_model.write_model(folder / "good")
    tiny_model.write_png(folder / "photo.png", 40, 30)
    if getattr(case.make, "wants_results", False):
        subprocess.run([program, "explain", folder / "good", folder / "photo.png", "-o", folder / "out", "-q"], check=True,
                       stdout=subprocess.DEVNULL)
    case.make(folder)


def run(case, folder, program):
    """Exit code, what was said with $ for the folder and * for foreign words, and standard output."""
    arguments = [a.replace("$", str(folder), 1) for a in case.arguments]
    done = subprocess.run([program, *arguments, "-q"], capture_output=True, text=True, timeout=120)
    said = done.stderr.replace(str(folder), "$")
    if case.foreign:
        said = re.sub(case.foreign, "*", said)
    return done.returncode, said, done.stdout


def recorded():
    """{(part, name): (code, message)} of docs/errors.md."""
    part, found = None, {}
    for line in DOCS.read_text().splitlines():
        if line.startswith("## "):
            part = line[3:]
        elif line.startswith("| ") and "`" in line:
            name, code, message = re.fullmatch(r"\| (.*?) \| (\d) \| `(.*)` \|", line).groups()
            found[part, name] = int(code), message.replace("\\|", "|")
    return found


HEAD = """# What bad input is answered with

One line on standard error, an exit code, and nothing half-written. `$` is the folder of the files, `*` stands for words
that a library or the system chose. Exit codes: 1 some images failed, 2 wrong usage, 3 the model cannot be used, 4 the
surroundings (nowhere to write, no memory). A full disk, a full device and a limit of file sizes exit with 4 as well. Where
netgaze's own memory cannot be had, it says so; GLib, which pictures are drawn with, ends the program in that case.

Printed by `tests/app/bad_input.py PROGRAM`, which makes each case; `tests/app/test_bad_input.py` holds the program to it.
"""


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    print(HEAD, end="")
    part = None
    for case in CASES:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="netgaze-bad-"))
        prepare(case, folder, program)
        code, said, _ = run(case, folder, program)
        if code != case.code or said.count("\n") != 1:
            print(f"{case.name}: exit {code}, expected {case.code}: {said!r}", file=sys.stderr)
        if case.part != part:
            part = case.part
            print(f"\n## {part}\n\n| what is wrong | exit | what is said |\n|---|---|---|")
        message = said.rstrip("\n").removeprefix("netgaze: ").replace("|", "\\|")
        print(f"| {case.name} | {code} | `{message}` |")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
