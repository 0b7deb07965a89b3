#!/usr/bin/env python3
"""Whether Keras 3, tf_keras and TensorFlow.js load what netgaze writes, and compute the same.

    scripts/parity.sh save
    python scripts/parity_save.py --netgaze build/release/netgaze --tfjs FOLDER --only mobile,shared
    python scripts/parity_save.py --netgaze build/release/netgaze --tfjs FOLDER --model web/model.json
    scripts/parity.sh save --train BASE DATA [--base-layer mixed7] [--unfreeze mixed6]

Needs scripts/parity-requirements.txt, and with --tfjs a folder in which `npm install @tensorflow/tfjs` was run (its plain
JavaScript back end is used). Every model of tests/fixtures/models (outputs by the Keras that saved it, in float64), or
each --model (outputs by TensorFlow.js from the model itself), is written by `netgaze convert`:
  keras   .keras           loaded by Keras 3
  h5      .h5              loaded by Keras 3 and tf_keras
  tfjs    float32          loaded by TensorFlow.js
  float16, uint8           loaded by TensorFlow.js, against the same weights as netgaze reads them: written once more as
                           .keras, loaded by Keras 3
With --train a network that `netgaze train` makes of BASE and DATA, and itself writes in each format: a head and, for an epoch,
what lies behind --unfreeze. Compared are logits with those of `netgaze classify` (of peers, logarithms of probabilities; both
less their mean) on --images of DATA, which Pillow reads for the peers.
Outputs may differ by 1e-4 of the largest. What netgaze refuses to write is counted, with its words. Fixtures that netgaze must
refuse to read, those of an open input size and those of several inputs or outputs are left out.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
# (target, loader) -> endings of fixtures that the loader does not read from such a file even if it has written it itself.
# Keras 3.15 takes the last of a LayerNormalization's several axes when it reads .h5.
NOT_ITS_OWN = {("h5", "keras3"): ("_layer_ln_hwc", "_layer_ln_wc")}


# ---- Loaders: a list of jobs {model, input, output} in a process each ----------------------------------------------------


def load_keras(kind, jobs):
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="")
    if kind == "keras3":
        import keras
    else:
        import tf_keras as keras
    for job in jobs:
        try:
            model = keras.models.load_model(job["model"], compile=False)
            output = model(np.load(job["input"]).astype("float32"), training=False)
            while isinstance(output, (list, tuple)):
                output = output[0]
            np.save(job["output"], np.asarray(output))
        except Exception as error:  # whatever the peer throws is the result
            pathlib.Path(job["output"] + ".error").write_text("%s: %s" % (type(error).__name__, error))
        keras.backend.clear_session()


TFJS = """
const fs = require('fs'), path = require('path');
const tf = require(path.join(process.argv[2], 'node_modules/@tensorflow/tfjs'));
const slice = b => b.buffer.slice(b.byteOffset, b.byteOffset + b.length);
async function run(job) {
  const json = JSON.parse(fs.readFileSync(job.model + '/model.json'));
  const specs = [], shards = [];
  for (const group of json.weightsManifest) {
    specs.push(...group.weights);
    for (const p of group.paths) shards.push(fs.readFileSync(path.join(job.model, p)));
  }
  const model = await tf.loadLayersModel(tf.io.fromMemory(
      {modelTopology: json.modelTopology, weightSpecs: specs, weightData: slice(Buffer.concat(shards))}));
  const x = tf.tensor(new Float32Array(slice(fs.readFileSync(job.raw))), job.shape);
  let y = model.predict(x);
  while (Array.isArray(y)) y = y[0];
  fs.writeFileSync(job.output + '.raw', Buffer.from((await y.data()).buffer));
  model.dispose();
}
(async () => {
  await tf.setBackend('cpu');
  for (const job of JSON.parse(fs.readFileSync(process.argv[3]))) {
    try { await run(job); } catch (e) { fs.writeFileSync(job.output + '.error', String(e.message || e)); }
  }
})();
"""


def load_tfjs(folder, jobs, work):
    for job in jobs:
        x = np.load(job["input"]).astype("float32")
        job["raw"], job["shape"] = job["output"] + ".in", list(x.shape)
        x.tofile(job["raw"])
    (work / "load.js").write_text(TFJS)
    (work / "jobs.json").write_text(json.dumps(jobs))
    subprocess.run(["node", work / "load.js", pathlib.Path(folder).resolve(), work / "jobs.json"], check=True,
                   capture_output=True)
    for job in jobs:
        if os.path.exists(job["output"] + ".raw"):
            y = np.fromfile(job["output"] + ".raw", "float32")
            np.save(job["output"], y.reshape(job["shape"][0], -1))


def load(kind, jobs, options, work):
    """Fills job["output"] + ".npy"."""
    for i, job in enumerate(jobs):
        job["output"] = str(work / ("%s-%d" % (kind, i)))
    if not jobs:
        return
    if kind == "tfjs":
        return load_tfjs(options.tfjs, jobs, work)
    (work / (kind + ".json")).write_text(json.dumps(jobs))
    subprocess.run([sys.executable, __file__, "--load", kind, str(work / (kind + ".json"))], check=True, capture_output=True)


def result(job):
    """The output, or the words of a failure."""
    error = pathlib.Path(job["output"] + ".error")
    return error.read_text() if error.exists() else np.load(job["output"] + ".npy")


# ---- Cases ---------------------------------------------------------------------------------------------------------------


def fixtures(only):
    for folder in sorted((ROOT / "tests/fixtures/models").iterdir()):
        lines = [line.split(" ", 1) for line in (folder / "case.txt").read_text().splitlines()]
        files = [value for key, value in lines if key == "model"]
        if any(key in ("refused", "size", "image", "output") for key, _ in lines) or (only and not any(o in folder.name for o in only)):
            continue
        expected = np.load(folder / "output.npy")
        yield {"name": folder.name, "file": folder / files[0], "input": folder / "input.npy", "expected": expected}


def given(paths, options, work):
    """TensorFlow.js layers models, each on two inputs of noise; what TensorFlow.js makes of the model is what is expected."""
    for i, path in enumerate(map(pathlib.Path, paths)):
        side = options.side
        x = np.random.default_rng(20240607).uniform(-1, 1, (2, side, side, 3)).astype("float32")
        np.save(work / ("given%d.npy" % i), x)
        job = {"model": str(path.parent if path.is_file() else path), "input": str(work / ("given%d.npy" % i))}
        load("tfjs", [job], options, work)
        yield {"name": str(path), "file": path, "input": work / ("given%d.npy" % i), "expected": result(job)}


def logits_of(probabilities):
    """But for a constant of each row."""
    logits = np.log(np.asarray(probabilities, "float64"))
    return logits - logits.mean(axis=1, keepdims=True)


def classify(options, model, images):
    done = subprocess.run([options.netgaze, "classify", model, *images, "--json", "--top", "1000", "-q", "--no-cache"],
                          capture_output=True, text=True, check=True)
    rows = [sorted((p["index"], p["logit"]) for p in json.loads(line)["predictions"]) for line in done.stdout.splitlines()]
    logits = np.array(rows)[:, :, 1]
    return logits - logits.mean(axis=1, keepdims=True)


def trained(base, data, options, work):
    """One case: what netgaze train has written in each format."""
    from PIL import Image
    images = sorted(p for p in pathlib.Path(data).rglob("*") if p.suffix in (".jpg", ".png"))
    images = images[::max(1, len(images) // options.images)][:options.images]
    written = {"keras": work / "trained.keras", "h5": work / "trained.h5", "tfjs": work / "trained"}
    for path in written.values():
        subprocess.run([options.netgaze, "train", base, data, "-o", path, "--base-layer", options.base_layer, "--epochs", "5",
                        "--unfreeze", options.unfreeze, "--fine-epochs", "1", "--fine-rate", "0.0001", "--no-report",
                        "--no-duplicates", "-q", "--features", work / "features"], check=True, stdout=subprocess.DEVNULL)
    size = (options.side, options.side)
    x = np.array([np.asarray(Image.open(p).convert("RGB").resize(size, Image.Resampling.BILINEAR), "float32") for p in images])
    np.save(work / "images.npy", x / 255 if options.preprocess == "unit" else x / 127.5 - 1)
    yield {"name": "trained", "file": written["keras"], "written": written, "input": work / "images.npy",
           "expected": classify(options, written["keras"], images), "of": logits_of}


# ---- The comparison ------------------------------------------------------------------------------------------------------


def convert(options, source, target, *more):
    """None, or why it was refused."""
    done = subprocess.run([options.netgaze, "convert", source, target, "-q", "--no-cache", *more], capture_output=True, text=True)
    if done.returncode == 3 and "cannot be written" in done.stderr:
        return done.stderr.strip()
    if done.returncode:
        raise SystemExit("convert %s: %s" % (source, done.stderr))
    return None


def difference(found, expected):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    if expected.ndim == 2 and expected.shape[1] == 2 and found.size == expected.shape[0]:
        expected = expected[:, 1:]  # one sigmoid: fixtures keep both classes
    if found.size != expected.size:
        return float("inf")
    top = np.abs(expected).max()
    return float(np.abs(found.ravel() - expected.ravel()).max() / (top if top > 0 else 1))


def compare(cases, options, work):
    jobs = collections.defaultdict(list)  # loader -> jobs
    rows = []  # (target, loader, case, job, job to compare with)
    refused = collections.defaultdict(list)
    for i, case in enumerate(cases):
        for target, ending, more in [("keras", ".keras", ()), ("h5", ".h5", ()), ("tfjs", "", ()),
                                     ("float16", "", ("--dtype", "float16")), ("uint8", "", ("--dtype", "uint8"))]:
            if target not in options.targets.split(","):
                continue
            out = case.get("written", {}).get(target)
            why = None
            if not out:
                out = work / ("%d-%s%s" % (i, target, ending))
                why = convert(options, case["file"], out, *more)
            if why:
                refused[target].append((case["name"], why))
                continue
            loaders = {"keras": ["keras3"], "h5": ["keras3", "tf_keras"]}.get(target, ["tfjs"])
            same = None
            if target in ("float16", "uint8"):
                back = work / ("%d-%s-back.keras" % (i, target))
                if convert(options, out, back):
                    continue
                same = {"model": str(back), "input": str(case["input"])}
                jobs["keras3"].append(same)
            for loader in loaders:
                if loader == "tfjs" and not options.tfjs:
                    continue
                job = {"model": str(out), "input": str(case["input"])}
                jobs[loader].append(job)
                rows.append((target, loader, case, job, same))
    for loader in jobs:
        load(loader, jobs[loader], options, work)
    return report(rows, refused)


def report(rows, refused):
    table = collections.OrderedDict()  # (target, loader) -> [models, same, worst, failures]
    for target, loader, case, job, same in rows:
        entry = table.setdefault((target, loader), [0, 0, 0.0, []])
        found = result(job)
        if isinstance(found, str) and case["name"].endswith(NOT_ITS_OWN.get((target, loader), ())):
            print("%s does not read %s, nor what it writes itself: %s" % (loader, case["name"], found[:100].replace("\n", " ")))
            continue
        expected = result(same) if same else case["expected"]
        entry[0] += 1
        if isinstance(found, str) or isinstance(expected, str):
            entry[3].append((case["name"], (found if isinstance(found, str) else expected)[:300].replace("\n", " ")))
            continue
        of = case.get("of", lambda outputs: outputs)
        off = difference(of(found), of(expected) if same else expected)
        if off <= TOLERANCE:
            entry[1] += 1
            entry[2] = max(entry[2], off)
        else:
            entry[3].append((case["name"], "outputs differ by %.3g" % off))
    print("\n| written as | loaded by | models | the same | worst difference | refused by netgaze |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (target, loader), (n, good, worst, _) in table.items():
        print("| %s | %s | %d | %d | %.1e | %d |" % (target, loader, n, good, worst, len(refused[target])))
    for (target, loader), (_, _, _, failures) in table.items():
        for name, words in failures:
            print("OUT %s %s %s: %s" % (target, loader, name, words))
    for target, names in refused.items():
        for name, words in names:
            print("refused %s %s: %s" % (target, name, words))
    return sum(len(entry[3]) for entry in table.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netgaze", default=str(ROOT / "build/release/netgaze"))
    parser.add_argument("--tfjs", help="folder with node_modules/@tensorflow/tfjs")
    parser.add_argument("--only", default="", help="parts of names of fixtures, by commas")
    parser.add_argument("--targets", default="keras,h5,tfjs,float16,uint8")
    parser.add_argument("--model", action="append", help="a TensorFlow.js layers model, in the place of the fixtures")
    parser.add_argument("--side", type=int, default=299, help="input side of each --model, and of BASE")
    parser.add_argument("--train", nargs=2, metavar=("BASE", "DATA"), help="a network that is trained, in the place of the fixtures")
    parser.add_argument("--images", type=int, default=2, help="TensorFlow.js takes a minute for each")
    parser.add_argument("--base-layer", default="mixed7")
    parser.add_argument("--unfreeze", default="mixed6")
    parser.add_argument("--preprocess", default="unit", choices=["unit", "tf"], help="BASE's own")
    parser.add_argument("--work", default=str(ROOT / "build/parity/save"))
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load_keras(options.load[0], json.loads(pathlib.Path(options.load[1]).read_text()))
        return 0
    work = pathlib.Path(options.work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    only = [o for o in options.only.split(",") if o]
    cases = list(trained(*options.train, options, work) if options.train else
                 given(options.model, options, work) if options.model else fixtures(only))
    print("%d models" % len(cases), flush=True)
    return 1 if compare(cases, options, work) else 0


if __name__ == "__main__":
    sys.exit(main())
