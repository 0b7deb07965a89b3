#!/usr/bin/env python3
"""netgaze convert. Usage: test_convert.py PROGRAM"""
import json
import pathlib
import resource
import zipfile

import program
import tiny_model
from program import ProgramTest, lines, run


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


class Convert(ProgramTest):
    def setUp(self):
        super().setUp()
        self.labels = self.folder / "labels.txt"
        self.labels.write_text("cat\ndog \"x\"/y\nvögel\n")

    def scores(self, model):
        rows = lines(run("classify", model, self.photos, "--json", "-q", "--top", 0))
        return [[(k["label"], k["probability"]) for k in row["predictions"]] for row in rows]

    def test_every_format_classifies_alike_and_keeps_labels_and_preprocessing(self):
        first = self.folder / "m.keras"
        run("convert", self.model, first, "--labels", self.labels, "--preprocess", "torch")
        wanted = self.scores(first)
        self.assertEqual({label for label, _ in wanted[0]}, {"cat", 'dog "x"/y', "vögel"})
        for source, name in [(first, "m.h5"), (self.folder / "m.h5", "web"), (self.folder / "web", "again.keras")]:
            run("convert", source, self.folder / name)
            self.assertEqual(self.scores(self.folder / name), wanted, name)
            self.assertIn("torch", run("classify", self.folder / name, self.photos).stderr)
        self.assertEqual(first.read_bytes(), (self.folder / "again.keras").read_bytes())

    def test_a_members_names_are_keras(self):
        run("convert", self.model, self.folder / "m.keras", "-q")
        with zipfile.ZipFile(self.folder / "m.keras") as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(z.namelist(), ["metadata.json", "config.json", "model.weights.h5", "netgaze.json"])
            self.assertEqual(json.loads(z.read("config.json"))["class_name"], "Functional")

    def test_quantised_models_are_smaller(self):
        sizes = {}
        for dtype in ("float32", "float16", "uint8"):
            row, = lines(run("convert", self.model, self.folder / dtype, "--dtype", dtype, "--json", "-q"))
            sizes[dtype] = sum(p.stat().st_size for p in (self.folder / dtype).glob("*.bin"))
            self.assertEqual((row["dtype"], row["output"]), (dtype, str(self.folder / dtype)))
            self.assertEqual(row["bytes"], sum(p.stat().st_size for p in (self.folder / dtype).iterdir()))
            self.assertEqual(len(self.scores(self.folder / dtype)), 3)
        self.assertEqual((sizes["float16"] * 2, sizes["uint8"] * 4), (sizes["float32"], sizes["float32"]))

    def test_what_is_said(self):
        text = run("convert", self.model, self.folder / "m.h5").stdout
        self.assertRegex(text, r"m\.h5: \d+ parameters, \d+\.\d MB")
        self.assertEqual(run("convert", self.model, self.folder / "m.h5", "-q").stdout, "")

    def test_wrong_usage_and_failures(self):
        out = self.folder / "m.keras"
        for arguments, words in [((self.model,), "are expected"), ((self.model, out, "x"), "'x' is too many"),
                                 ((self.model, out, "--format", "onnx"), "expected keras, h5 or tfjs"),
                                 ((self.model, out, "--dtype", "int8"), "did you mean 'uint8'"),
                                 ((self.model, out, "--dtype", "uint8"), "TensorFlow.js models only")]:
            self.assertIn(words, run("convert", *arguments, code=2).stderr)
        self.assertIn("No such file", run("convert", self.model, self.folder / "none" / "m.keras", code=4).stderr)
        self.assertIn("is there already", run("convert", self.model, self.photos, code=4).stderr)
        self.assertIn("not a model", run("convert", self.labels, out, code=3).stderr)
        self.assertIn("File too large", run("convert", self.model, out, code=4, preexec_fn=small_files).stderr)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["labels.txt", "model", "photos"])

    def test_a_layer_that_a_target_has_not(self):
        model = tiny_model.write_model(self.folder / "odd")
        path = pathlib.Path(model)
        path = path / "model.json" if path.is_dir() else path
        text = json.loads(path.read_text())
        layers = json.dumps(text).replace('"activation": "relu"', '"activation": "log_sigmoid"')
        path.write_text(layers)
        self.assertIn("cannot be written: TensorFlow.js has no layer for it (log_sigmoid)",
                      run("convert", model, self.folder / "web", code=3).stderr)
        self.assertFalse((self.folder / "web").exists())
        run("convert", model, self.folder / "m.keras")


if __name__ == "__main__":
    program.main()
