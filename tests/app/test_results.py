#!/usr/bin/env python3
"""What classify, explain and render print and write: the contract that scripts rely on. Usage: test_results.py PROGRAM"""
import json
import math
import os
import pathlib
import random
import shutil
import struct

import program
import tiny_model
from program import KINDS, ProgramTest, lines, run


def is_float32(value):
    """Whether the number that was printed gives back a float32 exactly."""
    return float(f"{struct.unpack('<f', struct.pack('<f', value))[0]:.9g}") == value


def pearson(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    x, y = [v - mean_a for v in a], [v - mean_b for v in b]
    dot = lambda u, v: sum(p * q for p, q in zip(u, v))
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


class Results(ProgramTest):
    def write_array(self, n=None, seed=3):
        count = 3072 * (n or 1)
        values = [random.Random(seed).random() for _ in range(count)]
        shape = (32, 32, 3) if n is None else (n, 32, 32, 3)
        path = self.folder / f"x{n or ''}.npy"
        tiny_model.write_npy(path, shape, values)
        return path

    def test_classify_json(self):
        got = lines(run("classify", self.model, self.photos, "--json", "--top", 0))
        self.assertEqual([pathlib.Path(g["image"]).name for g in got], ["p0.png", "p1.png", "p2.png"])
        for g in got:
            self.assertEqual(list(g), ["image", "status", "predictions"])
            self.assertEqual(g["status"], "ok")
            p = g["predictions"]
            self.assertEqual(set(p[0]), {"index", "label", "probability", "logit"})
            self.assertEqual(sorted(x["index"] for x in p), [0, 1, 2])
            self.assertAlmostEqual(sum(x["probability"] for x in p), 1, places=6)
            self.assertEqual([x["probability"] for x in p], sorted((x["probability"] for x in p), reverse=True))
        self.assertEqual(len(lines(run("classify", self.model, self.photos, "--json", "--top", 1))[0]["predictions"]), 1)
        text = run("classify", self.model, self.photos).stdout
        self.assertEqual(len(text.splitlines()), 3 * (1 + 3))

    def test_several_methods_are_compared(self):
        got = self.explain(self.photos / "p0.png", "--method", "gradcam,hirescam,saliency", "-p", "reduce=l2")
        self.assertEqual([g["method"] for g in got], ["gradcam", "hirescam", "saliency"])
        layers = [g["layer"] for g in got]
        self.assertEqual(layers[0], layers[1])
        self.assertNotEqual(layers[0], layers[2])
        self.assertEqual(got[2]["shape"], [32, 32])
        self.assertNotIn("correlations", got[0])
        self.assertEqual(list(got[1]["correlations"]), [f"gradcam at {layers[0]}"])
        maps = [self.map_of(g) for g in got]
        self.assertAlmostEqual(got[1]["correlations"][f"gradcam at {layers[0]}"], pearson(maps[0], maps[1]), places=5)
        self.assertEqual(len(got[2]["correlations"]), 2)
        grids = list(self.out.glob("*.grid.png"))
        self.assertEqual([g.name for g in grids], ["p0.gradcam+hirescam+saliency.grid.png"])
        conventions = [json.loads(pathlib.Path(g["files"]["sidecar"]).read_text())["conventions"] for g in got]
        self.assertEqual([c["parameters"] for c in conventions], ["", "", "reduce=l2"])
        self.assertEqual([c["norm"] for c in conventions], ["max", "max", "percentile"])
        before = self.stamps()
        again = self.explain(self.photos / "p0.png", "--method", "gradcam,hirescam,saliency", "-p", "reduce=l2")
        self.assertEqual(again, got)
        self.assertEqual(self.stamps(), before)
        text = run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--method", "gradcam,saliency").stdout
        self.assertIn("correlation of the maps", text)
        for wrong in ("nothing=1", "reduce=l3"):
            run("explain", self.model, self.photos, "-o", self.out, "--method", "gradcam,saliency", "-p", wrong, code=2)

    def test_methods_that_must_agree_are_named(self):
        """Behind the pooled layer; not where the target makes them other methods, however near their maps are."""
        tiny_model.write_model(self.model, scale=0.05)  # probabilities that hardly differ: little curve in them
        averaged, linear = "cells are only averaged", "linear in the logits"
        for target, methods, layer, said in (("logit", "cam,gradcam,shapleycam", "b", averaged),
                                             ("logit", "gradcam,shapleycam", "a", linear),
                                             ("contrast", "cam,gradcam,hirescam", "b", averaged),
                                             ("rest", "cam,gradcam,shapleycam", "b", None), ("logit", "gradcam,layercam", "b", None)):
            text = run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--method", methods, "--target", target,
                       "--layer", layer, "--force").stderr
            self.assertEqual("must be equal" in text, said is not None, (target, methods))
            self.assertIn(said or "", text)

    def test_picture_formats(self):
        starts = {"jpg": b"\xff\xd8\xff", "webp": b"RIFF", "tif": b"II*\0", "png": b"\x89PNG"}
        for name, start in starts.items():
            got = self.explain(self.photos / "p0.png", "--picture-format", name)
            for kind in ("heatmap", "overlay", "figure"):
                path = pathlib.Path(got[0]["files"][kind])
                self.assertTrue(path.name.endswith(f".{kind}.{name}"))
                self.assertTrue(path.read_bytes().startswith(start))
        self.assertEqual(len(lines(run("classify", self.model, self.photos, self.out, "--json"))), 3)  # own results: none
        run("explain", self.model, self.photos, "-o", self.out, "--picture-format", "gif", code=2)

    def test_true_classes(self):
        labels = [g["predictions"][0]["label"] for g in lines(run("classify", self.model, self.photos, "--json"))]
        others = [next(f"class {i}" for i in range(3) if f"class {i}" != label) for label in labels]
        table = self.folder / "truth.csv"
        table.write_text(f'path,label\n"{self.photos}/p0.png",{others[0]}\np1.png,"{labels[1]}"\n')
        got = self.explain(self.photos, "--class", "true", "--truth", table, "--outputs", "sidecar", code=1)
        self.assertEqual([g.get("label") for g in got], [others[0], labels[1], None])
        self.assertEqual([g.get("index") for g in got], [g.get("true") for g in got])
        self.assertIn("true class", got[2]["error"])
        both = self.explain(self.photos, "--class", "predicted,true", "--truth", table, "--outputs", "sidecar")
        self.assertEqual([g["label"] for g in both], [labels[0], others[0], labels[1], labels[2]])
        folder = self.folder / others[0]
        folder.mkdir()
        shutil.copy(self.photos / "p0.png", folder)
        self.assertEqual(self.explain(folder, "--class", "true", "--truth", "folders")[0]["label"], others[0])
        table.write_text("p0.png\n")
        run("explain", self.model, self.photos, "-o", self.out, "--class", "true", "--truth", table, code=2)
        run("explain", self.model, self.photos, "-o", self.out, "--class", "true", code=2)

    def map_of(self, line):
        raw = pathlib.Path(line["files"]["raw"]).read_bytes()
        count = line["shape"][0] * line["shape"][1]
        return struct.unpack(f"<{count}f", raw[-4 * count:])

    def test_threads_and_batches_change_no_result(self):
        for i in range(12):
            tiny_model.write_png(self.photos / f"q{i:02}.png", 30 + i, 40, seed=i)
        (self.photos / "q05.png").write_bytes(b"no image")
        path = self.write_array(n=5)
        arguments = ("classify", self.model, self.photos, path, "--json", "--top", 0)
        wanted = lines(run(*arguments, "--threads", 1, code=1))
        self.assertEqual(len(wanted), 15 + 5)
        for options in [("-t", 4), ("-t", 1, "-b", 4), ("-t", 3, "-b", 3)]:
            got = lines(run(*arguments, *options, code=1))
            self.assertEqual([(g["image"], g.get("item"), g["status"]) for g in got],
                             [(g["image"], g.get("item"), g["status"]) for g in wanted])
            for a, b in zip(got, wanted):
                for x, y in zip(a.get("predictions", []), b.get("predictions", [])):
                    self.assertEqual(x["index"], y["index"])
                    self.assertAlmostEqual(x["logit"], y["logit"], places=5)

    def test_many_images_are_run_a_few_at_a_time_to_the_same_bytes(self):
        for i in range(35):
            tiny_model.write_png(self.photos / f"q{i:02}.png", 30 + i % 7, 40, seed=i)
        maps = []
        for options in [(), ("-b", 1), ("-b", 3)]:
            run("explain", self.model, self.photos, "-o", self.out, "-t", 1, "--force", "--layer", "a,b", "-q", *options)
            maps.append({p.name: p.read_bytes() for p in self.out.iterdir() if p.suffix in (".npy", ".png")})
        self.assertGreater(len(maps[0]), 2 * 35)
        self.assertEqual(maps[0], maps[1])
        self.assertEqual(maps[0], maps[2])

    def test_labels(self):
        labels = self.folder / "labels.txt"
        labels.write_text("cat\ndog, brown\nnödule\n")
        got = lines(run("classify", self.model, self.photos, "--json", "--labels", labels))
        self.assertEqual({x["label"] for x in got[0]["predictions"]}, {"cat", "dog, brown", "nödule"})
        photo = self.photos / "p0.png"
        for spec, wanted in [("nödule", [2]), ("dog, brown", [1]), ("2,cat", [2, 0]), ("all", [0, 1, 2])]:
            got = self.explain(photo, "--labels", labels, "--class", spec)
            self.assertEqual(sorted(g["index"] for g in got), sorted(wanted))
        best = lines(run("classify", self.model, photo, "--json"))[0]["predictions"][0]["index"]
        got = self.explain(photo, "--class", f"predicted,{best}")
        self.assertEqual([g["index"] for g in got], [best])
        self.assertEqual([g["index"] for g in self.explain(photo, "--class", f"predicted,{best}")], [best])
        labels.write_text("one\ntwo\n")
        self.assertIn("3 classes", run("classify", self.model, self.photos, "--labels", labels, code=3).stderr)

    def test_explain_writes_whole_sets(self):
        got = self.explain(self.photos, "--layer", "a,b", "--top", 2, "--grid")
        self.assertEqual(len(got), 3 * 2 * 2)
        keys = {"image", "method", "layer", "index", "label", "probability", "logit", "status", "shape", "min", "max", "files"}
        for g in got:
            self.assertTrue(keys <= set(g))
            self.assertEqual(set(g["files"]), KINDS)
            for path in g["files"].values():
                self.assertGreater(os.path.getsize(path), 0)
            raw = tiny_model.read_npy(g["files"]["raw"])
            self.assertEqual(g["shape"], [16, 16])
            self.assertEqual(len(raw), 256)
            self.assertTrue(is_float32(g["logit"]) and is_float32(g["max"]))
            self.assertEqual(struct.pack("<f", max(raw)), struct.pack("<f", g["max"]))
            self.assertEqual(struct.pack("<f", min(raw)), struct.pack("<f", g["min"]))
            self.assertGreaterEqual(min(raw), 0)
        name = pathlib.Path(got[0]["files"]["raw"]).name
        self.assertEqual(name, f"p0.a.gradcam.{got[0]['index']}.npy")
        self.assertEqual(len(list(self.out.glob("*.grid.png"))), 3)
        self.assert_no_partial_files()

    def test_the_sidecar_records_every_convention(self):
        g = self.explain(self.photos / "p0.png", "--fit", "crop", "--alpha", 0.3, "--colormap", "viridis")[0]
        sidecar = json.loads(pathlib.Path(g["files"]["sidecar"]).read_text(), parse_constant=program.refuse_constant)
        for key in g:
            if key not in ("probability", "logit", "min", "max"):
                self.assertEqual(sidecar[key], g[key])
        self.assertEqual(len(sidecar["model"]["hash"]), 32)
        self.assertEqual(sidecar["model"]["format"], "tfjs")
        self.assertEqual(sidecar["input"]["bytes"], os.path.getsize(self.photos / "p0.png"))
        c = sidecar["conventions"]
        self.assertEqual((c["fit"], c["alpha"], c["colormap"], c["target"], c["compat"], c["norm"]),
                         ("crop", 0.3, "viridis", "logit", "none", "max"))
        self.assertEqual(sidecar["preprocess"], {"mode": "tf", "origin": "assumed", "low": -1, "high": 1})
        geometry = sidecar["geometry"]
        self.assertEqual((geometry["image_width"], geometry["image_height"]), (40, 30))
        self.assertEqual((geometry["y0"], geometry["y1"]), (0, 30))
        self.assertAlmostEqual(geometry["x0"], 5, delta=0.5)
        self.assertAlmostEqual(geometry["x1"], 35, delta=0.5)
        self.assertEqual([max(v, 0) for v in map(float, sidecar["signed"])],
                         [float(f"{v:.9g}") for v in tiny_model.read_npy(g["files"]["raw"])])

    def test_outputs_are_chosen(self):
        got = self.explain(self.photos, "--outputs", "raw,overlay")
        self.assertEqual(set(got[0]["files"]), {"raw", "overlay"})
        self.assertEqual(len(list(self.out.iterdir())), 6)

    def test_compat_names_files_and_chooses_defaults(self):
        plain = self.explain(self.photos / "p0.png")[0]
        for tool, target, resize in [("article", "probability", "nearest"), ("keras", "logit", "nearest"),
                                     ("pgc", "logit", "bilinear"), ("tkv", "logit", "bilinear")]:
            g = self.explain(self.photos / "p0.png", "--compat", tool)[0]
            sidecar = json.loads(pathlib.Path(g["files"]["sidecar"]).read_text())
            self.assertEqual((sidecar["conventions"]["target"], sidecar["conventions"]["resize"]), (target, resize))
            self.assertTrue(g["files"]["raw"].endswith(f".{tool}.npy"))
        self.assertTrue(os.path.exists(plain["files"]["raw"]))
        g = self.explain(self.photos / "p0.png", "--compat", "article", "--target", "logit", "--resize", "box")[0]
        sidecar = json.loads(pathlib.Path(g["files"]["sidecar"]).read_text())
        self.assertEqual((sidecar["conventions"]["target"], sidecar["conventions"]["resize"]), ("logit", "box"))

    def test_arrays_are_the_networks_input(self):
        two_path, one_path = self.write_array(n=2), self.write_array()
        two, one = self.explain(two_path), self.explain(one_path)
        self.assertEqual([g["item"] for g in two], [0, 1])
        self.assertNotIn("item", one[0])
        self.assertEqual(two[0]["logit"], one[0]["logit"])
        self.assertEqual(tiny_model.read_npy(two[0]["files"]["raw"]), tiny_model.read_npy(one[0]["files"]["raw"]))
        self.assertNotEqual(two[0]["files"]["overlay"], two[1]["files"]["overlay"])
        got = lines(run("classify", self.model, two_path, "--json"))
        self.assertEqual([g["item"] for g in got], [0, 1])
        for backend in ["ref", "onednn"]:
            other = self.explain(one_path, "--backend", backend)
            self.assertAlmostEqual(other[0]["logit"], one[0]["logit"], places=5)
        tiny_model.write_npy(self.folder / "small.npy", (8, 8, 3), [0] * 192)
        text = run("classify", self.model, self.folder / "small.npy", code=1).stderr
        self.assertIn("[32,32,3]", text)
        self.assertIn("found [8,8,3]", text)

    def test_sigmoid_heads_explain_both_classes(self):
        model = tiny_model.write_model(self.folder / "sigmoid", classes=1, activation="sigmoid")
        got = lines(run("explain", model, self.photos / "p0.png", "-o", self.out, "--json", "--class", "0,1"))
        self.assertEqual([g["index"] for g in got], [0, 1])
        self.assertAlmostEqual(got[0]["probability"] + got[1]["probability"], 1, places=5)
        self.assertAlmostEqual(got[0]["logit"], -got[1]["logit"], places=6)

    def test_a_strange_map_is_said_in_words(self):
        model = tiny_model.write_model(self.folder / "sharp", scale=4000)
        photo = self.photos / "p1.png"
        result = run("explain", model, photo, "-o", self.out, "--json", "--target", "probability")
        self.assertEqual(lines(result)[0]["status"], "saturated")
        self.assertIn("--target logit", result.stderr)
        self.assertNotEqual(lines(run("explain", model, photo, "-o", self.out, "--json"))[0]["status"], "saturated")
        model = tiny_model.write_model(self.folder / "negative", head=-1.0)
        result = run("explain", model, photo, "-o", self.out, "--json")
        self.assertEqual(lines(result)[0]["status"], "all-negative")
        self.assertEqual(lines(result)[0]["max"], 0)
        self.assertIn("--signed draws it", result.stderr)

    def test_alike_maps_of_classes_are_said(self):
        model = tiny_model.write_model(self.folder / "alike", head=1.0)
        result = run("explain", model, self.photos / "p1.png", "-o", self.out, "--top", 3)
        self.assertIn("2 other classes have nearly the map", result.stderr)
        self.assertNotIn("nearly the map", run("explain", self.model, self.photos / "p1.png", "-o", self.out).stderr)

    def test_a_non_finite_input_names_the_layer(self):
        for bad in [float("inf"), float("nan")]:
            values = [0.5] * 3072
            values[100] = bad
            tiny_model.write_npy(self.folder / "x.npy", (32, 32, 3), values)
            result = run("explain", self.model, self.folder / "x.npy", "-o", self.out, "--json", "--force")
            self.assertEqual(lines(result)[0]["status"], "non-finite")
            self.assertIn("at layer image", result.stderr)
            self.assertEqual(max(tiny_model.read_npy(lines(result)[0]["files"]["raw"])), 0)
        got = lines(run("classify", self.model, self.folder / "x.npy", "--json", code=1))
        self.assertEqual(got[0]["status"], "error")
        self.assertIn("not finite", got[0]["error"])

    def test_names_that_are_no_utf8(self):
        name = os.fsencode(self.folder) + b"/photos/z\xff.png"
        shutil.copy(os.fsencode(self.photos / "p0.png"), name)
        got = self.explain(self.photos)
        self.assertEqual(len(got), 4)
        self.assertTrue(got[3]["image"].endswith("z\ufffd.png"))

    def test_render_draws_the_same_bytes_again(self):
        array = self.write_array(n=2)
        for options in [("--fit", "letterbox"), ("--fit", "crop", "--alpha", "0.7", "--norm", "minmax"), ("--signed",),
                        ("--compat", "article"), ("--compat", "keras"), ("--colormap", "magma")]:
            for g in self.explain(self.photos / "p0.png", array, *options, "--force"):
                again = self.folder / "again" / "deep"
                run("render", g["files"]["sidecar"], "-o", again)
                for kind in ["heatmap", "overlay", "figure"]:
                    old = pathlib.Path(g["files"][kind])
                    self.assertEqual(old.read_bytes(), (again / old.name).read_bytes(), (options, kind))

    def test_render_in_other_colours_and_places(self):
        g = self.explain(self.photos / "p0.png")[0]
        old = pathlib.Path(g["files"]["overlay"])
        before = old.read_bytes()
        moved = self.folder / "moved"
        self.out.rename(moved)
        sidecar = moved / pathlib.Path(g["files"]["sidecar"]).name
        got = lines(run("render", sidecar, "-o", self.folder, "--colormap", "viridis", "--json"))[0]
        self.assertEqual(set(got["files"]), {"heatmap", "overlay", "figure"})
        self.assertNotEqual(before, pathlib.Path(got["files"]["overlay"]).read_bytes())
        self.assertEqual(before, (moved / old.name).read_bytes())
        (self.photos / "p0.png").rename(self.folder / "renamed.png")
        self.assertIn("p0.png", run("render", sidecar, code=1).stderr)
        run("render", sidecar, "--image", self.folder / "renamed.png")
        self.assertEqual(before, (moved / old.name).read_bytes())

    def test_render_refuses_what_does_not_fit(self):
        g = self.explain(self.photos / "p0.png")[0]
        sidecar = pathlib.Path(g["files"]["sidecar"])
        self.assertIn("not a sidecar", run("render", self.photos / "p0.png", code=1).stderr)
        self.assertIn("not a sidecar", run("render", self.folder / "none.json", code=1).stderr)
        run("render", sidecar, "--image", self.photos / "p1.png", code=1)
        whole = json.loads(sidecar.read_text())
        for key, value in [("shape", [3, 3]), ("shape", [1e300, 2]), ("signed", [1, 2]), ("geometry", {}), ("geometry", 5),
                           ("geometry", {**whole["geometry"], "image_width": -4}),
                           ("geometry", {**whole["geometry"], "fit": "bend"}), ("signed", ["x"] * 256)]:
            sidecar.write_text(json.dumps({**whole, key: value}))
            run("render", sidecar, "-o", self.folder / "again", code=1)
        sidecar.write_text(json.dumps(whole))
        tiny_model.write_npy(g["files"]["raw"], (16, 16), [1.0] * 256)
        self.assertIn("do not belong together", run("render", sidecar, code=1).stderr)
        run("render", sidecar, "-o", "/proc/again", code=4)


if __name__ == "__main__":
    program.main()
