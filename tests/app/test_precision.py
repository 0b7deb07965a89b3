#!/usr/bin/env python3
"""--precision: what is said about its exactness, when it is refused, what results say. Usage: test_precision.py PROGRAM"""
import json
import os
import re

import program
import test_cache
from program import ProgramTest, lines, run

SAID = (r"(bf16|int8): on (\d+) of these images probabilities differ from float32's by at most (\S+), another class is the "
        r"most likely on \d+.*; \S+ ms an image, float32 \S+")


class Precision(ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = test_cache.write_larger_model(self.folder / "larger")
        self.env = {**os.environ, "NETGAZE_CACHE": "off"}
        [o] = lines(run("bench", self.model, "--json", "--repeat", 1, "-q"))
        self.features = o["features"]

    def kernels(self, name):
        [o] = lines(run("bench", self.model, "--json", "--repeat", 1, "-q", "--precision", name))
        return [k["kernel"] for k in o["kernels"]]

    def able(self, name):
        limited = {"NETGAZE_MAX_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"} & set(os.environ)
        return not limited and {"bf16": "avx512bf16", "int8": "avx512vnni"}[name] in self.features

    def test_kernels_are_what_was_asked_for(self):
        for name in ["bf16", "int8"]:
            used = [k for k in self.kernels(name) if k.startswith(name + " ")]
            self.assertEqual(bool(used), self.able(name) or (name == "bf16" and bool(used)))
        self.assertFalse([k for k in self.kernels("f32") if k.startswith(("bf16", "int8"))])

    def test_the_error_is_said(self):
        plain = lines(run("classify", self.model, self.photos, "--json", "--top", 0))
        for name in ["bf16", "int8"]:
            if not self.able(name):
                continue
            result = run("classify", self.model, self.photos, "--json", "--top", 0, "--precision", name, env=self.env)
            said = re.search(SAID, result.stderr)
            self.assertTrue(said, result.stderr)
            self.assertEqual((said[1], said[2]), (name, "3"))
            off = 0
            for a, b in zip(plain, lines(result)):
                p = {c["index"]: c["probability"] for c in a["predictions"]}
                off = max(off, *(abs(p[c["index"]] - c["probability"]) for c in b["predictions"]))
            self.assertGreater(off, 0)
            self.assertAlmostEqual(off, float(said[3]), delta=0.06 * off)  # two digits are said

    def test_maps_and_sidecars(self):
        for name in ["bf16", "int8"]:
            if not self.able(name):
                continue
            out = self.folder / name
            arguments = ["explain", self.model, self.photos, "-o", out, "--json", "--precision", name]
            result = run(*arguments, "--calibrate", self.photos, env=self.env)
            self.assertRegex(result.stderr, r"Grad-CAM maps by at most \S+ % of their maximum, correlation from (0\.9|1\.0)")
            sidecar = json.loads(next(out.glob("*.json")).read_text())
            self.assertEqual(sidecar["backend"]["name"], name)
            before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
            run("explain", self.model, self.photos, "-o", out, "--json", env=self.env)  # float32 is another result
            self.assertNotEqual(before, {p: p.stat().st_mtime_ns for p in out.iterdir()})

    def test_refused_where_no_layer_can(self):
        env = {**self.env, "DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "NETGAZE_MAX_ISA": "avx2"}
        for name in ["bf16", "int8"]:
            result = run("classify", self.model, self.photos, "--precision", name, env=env, code=2)
            self.assertIn("no layer of this model can use it on this processor", result.stderr)

    def test_wrong_use(self):
        self.assertIn("bf16", run("classify", self.model, self.photos, "--precision", "fp8", code=2).stderr)
        empty = self.folder / "none"
        result = run("classify", self.model, self.photos, "--precision", "int8", "--calibrate", empty, code=2)
        self.assertIn("no image there can be read", result.stderr)


if __name__ == "__main__":
    program.main()
