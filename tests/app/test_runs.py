#!/usr/bin/env python3
"""Folders of images: what is found, damaged files, reruns, interruption, places that cannot be written.
Usage: test_runs.py PROGRAM"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import program
import tiny_model
from program import ProgramTest, lines, run


class Runs(ProgramTest):
    def names(self, *arguments, code=0):
        got = lines(run("classify", self.model, *arguments, "--json", "-q", code=code))
        return [pathlib.Path(g["image"]).name for g in got]

    def test_folders_globs_and_repeats(self):
        (self.photos / "notes.txt").write_text("no image")
        (self.photos / ".hidden.png").write_bytes(b"")
        (self.photos / "sub").mkdir()
        shutil.copy(self.photos / "p0.png", self.photos / "sub" / "Q.PNG")
        self.assertEqual(self.names(self.photos), ["p0.png", "p1.png", "p2.png"])
        self.assertEqual(self.names(self.photos, "-r"), ["p0.png", "p1.png", "p2.png", "Q.PNG"])
        self.assertEqual(self.names(self.photos / "p2.png", self.photos), ["p2.png", "p0.png", "p1.png"])
        self.assertEqual(self.names(f"{self.photos}/p[12]*"), ["p1.png", "p2.png"])
        self.assertEqual(self.names(f"{self.photos}//p1.png", self.photos / "p1.png"), ["p1.png"])
        os.symlink(self.photos, self.photos / "sub" / "loop")
        self.assertEqual(len(self.names(self.photos, "-r")), 4)
        (self.folder / "empty").mkdir()
        self.assertIn("no images", run("classify", self.model, self.folder / "empty", code=2).stderr)

    def test_results_beside_the_images_are_no_images(self):
        for _ in range(2):
            got = lines(run("explain", self.model, self.photos, "-o", self.photos, "--json", "--grid"))
            self.assertEqual(len(got), 3)
        self.assertEqual(len(self.names(self.photos)), 3)
        run("explain", self.model, self.photos, "-r", "-o", self.photos / "maps")
        self.assertEqual(len(lines(run("explain", self.model, self.photos, "-r", "-o", self.photos / "maps", "--json"))), 3)

    def test_equal_stems_do_not_collide(self):
        other = self.folder / "other"
        other.mkdir()
        shutil.copy(self.photos / "p1.png", other / "p0.png")
        shutil.copy(self.photos / "p1.png", other / "p0.copy.png")
        (other / "p0.jpg").write_bytes((self.photos / "p1.png").read_bytes())
        inputs = [self.photos / "p0.png", other / "p0.png", other / "p0.jpg"]
        got = self.explain(*inputs)
        names = [pathlib.Path(g["files"]["raw"]).name.split(".")[0] for g in got]
        self.assertEqual(names, ["p0", "other-p0", "other-p0-2"])
        self.assertEqual(self.explain(*inputs), got)
        # Alone, the second gets the first one's name: what is recorded of the first must not pass for it.
        alone = self.explain(other / "p0.png")
        self.assertEqual(alone[0]["logit"], got[1]["logit"])
        self.assertEqual(self.explain(*inputs), got)

    def test_long_names_are_shortened(self):
        long_name = "ü" * 120 + ".png"
        shutil.copy(self.photos / "p0.png", self.photos / long_name)
        got = self.explain(self.photos / long_name)
        self.assertTrue(os.path.exists(got[0]["files"]["figure"]))

    def test_damaged_images_are_skipped_and_counted(self):
        (self.photos / "a-broken.png").write_bytes((self.photos / "p1.png").read_bytes()[:500])
        (self.photos / "z-empty.jpg").write_bytes(b"")
        result = run("explain", self.model, self.photos, "-o", self.out, "--json", code=1)
        got = lines(result)
        self.assertEqual([g["status"] for g in got], ["error", "ok", "ok", "ok", "error"])
        self.assertEqual(set(got[0]), {"image", "status", "error"})
        self.assertIn("3 maps, 2 of 5 images failed", result.stderr)
        self.assertEqual(len([line for line in result.stderr.splitlines() if "z-empty.jpg" in line]), 1)
        self.assertIn("missing.png", run("classify", self.model, self.photos / "missing.png", code=1).stderr)
        run("classify", self.model, self.photos / "missing.png", self.photos / "p1.png", code=1)

    def test_a_rerun_takes_what_is_there(self):
        arguments = ("explain", self.model, self.photos, "-o", self.out, "--json", "--layer", "a,b", "--top", 2)
        first = run(*arguments).stdout
        before = self.stamps()
        self.assertEqual(first, run(*arguments).stdout)
        self.assertEqual(before, self.stamps())
        self.assertEqual(first, run(*arguments, cwd=self.folder).stdout)
        removed = next(p for p in before if p.name.startswith("p1.a") and p.suffix == ".json")
        figure = next(p for p in before if p.name.startswith("p2.b") and p.name.endswith("figure.png"))
        raw = next(p for p in before if p.name.startswith("p0.a") and p.suffix == ".npy")
        removed.unlink()
        figure.unlink()
        raw.write_bytes(b"")  # as a power failure may leave it
        self.assertEqual(first, run(*arguments).stdout)
        changed = {p.name.rsplit(".gradcam", 1)[0] for p, t in self.stamps().items() if before[p] != t}
        self.assertEqual(changed, {"p0.a", "p1.a", "p2.b"})

    def test_a_rerun_does_again_what_has_changed(self):
        self.explain(self.photos)
        before = self.stamps()

        def redone(*options, model=self.model):
            lines(run("explain", model, self.photos, "-o", self.out, "--json", *options))
            now = self.stamps()
            count = sum(1 for p, t in now.items() if p.name.endswith(".json") and before.get(p) != t)
            before.clear()
            before.update(now)
            return count

        self.assertEqual(redone(), 0)
        self.assertEqual(redone("--force"), 3)
        self.assertEqual(redone("--alpha", 0.5), 3)
        self.assertEqual(redone("--alpha", 0.5), 0)
        self.assertEqual(redone("--preprocess", "unit"), 3)
        os.utime(self.photos / "p1.png", (1, 1))
        self.assertEqual(redone("--preprocess", "unit"), 1)
        self.assertEqual(redone(model=tiny_model.write_model(self.folder / "other", scale=0.5)), 3)
        labels = self.folder / "labels.txt"
        labels.write_text("x\ny\nz\n")
        self.assertEqual(redone("--labels", labels), 3)
        (self.out / "p0.b.gradcam.0.json").write_text("{ damaged")
        self.assertGreaterEqual(redone("--labels", labels), 1)

    def test_a_grid_is_made_where_an_earlier_run_made_none(self):
        self.explain(self.photos, "--top", 2)
        self.assertEqual(list(self.out.glob("*.grid.png")), [])
        self.explain(self.photos, "--top", 2, "--grid")
        grids = sorted(self.out.glob("*.grid.png"))
        self.assertEqual(len(grids), 3)
        before = self.stamps()
        self.explain(self.photos, "--top", 2, "--grid")
        self.assertEqual(before, self.stamps())
        self.explain(self.photos, "--top", 3, "--grid")
        self.assertNotEqual(before[grids[0]], self.stamps()[grids[0]])

    def test_arrays_continue_too(self):
        tiny_model.write_npy(self.folder / "x.npy", (3, 32, 32, 3), [i % 7 / 7 for i in range(3 * 3072)])
        first = self.explain(self.folder / "x.npy")
        before = self.stamps()
        self.assertEqual(self.explain(self.folder / "x.npy"), first)
        self.assertEqual(before, self.stamps())
        pathlib.Path(first[1]["files"]["sidecar"]).unlink()
        self.assertEqual(self.explain(self.folder / "x.npy"), first)

    def test_unwritable_output_exits_4(self):
        (self.folder / "file").write_text("x")
        for where in ["/proc/out", self.folder / "file", self.folder / "file" / "out"]:
            result = run("explain", self.model, self.photos, "-o", where, code=4)
            self.assertIn(str(where).split("/out")[0], result.stderr)
            self.assertEqual(result.stdout, "")

    def test_a_full_disk_exits_4(self):
        # A limit on the size of files makes writing fail as a full disk does.
        import resource
        photo = self.photos / "wide.png"
        tiny_model.write_png(photo, 400, 300)

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        result = run("explain", self.model, photo, "-o", self.out, "--json", code=4, preexec_fn=limit)
        self.assertIn("File too large", result.stderr)
        self.assertEqual(lines(result)[0]["status"], "error")
        self.assert_no_partial_files()
        self.assertEqual(list(self.out.glob("*.json")), [])
        self.assertEqual(self.explain(photo)[0]["status"], "ok")

    def start_long_run(self, *options):
        tiny_model.write_png(self.photos / "q00.png", 500, 400)
        for i in range(1, 60):
            shutil.copy(self.photos / "q00.png", self.photos / f"q{i:02}.png")
        process = subprocess.Popen([program.PROGRAM, "explain", self.model, self.photos, "-o", self.out, *options],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 60
        while len(list(self.out.glob("*.json"))) < 3 and time.time() < deadline:
            time.sleep(0.02)
        return process

    def test_an_interrupt_leaves_whole_files_and_a_rerun_continues(self):
        for number, threads in [(signal.SIGINT, "1"), (signal.SIGTERM, "3")]:
            process = self.start_long_run("--threads", threads)
            process.send_signal(number)
            text = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 130)
            self.assertIn("the same command continues", text)
            done = list(self.out.glob("*.json"))
            self.assertLess(len(done), 63)
            self.assert_no_partial_files()
            for p in done:
                for path in json.loads(p.read_text())["files"].values():
                    self.assertTrue(os.path.exists(path))
            stamps = {p: p.stat().st_mtime_ns for p in done}
            self.assertEqual(len(self.explain(self.photos)), 63)
            self.assertEqual(stamps, {p: p.stat().st_mtime_ns for p in done})
            shutil.rmtree(self.out)

    def test_a_closed_pipe_ends_a_run_quietly(self):
        """As head does: what is begun is finished, nothing is said, and the exit code is that of programs ended by SIGPIPE."""
        reader, writer = os.pipe()
        os.close(reader)
        for command in (["layers", self.model], ["methods"], ["--help"], ["classify", self.model, self.photos, "-q"]):
            done = subprocess.run([program.PROGRAM, *map(str, command)], stdout=writer, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 141, command)
            self.assertNotIn("pipe", done.stderr)
        for i in range(60):
            shutil.copy(self.photos / "p0.png", self.photos / f"q{i:02}.png")
        done = subprocess.run([program.PROGRAM, "explain", self.model, self.photos, "-o", self.out, "--threads", "2"],
                              stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        self.assertEqual(done.returncode, 141)
        self.assertNotIn("pipe", done.stderr)
        self.assertNotIn("images failed", done.stderr)
        self.assertTrue(0 < len(list(self.out.glob("*.json"))) < 63)
        self.assert_no_partial_files()
        for p in self.out.glob("*.json"):
            for path in json.loads(p.read_text())["files"].values():
                self.assertTrue(os.path.exists(path))
        self.assertEqual(len(self.explain(self.photos)), 63)


if __name__ == "__main__":
    program.main()
