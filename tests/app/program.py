"""What the tests of the program share: running it, and a folder with a small model and three photographs."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import tiny_model

PROGRAM = None
KINDS = {"raw", "heatmap", "overlay", "figure", "sidecar"}


def run(*arguments, code=0, **options):
    """Runs the program; fails unless it exits with `code`."""
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    if result.returncode != code:
        raise AssertionError(f"{arguments}: exit {result.returncode}, expected {code}\n{result.stdout}{result.stderr}")
    return result


def refuse_constant(name):
    raise AssertionError(f"{name} in JSON")


def lines(result):
    """The JSON lines of a run; NaN and Infinity, which are no JSON, fail."""
    return [json.loads(line, parse_constant=refuse_constant) for line in result.stdout.splitlines()]


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="netgaze-app-"))
        self.model = tiny_model.write_model(self.folder / "model")
        self.photos = self.folder / "photos"
        self.photos.mkdir()
        for i, size in enumerate([(40, 30), (64, 64), (25, 90)]):
            tiny_model.write_png(self.photos / f"p{i}.png", *size, seed=i)
        self.out = self.folder / "out"

    def tearDown(self):
        shutil.rmtree(self.folder)

    def explain(self, *arguments, **options):
        return lines(run("explain", self.model, *arguments, "-o", self.out, "--json", **options))

    def assert_no_partial_files(self):
        self.assertEqual([p for p in self.out.iterdir() if ".tmp" in p.name], [])

    def stamps(self):
        return {p: p.stat().st_mtime_ns for p in self.out.iterdir()}


def main():
    global PROGRAM
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=1)
