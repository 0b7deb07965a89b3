#!/usr/bin/env python3
"""Turns the models of the npm package nsfwjs (MIT) into TF.js layers models that netgaze reads.

The package carries each model as minified JavaScript: one file whose module exports the model.json object,
and shards that export base64 texts. This writes model.json, the shards as .bin files in their order, and
netgaze.json with the labels and the preprocessing. Standard library only.

    npm pack nsfwjs
    fetch-nsfwjs.py nsfwjs-4.3.0.tgz FOLDER --model inception_v3
"""
import argparse
import base64
import json
import pathlib
import re
import sys
import tarfile

# The order of nsfwjs's own NSFW_CLASSES.
LABELS = ["Drawing", "Hentai", "Neutral", "Porn", "Sexy"]
MODELS = ("inception_v3", "mobilenet_v2", "mobilenet_v2_mid")

TOKEN = re.compile(r"""
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<bool>![01])
  | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<key>[A-Za-z_$][\w$]*)(?=\s*:)
  | (?P<word>true|false|null)
  | (?P<mark>[{}\[\],:])
  | (?P<space>\s+)
""", re.X)


def object_literal(source, start):
    """The JavaScript object that begins at source[start] as a Python value."""
    out, depth, at = [], 0, start
    while True:
        token = TOKEN.match(source, at)
        if not token:
            raise ValueError(f"unexpected JavaScript at byte {at}: {source[at:at + 40]!r}")
        kind, text, at = token.lastgroup, token.group(), token.end()
        if kind == "string" and text[0] == "'":
            text = json.dumps(text[1:-1].replace("\\'", "'"))
        elif kind == "bool":
            text = "true" if text == "!0" else "false"
        elif kind == "number":  # JSON wants a digit on both sides of the point
            text = re.sub(r"^(-?)\.", r"\g<1>0.", text)
            text = re.sub(r"\.(?=$|[eE])", ".0", text)
        elif kind == "key":
            text = json.dumps(text)
        out.append(text)
        if kind == "mark":
            depth += (text in "{[") - (text in "}]")
            if depth == 0:
                return json.loads("".join(out))


def exported(source, what):
    """Index just behind the module's `exports =`."""
    found = re.search(r"\.exports\s*=\s*(?=%s)" % what, source)
    if not found:
        raise ValueError("no exported value found; is this another version of the package?")
    return found.end()


def read(archive, name):
    try:
        return archive.extractfile(f"package/dist/models/{name}").read().decode("utf-8")
    except KeyError:
        raise ValueError(f"the package has no dist/models/{name}") from None


def shard_bytes(source):
    found = re.search(r'"([A-Za-z0-9+/=]+)"', source[exported(source, '"'):])
    return base64.b64decode(found.group(1), validate=True)


def convert(package, folder, model):
    with tarfile.open(package) as archive:
        source = read(archive, f"{model}/model.min.js")
        topology = object_literal(source, exported(source, r"\{\s*[\"'a-zA-Z]"))
        if topology.get("format", "layers-model") != "layers-model":
            raise ValueError(f"{model} is a TF.js {topology['format']}; its layers cannot be read back. "
                             "Use inception_v3 or mobilenet_v2")
        folder.mkdir(parents=True, exist_ok=True)
        total = 0
        for group in topology["weightsManifest"]:
            for i, path in enumerate(group["paths"]):
                data = shard_bytes(read(archive, f"{model}/{pathlib.PurePosixPath(path).name}.min.js"))
                group["paths"][i] = f"{pathlib.PurePosixPath(path).name}.bin"
                (folder / group["paths"][i]).write_bytes(data)
                total += len(data)
    (folder / "netgaze.json").write_text(json.dumps({"labels": LABELS, "preprocess": "unit"}, indent=2) + "\n")
    (folder / "model.json").write_text(json.dumps(topology))
    weights = sum(len(group["weights"]) for group in topology["weightsManifest"])
    print(f"{folder}: {weights} weights, {total} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", type=pathlib.Path, help="nsfwjs-*.tgz, from `npm pack nsfwjs`")
    parser.add_argument("folder", type=pathlib.Path, help="where the model goes")
    parser.add_argument("--model", choices=MODELS, default="inception_v3")
    args = parser.parse_args()
    try:
        convert(args.package, args.folder, args.model)
    except (OSError, ValueError, tarfile.TarError) as error:
        sys.exit(f"{args.package}: {error}")


if __name__ == "__main__":
    main()
