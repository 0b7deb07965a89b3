#!/usr/bin/env python3
"""What lets a map be doubted, compared and measured: explain --check, --box, --csv; render --norm class and dataset.
Usage: test_controls.py PROGRAM"""
import csv
import io
import json
import math
import pathlib
import struct
import zlib

import program
import tiny_model
from program import ProgramTest, lines, run


def pearson(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    x, y = [v - mean_a for v in a], [v - mean_b for v in b]
    dot = lambda u, v: sum(p * q for p, q in zip(u, v))
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


def write_grey(path, level):
    rows = b"".join(b"\0" + bytes([level] * 96) for _ in range(32))
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def read_png(path):
    """(width, height, rows of RGB bytes) of an 8-bit RGB PNG, as netgaze writes them."""
    data, at, body = path.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", data[at + 8:at + 18])
            assert (depth, color) == (8, 2)
        if kind == b"IDAT":
            body += data[at + 8:at + 8 + size]
        at += 12 + size
    raw, rows, before = zlib.decompress(body), [], bytearray(width * 3)
    for y in range(height):
        rule, line = raw[y * (width * 3 + 1)], bytearray(raw[y * (width * 3 + 1) + 1:(y + 1) * (width * 3 + 1)])
        for i in range(len(line)):
            left, up, corner = line[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            p = left + up - corner
            paeth = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            line[i] = (line[i] + [0, left, up, (left + up) // 2, paeth][rule]) & 255
        rows.append(bytes(line))
        before = line
    return width, height, rows


class Controls(ProgramTest):
    def signed(self, result):
        return json.loads(pathlib.Path(result["files"]["sidecar"]).read_text())["signed"]

    def test_the_check_against_a_blank_image(self):
        grey = self.folder / "grey.png"
        write_grey(grey, 128)
        options = ("--class", 1, "--layer", "a,b")
        blank = {g["layer"]: self.signed(g) for g in self.explain(grey, *options)}
        got = self.explain(self.photos, grey, *options, "--check")
        self.assertEqual(len(got), 8)
        for g in got:
            self.assertAlmostEqual(g["checks"]["blank_image"], pearson(self.signed(g), blank[g["layer"]]), places=5)
            self.assertLess(abs(g["checks"]["shuffled_head"]), 1 - 1e-9)
        self.assertEqual([round(g["checks"]["blank_image"], 6) for g in got if g["image"] == str(grey)], [1, 1])
        before = self.stamps()
        self.assertEqual(self.explain(self.photos, grey, *options, "--check"), got)
        self.assertEqual(self.stamps(), before)
        said = run("explain", self.model, grey, "-o", self.folder / "other", "--check").stderr
        self.assertIn("nearly that of a blank image (correlation 1.000)", said)
        self.assertNotIn("blank", run("explain", self.model, grey, "-o", self.folder / "third").stderr)

    def test_the_check_with_a_shuffled_head(self):
        """Eigen-CAM never looks at the head: the check says so. Grad-CAM of two classes does."""
        got = self.explain(self.photos, "--method", "gradcam,eigencam", "--check")
        for g in got:
            if g["method"] == "eigencam":
                self.assertAlmostEqual(g["checks"]["shuffled_head"], 1, places=5)
            else:
                self.assertLess(g["checks"]["shuffled_head"], 0.9999)
        self.assertTrue(any(g["checks"]["shuffled_head"] < 0.9 for g in got if g["method"] == "gradcam"))
        said = run("explain", self.model, self.photos / "p0.png", "-o", self.folder / "e", "--method", "eigencam",
                   "--check").stderr
        self.assertIn("hardly changes when the last layer's weights are shuffled (correlation 1.000)", said)

    def test_boxes(self):
        """The box of the raw map spread over the image by half-pixel bilinear interpolation, found here by other means."""
        for g in self.explain(self.photos, "--box", 0.4):
            values = tiny_model.read_npy(g["files"]["raw"])
            h, w = g["shape"]
            geometry = json.loads(pathlib.Path(g["files"]["sidecar"]).read_text())["geometry"]
            width, height = geometry["image_width"], geometry["image_height"]

            def at(x, y):
                u, v = min(max((x + 0.5) * w / width - 0.5, 0), w - 1), min(max((y + 0.5) * h / height - 0.5, 0), h - 1)
                x0, y0 = min(int(u), w - 2), min(int(v), h - 2)
                fx, fy = u - x0, v - y0
                cell = lambda i, k: values[i * w + k]
                return ((cell(y0, x0) * (1 - fx) + cell(y0, x0 + 1) * fx) * (1 - fy) +
                        (cell(y0 + 1, x0) * (1 - fx) + cell(y0 + 1, x0 + 1) * fx) * fy)
            spread = {(x, y): at(x, y) for x in range(width) for y in range(height)}
            most = max(spread.values())
            left = {p for p, v in spread.items() if v >= 0.4 * most and v > 0}
            regions = []
            while left:
                todo = [left.pop()]
                region = set(todo)
                while todo:
                    x, y = todo.pop()
                    near = {(x + i, y + k) for i in (-1, 0, 1) for k in (-1, 0, 1)} & left
                    left -= near
                    region |= near
                    todo += near
                regions.append(region)
            region = max(regions, key=len)
            box = g["box"]
            # A pixel whose value is the threshold itself may fall on either side: by one pixel at an edge.
            xs, ys = [x for x, _ in region], [y for _, y in region]
            for found, expected in ((box["x"], min(xs)), (box["y"], min(ys)), (box["x"] + box["width"], max(xs) + 1),
                                    (box["y"] + box["height"], max(ys) + 1)):
                self.assertLessEqual(abs(found - expected), 1, g)
            self.assertLessEqual(abs(box["pixels"] - len(region)), 0.02 * len(region) + 2)
            wide, high, rows = read_png(pathlib.Path(g["files"]["overlay"]))
            self.assertEqual((wide, high), (width, height))
            self.assertEqual(rows[box["y"]][3 * box["x"]:3 * (box["x"] + box["width"])], b"\xff" * 3 * box["width"])

    def test_boxes_as_csv(self):
        options = ("--box", 0.3, "--top", 2)
        got = self.explain(self.photos, *options)
        labels = self.folder / "labels.txt"
        labels.write_text('plain\na "quoted", one\nü\n')
        for rerun in range(2):
            text = run("explain", self.model, self.photos, "-o", self.folder / "c", "--csv", *options, "--labels", labels).stdout
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            self.assertEqual(len(rows), 6)
            for row, g in zip(rows, got):
                self.assertEqual({k: int(row[k]) for k in ("x", "y", "width", "height", "pixels")},
                                 {k: g["box"][k] for k in ("x", "y", "width", "height", "pixels")})
                self.assertEqual((row["image"], row["method"], row["layer"], int(row["index"]), row["status"]),
                                 (g["image"], g["method"], g["layer"], g["index"], g["status"]))
                self.assertEqual(row["label"], ['plain', 'a "quoted", one', 'ü'][g["index"]])
                self.assertAlmostEqual(float(row["probability"]), g["probability"], places=7)
        self.assertIn("exclude each other", run("explain", self.model, self.photos, "-o", self.out, "--json", "--csv", code=2).stderr)
        self.assertIn("draws no boxes", run("explain", self.model, self.photos, "-o", self.out, "--box", 0.2, "--compat",
                                            "article", code=2).stderr)

    def test_a_layer_beside_the_way_has_no_gradient(self):
        """A convolution that only the second output reads is refused in words; one that is frozen is not."""
        path = self.model / "model.json"
        model = json.loads(path.read_text())
        net = model["modelTopology"]["model_config"]["config"]
        net["layers"] += [tiny_model.conv("side", 4, 1, ["a"]),
                          tiny_model.layer("GlobalAveragePooling2D", "side_pool", {}, ["side"])]
        net["output_layers"].append(["side_pool", 0, 0])
        net["layers"][2]["config"]["trainable"] = False
        model["weightsManifest"][0]["weights"] += [{"name": "side/kernel", "shape": [3, 3, 8, 4], "dtype": "float32"},
                                                   {"name": "side/bias", "shape": [4], "dtype": "float32"}]
        path.write_text(json.dumps(model))
        with open(self.model / "weights.bin", "ab") as f:
            f.write(struct.pack("<292f", *[0.1] * 292))
        said = run("explain", self.model, self.photos, "-o", self.out, "--layer", "side", code=2).stderr
        self.assertIn("'side' does not feed the model's output", said)
        self.assertEqual([g["status"] for g in self.explain(self.photos, "--layer", "b")], ["ok"] * 3)

    def test_without_a_spatial_layer_the_input_is_explained(self):
        path = self.model / "model.json"
        model = json.loads(path.read_text())
        net = model["modelTopology"]["model_config"]["config"]
        dense = {"units": 3, "activation": "softmax", "use_bias": True}
        net["layers"] = [net["layers"][0], tiny_model.layer("Flatten", "flat", {}, ["image"]),
                         tiny_model.layer("Dense", "scores", dense, ["flat"])]
        count = 3 * 3 * tiny_model.SIZE ** 2
        model["weightsManifest"][0]["weights"] = [{"name": "scores/kernel", "shape": [count // 3, 3], "dtype": "float32"},
                                                  {"name": "scores/bias", "shape": [3], "dtype": "float32"}]
        path.write_text(json.dumps(model))
        (self.model / "weights.bin").write_bytes(struct.pack(f"<{count + 3}f", *(math.sin(i) for i in range(count + 3))))
        said = run("explain", self.model, self.photos, "-o", self.out, code=3).stderr
        self.assertIn("which gradcam needs; --method occlusion", said)
        self.assertIn("only the input can be explained", run("layers", self.model).stdout)
        for method in ("occlusion", "saliency", "integratedgradients"):
            self.assertEqual([g["status"] for g in self.explain(self.photos / "p0.png", "--method", method)], ["ok"])

    def top_of_bar(self, path):
        """The largest grey level of a heatmap."""
        return max(max(row) for row in read_png(path)[2])

    def test_one_scale_for_a_class_or_a_data_set(self):
        got = self.explain(self.photos, "--top", 2, "--colormap", "gray")
        sidecars = [g["files"]["sidecar"] for g in got]
        plain = {g["files"]["heatmap"]: self.top_of_bar(pathlib.Path(g["files"]["heatmap"])) for g in got if g["max"] > 0}
        self.assertGreater(min(plain.values()), 180)
        for norm, group in (("class", lambda g: g["index"]), ("dataset", lambda g: 0)):
            out = self.folder / norm
            run("render", *sidecars, "--norm", norm, "-o", out)
            for g in got:
                high = max(o["max"] for o in got if group(o) == group(g))
                level = self.top_of_bar(out / pathlib.Path(g["files"]["heatmap"]).name)
                # The image's pixels need not lie at the cells' centres: the picture's own peak decides, as without --norm.
                own = plain.get(g["files"]["heatmap"], 0)
                self.assertLessEqual(abs(level - own * g["max"] / high), 1.5, (norm, g["image"], g["index"]))
        self.assertIn("render", run("explain", "--help").stdout)
        run("explain", self.model, self.photos, "-o", self.out, "--norm", "class", code=2)


if __name__ == "__main__":
    program.main()
