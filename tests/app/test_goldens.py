#!/usr/bin/env python3
"""Every method against the map that the library that made it known gave of the same small network (tests/fixtures/methods, made by
scripts/compare_methods.py --goldens). Usage: test_goldens.py PROGRAM"""
import json
import pathlib
import struct

import program
from program import ProgramTest, lines, run

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "methods"
ALLOWED = 1e-3


def read_npy(path):
    data = path.read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack("<%df" % ((len(data) - start) // 4), data[start:])


class Goldens(ProgramTest):
    def check(self, net, backend):
        home = FIXTURES / net
        entries = json.loads((home / "goldens.json").read_text())
        self.assertGreater(len(entries), 20)
        for e in entries:
            options = ["--layer", e["layer"]] if e["layer"] else []
            options += ["--param", e["parameters"]] if e["parameters"] else []
            got = lines(run("explain", home, home / "x.npy", "-o", self.out, "--method", e["method"], "--class", e["class"],
                            "--target", e["target"], "--outputs", "raw,sidecar", "--preprocess", "raw", "--backend", backend,
                            "--json", "-q", "--force", *options))[0]
            found = json.loads(pathlib.Path(got["files"]["sidecar"]).read_text())["signed"]
            wanted = read_npy(home / e["map"])
            self.assertEqual(len(found), len(wanted), e)
            size = max(abs(w) for w in wanted)
            errors = [max(abs(f - s * w) for f, w in zip(found, wanted)) for s in ((1, -1) if e["either_sign"] else (1,))]
            self.assertLessEqual(min(errors), ALLOWED * size, e)

    def test_a_pooled_network(self):
        for backend in ("auto", "ref"):
            self.check("pooled", backend)

    def test_a_network_with_a_shortcut(self):
        for backend in ("auto", "ref"):
            self.check("deep", backend)


if __name__ == "__main__":
    program.main()
