#!/usr/bin/env python3
"""The program as a user runs it: the contract that scripts rely on, exit codes, bad input, reruns, interruption.

Usage: test_program.py PROGRAM
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tiny_model  # noqa: E402

PROGRAM = None
COMMANDS = ["explain", "classify", "layers", "methods", "render", "doctor", "man", "completion"]


def run(*arguments, code=0, **options):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    if result.returncode != code:
        raise AssertionError(f"{arguments}: exit {result.returncode}, expected {code}\n{result.stdout}{result.stderr}")
    return result


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


class Program(unittest.TestCase):
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

    def test_help_of_every_command_has_examples(self):
        for command in COMMANDS:
            text = run(command, "--help").stdout
            self.assertIn("Examples:", text)
            self.assertIn("Usage: netgaze " + command, text)
        self.assertIn("explain", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^netgaze \d+\.\d+\.\d+$")

    def test_wrong_usage_exits_2_and_says_why(self):
        for arguments, words in [((), "Commands:"), (("explian",), "not a command"), (("classify",), "a model is missing"),
                                 (("classify", self.model), "no images"), (("explain", self.model, self.photos), "-o DIR"),
                                 (("classify", self.model, self.photos, "--tpo", "3"), "not known"),
                                 (("classify", self.model, self.photos, "--top", "many"), "whole number"),
                                 (("classify", self.model, self.photos, "--top"), "value"),
                                 (("classify", self.model, self.photos, "--preprocess", "magic"), "expected tf, torch"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--layer", "bb"), "did you mean"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--layer", "pool"), "above 1x1"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--class", "9"), "0 to 2"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--method", "x"), "known:"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--method", "cam", "--layer", "a"), "--layer b"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--colormap", "x"), "viridis"),
                                 (("explain", self.model, self.photos, "-o", self.out, "--outputs", "x"), "sidecar")]:
            result = run(*arguments, code=2)
            self.assertIn(words, result.stderr, arguments)

    def test_an_unusable_model_exits_3(self):
        (self.folder / "text.h5").write_text("this is not a model")
        (self.folder / "empty.keras").write_bytes(b"")
        bad = tiny_model.write_model(self.folder / "bad", bad_value=float("nan"))
        for model, words in [(self.folder / "none.keras", "no such file"), (self.folder / "text.h5", "not a model"),
                             (self.folder / "empty.keras", "empty"), (self.photos, "model.json"), (bad, "NaN")]:
            self.assertIn(words, run("classify", model, self.photos, code=3).stderr)

    def test_classify_json(self):
        got = lines(run("classify", self.model, self.photos, "--json", "--top", 0))
        self.assertEqual([pathlib.Path(g["image"]).name for g in got], ["p0.png", "p1.png", "p2.png"])
        for g in got:
            self.assertEqual(g["status"], "ok")
            p = g["predictions"]
            self.assertEqual(sorted(x["index"] for x in p), [0, 1, 2])
            self.assertAlmostEqual(sum(x["probability"] for x in p), 1, places=5)
            self.assertEqual([x["logit"] for x in p], sorted((x["logit"] for x in p), reverse=True))
        self.assertEqual(len(lines(run("classify", self.model, self.photos, "--json", "--top", 1))[0]["predictions"]), 1)

    def test_labels(self):
        (self.folder / "labels.txt").write_text("cat\ndog, brown\nnödule\n")
        got = lines(run("classify", self.model, self.photos, "--json", "--labels", self.folder / "labels.txt"))
        self.assertEqual({x["label"] for x in got[0]["predictions"]}, {"cat", "dog, brown", "nödule"})
        got = lines(run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--json", "--labels",
                        self.folder / "labels.txt", "--class", "nödule"))
        self.assertEqual(got[0]["index"], 2)
        (self.folder / "labels.txt").write_text("one\ntwo\n")
        self.assertIn("3 classes", run("classify", self.model, self.photos, "--labels", self.folder / "labels.txt", code=3).stderr)

    def test_explain_writes_whole_sets(self):
        got = lines(run("explain", self.model, self.photos, "-o", self.out, "--json", "--layer", "a,b", "--top", 2, "--grid"))
        self.assertEqual(len(got), 3 * 2 * 2)
        for g in got:
            self.assertEqual(set(g["files"]), {"raw", "heatmap", "overlay", "figure", "sidecar"})
            for path in g["files"].values():
                self.assertGreater(os.path.getsize(path), 0)
            raw = tiny_model.read_npy(g["files"]["raw"])
            self.assertEqual(g["shape"], [16, 16])
            self.assertEqual(len(raw), 256)
            self.assertAlmostEqual(max(raw), g["max"], places=6)
            self.assertGreaterEqual(min(raw), 0)
            sidecar = json.loads(pathlib.Path(g["files"]["sidecar"]).read_text())
            self.assertEqual(sidecar["result"], g)
            self.assertEqual(len(sidecar["model"]["hash"]), 32)
        self.assertEqual(len(list(self.out.glob("*.grid.png"))), 3)
        self.assertEqual([p for p in self.out.iterdir() if ".tmp-" in p.name], [])

    def test_arrays_are_the_networks_input(self):
        values = [random.Random(3).random() for _ in range(2 * 32 * 32 * 3)]
        tiny_model.write_npy(self.folder / "x.npy", (2, 32, 32, 3), values)
        tiny_model.write_npy(self.folder / "one.npy", (32, 32, 3), values[:3072])
        two = lines(run("explain", self.model, self.folder / "x.npy", "-o", self.out, "--json"))
        one = lines(run("explain", self.model, self.folder / "one.npy", "-o", self.out, "--json"))
        self.assertEqual([g["item"] for g in two], [0, 1])
        self.assertEqual(two[0]["logit"], one[0]["logit"])
        self.assertEqual(tiny_model.read_npy(two[0]["files"]["raw"]), tiny_model.read_npy(one[0]["files"]["raw"]))
        for backend in ["ref", "onednn"]:
            other = lines(run("explain", self.model, self.folder / "one.npy", "-o", self.out / backend, "--json", "--backend", backend))
            self.assertAlmostEqual(other[0]["logit"], one[0]["logit"], places=5)
        tiny_model.write_npy(self.folder / "small.npy", (8, 8, 3), values[:192])
        self.assertIn("[32,32,3]", run("classify", self.model, self.folder / "small.npy", code=1).stderr)

    def test_a_rerun_takes_what_is_there(self):
        first = run("explain", self.model, self.photos, "-o", self.out, "--json").stdout
        before = {p: p.stat().st_mtime_ns for p in self.out.iterdir()}
        again = run("explain", self.model, self.photos, "-o", self.out, "--json").stdout
        self.assertEqual(first, again)
        self.assertEqual(before, {p: p.stat().st_mtime_ns for p in self.out.iterdir()})
        removed = next(p for p in before if p.name.startswith("p1") and p.suffix == ".json")
        removed.unlink()
        run("explain", self.model, self.photos, "-o", self.out)
        self.assertTrue(removed.exists())
        run("explain", self.model, self.photos, "-o", self.out, "--force")
        self.assertNotEqual(before[removed], removed.stat().st_mtime_ns)

    def test_render_draws_the_same_bytes_again(self):
        got = lines(run("explain", self.model, self.photos / "p0.png", "-o", self.out, "--json"))[0]
        run("render", got["files"]["sidecar"], "-o", self.folder)
        for kind in ["heatmap", "overlay", "figure"]:
            old = pathlib.Path(got["files"][kind])
            self.assertEqual(old.read_bytes(), (self.folder / old.name).read_bytes())
        run("render", got["files"]["sidecar"], "-o", self.folder, "--colormap", "viridis")
        self.assertNotEqual(old.read_bytes(), (self.folder / old.name).read_bytes())
        self.assertIn("not a sidecar", run("render", self.photos / "p0.png", code=1).stderr)

    def test_damaged_images_are_skipped_and_counted(self):
        (self.photos / "a-broken.png").write_bytes((self.photos / "p1.png").read_bytes()[:500])
        (self.photos / "z-empty.jpg").write_bytes(b"")
        result = run("explain", self.model, self.photos, "-o", self.out, "--json", code=1)
        got = lines(result)
        self.assertEqual([g["status"] for g in got].count("error"), 2)
        self.assertEqual(len(got), 5)
        self.assertIn("2 of 5 images failed", result.stderr)
        self.assertIn("z-empty.jpg", result.stderr)
        run("classify", self.model, self.photos / "missing.png", code=1)

    def test_unwritable_output_exits_4(self):
        (self.folder / "file").write_text("x")
        for where in ["/proc/out", self.folder / "file", self.folder / "file" / "out"]:
            run("explain", self.model, self.photos, "-o", where, code=4)
        if os.path.exists("/dev/full"):
            with open("/dev/full", "w") as full:
                code = subprocess.run([PROGRAM, "classify", str(self.model), str(self.photos), "--json"], stdout=full,
                                      stderr=subprocess.DEVNULL, timeout=60).returncode
            self.assertEqual(code, 4)

    def test_an_interrupt_leaves_whole_files_and_a_rerun_continues(self):
        tiny_model.write_png(self.photos / "q00.png", 500, 400)
        for i in range(1, 60):
            shutil.copy(self.photos / "q00.png", self.photos / f"q{i:02}.png")
        process = subprocess.Popen([PROGRAM, "explain", self.model, self.photos, "-o", self.out, "--threads", "1"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + 60
        while len(list(self.out.glob("*.json"))) < 3 and time.time() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130)
        done = list(self.out.glob("*.json"))
        self.assertLess(len(done), 63)
        self.assertEqual([p for p in self.out.iterdir() if ".tmp-" in p.name], [])
        for p in done:
            for path in json.loads(p.read_text())["result"]["files"].values():
                self.assertTrue(os.path.exists(path))
        stamps = {p: p.stat().st_mtime_ns for p in done}
        self.assertEqual(len(lines(run("explain", self.model, self.photos, "-o", self.out, "--json"))), 63)
        self.assertEqual(stamps, {p: p.stat().st_mtime_ns for p in done})

    def test_equal_stems_do_not_collide(self):
        other = self.folder / "other"
        other.mkdir()
        shutil.copy(self.photos / "p1.png", other / "p0.png")
        got = lines(run("explain", self.model, self.photos / "p0.png", other / "p0.png", "-o", self.out, "--json"))
        self.assertNotEqual(got[0]["files"]["raw"], got[1]["files"]["raw"])

    def test_sigmoid_heads_explain_both_classes(self):
        model = tiny_model.write_model(self.folder / "sigmoid", classes=1, activation="sigmoid")
        got = lines(run("explain", model, self.photos / "p0.png", "-o", self.out, "--json", "--class", "0,1"))
        self.assertEqual([g["index"] for g in got], [0, 1])
        self.assertAlmostEqual(got[0]["probability"] + got[1]["probability"], 1, places=5)
        self.assertAlmostEqual(got[0]["logit"], -got[1]["logit"], places=6)

    def test_saturation_is_said(self):
        model = tiny_model.write_model(self.folder / "sharp", scale=4000)
        got = lines(run("explain", model, self.photos / "p1.png", "-o", self.out, "--json", "--target", "probability"))
        self.assertEqual(got[0]["status"], "saturated")
        self.assertNotEqual(lines(run("explain", model, self.photos / "p1.png", "-o", self.out, "--json"))[0]["status"], "saturated")

    def test_a_non_finite_input_names_the_layer(self):
        for bad in [float("inf"), float("nan")]:
            values = [0.5] * 3072
            values[100] = bad
            tiny_model.write_npy(self.folder / "x.npy", (32, 32, 3), values)
            result = run("explain", self.model, self.folder / "x.npy", "-o", self.out, "--json", "--force")
            self.assertEqual(lines(result)[0]["status"], "non-finite")
            self.assertIn("at layer image", result.stderr)
            self.assertEqual(max(tiny_model.read_npy(lines(result)[0]["files"]["raw"])), 0)

    def test_layers_and_doctor(self):
        got = lines(run("layers", self.model, "--json", "-q"))
        self.assertEqual([g["name"] for g in got if g["automatic"]], ["b"])
        self.assertEqual([g["name"] for g in got if g["candidate"]], ["a", "b"])
        self.assertEqual(next(g for g in got if g["name"] == "a")["stride"], [2.0, 2.0])
        self.assertEqual(next(g for g in got if g["name"] == "a")["parameters"], 3 * 3 * 3 * 8 + 8)
        self.assertIn("assumed", run("layers", self.model).stderr)
        self.assertIn("onednn", lines(run("doctor", "--json"))[0])
        self.assertIn("scores", run("doctor", self.model, "-q").stdout)
        self.assertIn("gradcam", [m["name"] for m in lines(run("methods", "--json"))])

    def test_manual_and_completion(self):
        manual = run("man").stdout
        if shutil.which("man"):
            checked = subprocess.run(["man", "--warnings", "-l", "-"], input=manual, capture_output=True, text=True,
                                     env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
            self.assertEqual(checked.stderr, "")
            self.assertIn("netgaze explain", checked.stdout)
        script = run("completion", "bash").stdout + '\nCOMP_WORDS=(netgaze exp) COMP_CWORD=1; _netgaze; echo "${COMPREPLY[0]}"\n'
        self.assertEqual(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip(), "explain")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=1)
