#!/usr/bin/env python3
"""netgaze score: the table of methods. Usage: test_score.py PROGRAM"""
import csv
import io
import json
import math
import pathlib
import random
import statistics

import program
import tiny_model
from program import ProgramTest, lines, run


class Score(ProgramTest):
    def setUp(self):
        super().setUp()
        self.write_data()

    def write_data(self, splits="test test val", boxes=("4 3 20 10", "0 0 64 32", "5 40 10 20")):
        names = ["class 0", "class 1", "class 2"]
        rows = [f"photos/p{i}.png,{names[i]},{splits.split()[i]},{boxes[i]}" for i in range(3)]
        self.csv = self.folder / "list.csv"
        self.csv.write_text("path,label,split,box\n" + "\n".join(rows) + "\n")

    def score(self, *arguments, data=None, **options):
        return lines(run("score", self.model, data or self.csv, *arguments, "--json", "-q", **options))

    def test_a_row_for_each_method_and_control(self):
        got = self.score("--method", "gradcam,saliency,edges,centre", "--steps", 3, "--figures", "location,drop,curves,road")
        self.assertEqual([g["method"] for g in got], ["gradcam", "saliency", "edges", "centre"])
        for g in got:
            self.assertEqual((g["images"], g["iou_tuned_on"]), (2, 1))
            for name in ("energy", "pointing", "rank", "iou", "box_iou", "deletion", "insertion", "drop", "increase", "road"):
                m = g[name]
                self.assertTrue(m["low"] - 1e-9 <= m["value"] <= m["high"] + 1e-9, (name, m))
                self.assertTrue(-1 <= m["low"] and m["high"] <= 1, (name, m))
            self.assertGreater(g["seconds"]["value"], 0)
        self.assertAlmostEqual(got[0]["area"]["value"], (200 / 1200 + 0.5) / 2, places=6)

    def test_the_centre_scores_what_a_gaussian_must(self):
        """The box is the upper half of a square image: half of the energy, the brightest pixel on its edge."""
        self.write_data("train test train")
        got = self.score("--method", "centre", "--figures", "location")[0]
        self.assertAlmostEqual(got["energy"]["value"], 0.5, places=4)
        self.assertEqual(got["pointing_near"]["value"], 1)
        self.assertIsNone(got["deletion"])
        self.assertEqual(got["iou_threshold"], 0.5)

    def test_masks_count_like_boxes(self):
        box = self.score("--method", "gradcam", "--figures", "location")[0]
        rows = list(csv.DictReader(self.csv.read_text().splitlines()))
        with self.csv.open("w", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(["path", "label", "split", "mask"])
            for i, (r, size) in enumerate(zip(rows, [(40, 30), (64, 64), (25, 90)])):
                x, y, w, h = map(int, r["box"].split())
                write_mask(self.folder / f"m{i}.png", *size, x, y, w, h)
                writer.writerow([r["path"], r["label"], r["split"], f"m{i}.png"])
        mask = self.score("--method", "gradcam", "--figures", "location")[0]
        for name in ("energy", "rank", "iou", "box_iou", "area"):
            self.assertEqual(mask[name], box[name])

    def test_a_rerun_continues(self):
        options = ("--method", "gradcam,randomcam", "--steps", 2, "-o", self.out)
        first = self.score(*options)
        record = self.out / "scores.jsonl"
        kept = record.read_text().splitlines()
        self.assertEqual(len(kept), 6)
        self.assertEqual({json.loads(line)["split"] for line in kept}, {"", "val"})
        before = record.stat().st_size
        self.assertEqual(self.score(*options), first)  # seconds too: nothing was measured again
        self.assertEqual(record.stat().st_size, before)
        record.write_text("\n".join(kept[:3]) + "\n" + kept[3][:40])  # an interrupt in the middle of a line
        again = self.score(*options)
        self.assertEqual([{k: v for k, v in g.items() if k not in ("seconds", "forwards")} for g in again],
                         [{k: v for k, v in g.items() if k not in ("seconds", "forwards")} for g in first])
        table = list(csv.DictReader((self.out / "scores.csv").read_text().splitlines()))
        self.assertEqual([t["method"] for t in table], ["gradcam", "randomcam"])
        self.assertTrue(math.isclose(float(table[0]["energy"]), first[0]["energy"]["value"], rel_tol=1e-3))
        other = self.score(*options[:2], "--steps", 4, "-o", self.out)  # other conventions: nothing is taken over
        self.assertNotEqual(other[0]["deletion"], first[0]["deletion"])

    def test_threads_change_no_figure(self):
        options = ("--method", "gradcam,randomcam,occlusion", "--steps", 2)
        strip = lambda rows: [{k: v for k, v in r.items() if k not in ("seconds", "forwards")} for r in rows]
        self.assertEqual(strip(self.score(*options, "-t", 1)), strip(self.score(*options, "-t", 3)))

    def test_plain_images_and_all_methods(self):
        got = self.score("--figures", "drop", data=self.photos / "p0.png")
        self.assertEqual([g["method"] for g in got], ["gradcam", "randomcam", "edges", "centre"])
        self.assertIsNone(got[0]["energy"])
        self.assertEqual(got[0]["right"]["value"], 1)
        names = {m["name"] for m in lines(run("methods", "--json"))}
        result = run("score", self.model, self.photos, "--method", "all", "--figures", "drop", "--images", 1, "--csv", "-p",
                     "samples=5")
        table = list(csv.DictReader(io.StringIO(result.stdout)))
        self.assertEqual({t["method"] for t in table}, names | {"edges", "centre"})

    def explained(self, values, *arguments):
        """Of an array of the input's size: its map, relu'd, at the input's size, and the class's probability."""
        array = self.folder / "x.npy"
        tiny_model.write_npy(array, (32, 32, 3), values)
        line = lines(run("explain", self.model, array, "-o", self.out, "--outputs", "raw,sidecar", "--json", "-q", "--force",
                         "--preprocess", "unit", *arguments))[0]
        side = json.loads(pathlib.Path(line["files"]["sidecar"]).read_text())
        return enlarged([max(v, 0) for v in side["signed"]], *side["shape"], 32), side

    def test_adcc_is_its_formula(self):
        """Poppi et al. 2021, step by step from maps of explain: at a class that is not the likeliest too."""
        rng = random.Random(3)
        values = [rng.random() for _ in range(32 * 32 * 3)]
        for options in (("--class", "2", "--method", "layercam"), ("--class", "0", "--smooth", "flip"), ("--class", "1", "--method", "saliency")):
            map_, side = self.explained(values, *options)
            low, high = min(map_), max(map_)
            mask = [(v - low) / (high - low) for v in map_]
            again, masked = self.explained([v * mask[i // 3] for i, v in enumerate(values)], *options)
            tiny_model.write_npy(self.folder / "x.npy", (32, 32, 3), values)
            options += ("--method", "gradcam") if "--method" not in options else ()
            got = self.score("--figures", "adcc", "--preprocess", "unit", *options, data=self.folder / "x.npy")[0]
            coherency = (1 + statistics.correlation(map_, again)) / 2
            complexity = sum(mask) / len(mask)
            drop = max(0, side["probability"] - masked["probability"]) / side["probability"]
            adcc = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
            for name, expected in (("coherency", coherency), ("complexity", complexity), ("drop", drop), ("adcc", adcc)):
                self.assertAlmostEqual(got[name]["value"], expected, delta=2e-4, msg=(options, name))

    def test_adcc_of_nothing_is_nothing(self):
        tiny_model.write_model(self.model, head=-0.1)  # every map is negative: relu leaves nothing
        got = self.score("--figures", "adcc", "--method", "gradcam,centre")
        self.assertEqual((got[0]["coherency"]["value"], got[0]["complexity"]["value"], got[0]["adcc"]["value"]), (0, 0, 0))
        self.assertIsNone(got[1]["adcc"])  # a control has no map of another image

    def test_damaged_images_are_counted(self):
        (self.photos / "p1.png").write_bytes(b"no image")
        result = run("score", self.model, self.csv, "--figures", "location", "--json", code=1)
        self.assertEqual(lines(result)[0]["images"], 1)
        self.assertIn("1 of 3 images failed", result.stderr)

    def test_what_is_wrong_is_said(self):
        self.assertIn("class 'cat'", run("score", self.model, self.csv, "--class", "cat", code=2).stderr)
        self.assertIn("did you mean 'gradcam'", run("score", self.model, self.csv, "--method", "gradcan", code=2).stderr)
        self.assertIn("cannot be opened", run("score", self.model, self.folder / "none.csv", code=2).stderr)
        self.csv.write_text(self.csv.read_text().replace("class 1", "cat"))
        self.assertIn("no class 'cat'", run("score", self.model, self.csv, "--class", "true", code=2).stderr)


def enlarged(m, h, w, size):
    """Half-pixel bilinear, edges repeated."""
    def taps(n):
        for i in range(size):
            at = min(max((i + 0.5) * n / size - 0.5, 0), n - 1)
            low = int(at)
            yield low, min(low + 1, n - 1), at - low
    return [(m[a * w + c] * (1 - g) + m[a * w + d] * g) * (1 - f) + (m[b * w + c] * (1 - g) + m[b * w + d] * g) * f
            for a, b, f in taps(h) for c, d, g in taps(w)]


def write_mask(path, width, height, x, y, w, h):
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(255 if x <= k < x + w and y <= i < y + h else 0 for k in range(width)) for i in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    program.main()
