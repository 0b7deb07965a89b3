#!/usr/bin/env python3
"""Help, wrong usage, unusable models: what is said, and the exit code. Usage: test_usage.py PROGRAM"""
import os
import shutil
import subprocess

import program
import tiny_model
from program import ProgramTest, lines, run

COMMANDS = ["explain", "classify", "layers", "methods", "render", "doctor", "bench", "tune", "cache", "convert", "man", "completion"]


class Usage(ProgramTest):
    def test_help_of_every_command_has_examples(self):
        for command in COMMANDS:
            text = run(command, "--help").stdout
            self.assertIn("Examples:", text)
            self.assertIn("Usage: netgaze " + command, text)
            self.assertEqual(text, run("help", command).stdout)
            self.assertLessEqual(max(map(len, text.splitlines())), 100, command)
        self.assertIn("explain", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^netgaze \d+\.\d+\.\d+$")

    def test_wrong_usage_exits_2_and_says_why(self):
        explain = ("explain", self.model, self.photos, "-o", self.out)
        classify = ("classify", self.model, self.photos)
        for arguments, words in [
                ((), "Commands:"), (("explian",), "did you mean 'explain'"), (("frobnicate",), "not a command"),
                (("classify",), "a model is missing"), (("layers",), "a model is missing"),
                (("classify", self.model), "no images"), (("explain", self.model, self.photos), "-o DIR"),
                ((*classify, "--tpo", "3"), "did you mean --top"), ((*classify, "--zzz"), "not known"),
                ((*classify, "--top", "many"), "whole number"), ((*classify, "--top", "2.5"), "whole number"),
                ((*classify, "--top", "-1"), "from 0"), ((*classify, "--top"), "a value (K) is missing"),
                ((*classify, "--json=yes"), "takes no value"), ((*classify, "--labels", ""), "empty"),
                ((*classify, "--labels", self.folder / "none.txt"), "No such file"),
                ((*classify, "--preprocess", "tff"), "did you mean 'tf'"),
                ((*classify, "--preprocess", "magic"), "expected auto, tf, torch"),
                ((*classify, "--input-size", "3x"), "240x320"), ((*classify, "--input-size", "0"), "240x320"),
                ((*classify, "--fit", "x"), "squash, crop or letterbox"), ((*classify, "--batch", "0"), "from 1"),
                (("layers", self.model, "second"), "too many"), (("methods", "x"), "takes no argument"),
                (("completion", "fish"), "expected bash"), (("render",), "name the sidecars"),
                ((*explain, "--layer", "bb"), "did you mean"), ((*explain, "--layer", "pool"), "above 1x1"),
                ((*explain, "--class", "9"), "0 to 2"), ((*explain, "--class", "0,zebra"), "zebra"),
                ((*explain, "--class", "1", "--top", "2"), "exclude each other"),
                ((*explain, "--method", "gradcan"), "did you mean 'gradcam'"),
                ((*explain, "--method", "cam", "--layer", "a"), "--layer b"),
                ((*explain, "--colormap", "x"), "viridis"), ((*explain, "--outputs", "raw,x"), "sidecar"),
                ((*explain, "--alpha", "1.5"), "from 0 to 1"), ((*explain, "--target", "loss"), "logit, probability, log-probability, contrast, finer or rest"),
                ((*explain, "--compat", "article", "--signed"), "draws no signed maps"),
                ((*explain, "--compat", "keras", "--fit", "crop"), "squash")]:
            result = run(*arguments, code=2)
            self.assertIn(words, result.stderr, arguments)
            self.assertEqual(result.stdout, "", arguments)
        self.assertFalse(self.out.exists())

    def test_forms_of_options(self):
        wanted = run("classify", self.model, self.photos, "--json", "--top", 2).stdout
        for form in [("-k", 2), ("-k2",), ("--top=2",)]:
            self.assertEqual(run("classify", "--json", *form, self.model, self.photos).stdout, wanted)
        self.assertEqual(run("classify", "--model", self.model, "--json", "-k2", "--", self.photos).stdout, wanted)

    def test_an_unusable_model_exits_3(self):
        (self.folder / "text.h5").write_text("this is not a model")
        (self.folder / "empty.keras").write_bytes(b"")
        bad = tiny_model.write_model(self.folder / "bad", bad_value=float("nan"))
        for model, words in [(self.folder / "none.keras", "no such file"), (self.folder / "text.h5", "not a model"),
                             (self.folder / "empty.keras", "empty"), (self.photos, "model.json"), (bad, "NaN")]:
            for command in [("classify", model, self.photos), ("layers", model), ("doctor", model),
                            ("explain", model, self.photos, "-o", self.out)]:
                self.assertIn(words, run(*command, code=3).stderr)
        self.assertFalse(self.out.exists())

    def test_preprocessing_is_said_and_doubted(self):
        text = run("classify", self.model, self.photos).stderr
        self.assertIn("preprocessing: tf (from: assumed)", text)
        self.assertIn("-1 to 1", text)
        self.assertIn("warning: neither the model", text)
        self.assertIn("raw pixels", run("classify", self.model, self.photos, "--preprocess", "raw").stderr)
        self.assertNotIn("warning", run("classify", self.model, self.photos, "--preprocess", "unit").stderr)
        scaled = tiny_model.write_model(self.folder / "scaled", rescale=(1 / 127.5, -1))
        self.assertNotIn("warning", run("classify", scaled, self.photos).stderr)
        self.assertIn("from: graph", run("classify", scaled, self.photos).stderr)
        self.assertIn("too narrow", run("classify", scaled, self.photos, "--preprocess", "tf").stderr)
        self.assertEqual(run("classify", self.model, self.photos, "--quiet").stderr, "")

    def test_layers(self):
        got = lines(run("layers", self.model, "--json", "-q"))
        self.assertEqual([g["name"] for g in got if g["automatic"]], ["b"])
        self.assertEqual([g["name"] for g in got if g["candidate"]], ["a", "b"])
        a = next(g for g in got if g["name"] == "a")
        self.assertEqual((a["class"], a["shape"], a["stride"]), ("Conv2D", [16, 16, 8], [2.0, 2.0]))
        self.assertEqual((a["parameters"], a["trainable"]), (3 * 3 * 3 * 8 + 8, True))
        self.assertEqual([g["name"] for g in lines(run("layers", self.model, "--json", "--candidates"))], ["a", "b"])
        text = run("layers", self.model).stdout
        self.assertRegex(text, r"(?m)^\* b +Conv2D +16x16x16 +2 ")
        self.assertRegex(text, r"(?m)^\+ a ")
        self.assertNotIn("\033", text)

    def test_doctor_and_methods(self):
        machine = lines(run("doctor", "--json"))[0]
        self.assertTrue({"version", "onednn", "cpu", "features", "caches", "weights", "cores"} <= set(machine))
        machine, model = lines(run("doctor", self.model, "--json"))
        self.assertTrue(model["finite"])
        self.assertIn("scores", model["kernels"])
        self.assertIn("Kernels", run("doctor", self.model, "-q", "--backend", "ref").stdout)
        methods = [m["name"] for m in lines(run("methods", "--json"))]
        self.assertEqual(methods[:2], ["cam", "gradcam"])
        self.assertIn("Grad-CAM", run("methods").stdout)

    def test_the_manual_parses(self):
        manual = run("man").stdout
        for command in COMMANDS:
            self.assertIn(f"netgaze {command}", manual)
        if not shutil.which("man"):
            self.skipTest("man is not installed")
        (self.folder / "netgaze.1").write_text(manual)
        checked = subprocess.run(["man", "--warnings", "-l", self.folder / "netgaze.1"], capture_output=True, text=True,
                                 env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        self.assertEqual(checked.stderr, "")
        self.assertIn("--colormap NAME", checked.stdout)
        self.assertIn("EXIT STATUS", checked.stdout)

    def test_completion(self):
        script = self.folder / "netgaze.bash"
        script.write_text(run("completion", "bash").stdout)

        def complete(*words):
            text = (f'source "{script}"; COMP_WORDS=({" ".join(words)}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); '
                    '_netgaze; echo "${COMPREPLY[*]}"')
            done = subprocess.run(["bash", "-eu", "-c", text], capture_output=True, text=True, cwd=self.photos)
            self.assertEqual(done.stderr, "")
            return done.stdout.split()

        self.assertEqual(complete("netgaze", "exp"), ["explain"])
        self.assertEqual(complete("netgaze", "explain", "m", "--colorm"), ["--colormap"])
        self.assertEqual(complete("netgaze", "explain", "m", "--fit", "l"), ["letterbox"])
        self.assertEqual(complete("netgaze", "classify", "m", "p1"), ["p1.png"])
        self.assertNotIn("--colormap", complete("netgaze", "classify", "--"))

    def test_writing_to_a_full_device_exits_4(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for command in [["classify", self.model, self.photos, "--json"], ["layers", self.model], ["man"],
                        ["methods", "--json"]]:
            with open("/dev/full", "w") as full:
                done = subprocess.run([program.PROGRAM, *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=60)
            self.assertEqual(done.returncode, 4, command)
            self.assertIn("No space left", done.stderr)

    def test_a_closed_pipe_ends_the_run(self):
        for i in range(40):
            shutil.copy(self.photos / "p1.png", self.photos / f"q{i}.png")
        process = subprocess.Popen([program.PROGRAM, "classify", str(self.model), str(self.photos), "--json", "-q"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(60), 141)
        process.stderr.close()


if __name__ == "__main__":
    program.main()
