#!/usr/bin/env python3
"""explain --smooth, --eigen-smooth, --fuse, --baseline. Usage: test_smoothing.py PROGRAM"""
import json
import math
import pathlib

import program
import tiny_model
from program import ProgramTest, run


class Smoothing(ProgramTest):
    def signed(self, result):
        return json.loads(pathlib.Path(result["files"]["sidecar"]).read_text())["signed"]

    def test_the_mean_map_of_an_image_and_its_mirror_image(self):
        """What the option does is what a user would do by hand: explain both and average."""
        photo = self.folder / "x.npy"
        values = [[[math.sin(0.1 * (37 * y + 11 * x + c)) for c in range(3)] for x in range(32)] for y in range(32)]
        flat = lambda v: [e for row in v for cell in row for e in cell]
        tiny_model.write_npy(photo, (32, 32, 3), flat(values))
        mirrored = self.folder / "y.npy"
        tiny_model.write_npy(mirrored, (32, 32, 3), flat([row[::-1] for row in values]))
        one, other = (self.explain(p, "--class", 1)[0] for p in (photo, mirrored))
        a, b = self.signed(one), self.signed(other)
        both = self.explain(photo, "--class", 1, "--smooth", "flip")[0]
        w = one["shape"][1]
        for i, value in enumerate(self.signed(both)):
            self.assertAlmostEqual(value, (a[i] + b[i // w * w + w - 1 - i % w]) / 2, delta=1e-5)
        self.assertIn("mean of 2 maps", both["note"])

    def test_smoothed_maps_are_not_taken_for_plain_ones(self):
        plain = self.explain(self.photos / "p0.png")[0]
        for options in (["--smooth", "augment"], ["--smooth", "scaled"], ["--eigen-smooth"]):
            other = self.explain(self.photos / "p0.png", *options)[0]
            again = self.explain(self.photos / "p0.png")[0]
            self.assertEqual((again["min"], again["max"]), (plain["min"], plain["max"]))
            self.assertNotEqual(other["max"], plain["max"])

    def test_layers_are_fused(self):
        layers = [l["name"] for l in program.lines(run("layers", self.model, "--candidates", "--json", "-q"))][-2:]
        fused = self.explain(self.photos / "p0.png", "--layer", ",".join(layers), "--fuse", "max", "--method",
                             "layercam,saliency")
        self.assertEqual([f["layer"] for f in fused][0], "+".join(layers))
        self.assertEqual(fused[0]["shape"], [32, 32])
        self.assertLessEqual(fused[0]["max"], math.tanh(2) + 1e-6)
        self.assertEqual(len(fused), 2)  # saliency has no layers
        mean = self.explain(self.photos / "p0.png", "--layer", ",".join(layers), "--fuse", "mean")[0]
        self.assertLessEqual(mean["max"], 1 + 1e-6)

    def test_what_does_not_apply_is_refused(self):
        error = run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--method", "rise", "--eigen-smooth",
                    code=2).stderr
        self.assertIn("use eigengradcam", error)
        error = run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--baseline", self.photos, code=2).stderr
        self.assertIn("gradcam", error)

    def test_a_baseline_of_ones_own(self):
        """The image itself as its baseline leaves nothing to attribute; the folder's mean does."""
        own = self.explain(self.photos / "p0.png", "--method", "integratedgradients", "--baseline",
                           self.photos / "p0.png")[0]
        self.assertEqual(own["status"], "constant")
        mean = self.explain(self.photos / "p0.png", "--method", "integratedgradients", "--baseline", self.photos)[0]
        self.assertIn("completeness", mean["note"])
        error = run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--method", "occlusion", "--param",
                    "baseline=given", code=1).stderr
        self.assertIn("--baseline IMAGE", error)


if __name__ == "__main__":
    program.main()
