#!/usr/bin/env python3
"""netgaze train: what it writes, interruptions, and what goes wrong. Usage: test_train.py PROGRAM"""
import json
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import time
import zlib

import program
import tiny_model
from page import Page
from program import ProgramTest, lines, run

CLASSES = ["a", 'b "q", é', "c's\\"]


def write_picture(path, colour, seed):
    """32x32 pixels of one colour's shades, in blocks."""
    rng = random.Random(seed)
    rows = b""
    for _ in range(8):
        row = b"\0" + b"".join(bytes(min(255, rng.randrange(120) + 90 * (c == colour)) for c in range(3)) * 4
                               for _ in range(8))
        rows += row * 4

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Train(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        for c, name in enumerate(CLASSES):
            (self.data / name).mkdir(parents=True)
            for i in range(10):
                write_picture(self.data / name / f"{i}.png", c, 100 * c + i)
        self.out = self.folder / "new.keras"
        self.train_folder = self.folder / "new-train"

    def command(self, *options, out=None):
        return ["train", self.model, self.data, "-o", out or self.out, "--json", "-q", "--batch", 8, *options]

    def train(self, *options, code=0, out=None):
        return lines(run(*self.command(*options, out=out), code=code))

    def model_bytes(self):
        return [p.read_bytes() for p in (sorted(self.out.iterdir()) if self.out.is_dir() else [self.out])]

    def metrics(self):
        return [json.loads(line) for line in (self.train_folder / "metrics.jsonl").read_text().splitlines()]

    def test_a_head(self):
        *epochs, end = self.train("--epochs", 40, "--rate", 0.05)
        self.assertEqual([e["epoch"] for e in epochs], list(range(1, len(epochs) + 1)))
        self.assertLess(epochs[-1]["loss"], epochs[0]["loss"])
        self.assertEqual((end["train_images"], end["val_images"], end["test_images"]), (24, 6, 0))
        self.assertGreater(end["val_accuracy"], 0.8)
        self.assertEqual(end["checked_images"], 8)
        self.assertLess(end["largest_difference"], 1e-4)
        self.assertEqual([e["val_loss"] for e in epochs], [m["val_loss"] for m in self.metrics()])
        self.assertEqual(sorted(p.name for p in self.train_folder.iterdir()),
                         ["features", "metrics.jsonl", "train", "validation"])
        # The file alone, as anyone uses it: labels and preprocessing are inside.
        right = 0
        for c, name in enumerate(CLASSES):
            for result in lines(run("classify", self.out, self.data / name, "--json", "--top", 1)):
                right += result["predictions"][0]["label"] == name
        self.assertGreater(right, 24)
        first = run("classify", self.out, self.data / "a").stderr
        self.assertIn("netgaze.json", first)

    def test_the_same_bytes(self):
        options = ["--epochs", 4, "--unfreeze", "b", "--fine-epochs", 2, "--augment", "flip=horizontal,mixup=0.2", "--ema", 0.9]
        self.train("--threads", 1, *options)
        first = self.out.read_bytes()
        shutil.rmtree(self.train_folder)
        self.train("--threads", 3, *options)
        self.assertEqual(first, self.out.read_bytes())
        self.train("--threads", 2, "--seed", 5, *options)
        self.assertNotEqual(first, self.out.read_bytes())
        self.train("--threads", 2, "--epsilon", 0.01, *options)
        self.assertNotEqual(first, self.out.read_bytes())

    def test_unfreezing_in_a_model_inside_the_base(self):
        """By the path that `netgaze layers` shows; the inner model's own name is all of it."""
        self.model = pathlib.Path(__file__).parent.parent / "fixtures" / "models" / "keras3.15_nested_functional" / "model.keras"
        saved = {}
        for layer in ("tiny_base", "tiny_base/stem", "stem", "tiny_base/mixed0", "neck"):
            self.train("--preprocess", "tf", "--epochs", 1, "--unfreeze", layer, "--fine-epochs", 1, "--fine-rate", 0.01,
                       "--no-report", "--keep-last")
            saved[layer] = self.out.read_bytes()
        self.assertEqual(saved["tiny_base"], saved["tiny_base/stem"])
        self.assertEqual(saved["tiny_base"], saved["stem"])
        self.assertEqual(saved["tiny_base/mixed0"], saved["neck"])
        self.assertNotEqual(saved["tiny_base"], saved["neck"])
        self.assertIn("from the layer 'gap' up to 'neck'",
                      run(*self.command("--preprocess", "tf", "--unfreeze", "gap"), code=2).stderr)

    def test_dense_layers_of_the_base_stay(self):
        """A base cut behind a dense layer of its own: what that has learnt is not thrown away with the head, and can be unfrozen."""
        def weights(folder):
            model = json.loads((folder / "model.json").read_text())
            data, found = b"", {}
            for group in model["weightsManifest"]:
                data += b"".join((folder / p).read_bytes() for p in group["paths"])
                for w in group["weights"]:
                    size = 4 * math.prod(w["shape"])
                    found[w["name"]], data = data[:size], data[size:]
            return found
        self.train("--epochs", 2, "--hidden", "6,5", "--no-report", out=self.folder / "first")
        self.model = self.folder / "first"
        self.train("--epochs", 2, "--base-layer", "head_dense_2", "--no-report", out=self.folder / "second")
        self.train("--epochs", 1, "--base-layer", "head_dense_2", "--unfreeze", "head_dense_2", "--fine-epochs", 1, "--fine-rate", 0.1,
                   "--keep-last", "--no-report", out=self.folder / "third")
        first, second, third = (weights(self.folder / name) for name in ("first", "second", "third"))
        changed = {name for name in first if name in third and first[name] != third[name]}
        self.assertEqual(changed, {"head_dense_2/kernel", "head_dense_2/bias", "head_predictions/kernel", "head_predictions/bias"})
        changed = {name for name in first if name in second and first[name] != second[name]}
        self.assertLessEqual(changed, {"head_predictions/kernel", "head_predictions/bias"})
        self.assertIn("head_dense_1/kernel", second)

    def test_a_table_without_validation(self):
        table = run("train", self.model, self.data, "-o", self.out, "--epochs", 2, "--val", 0, "-q", "--no-report").stdout
        self.assertRegex(table.splitlines()[1], r"^ +1  head .* -  +-  ")
        self.assertNotIn("nan", table)

    def test_a_network_of_grey_images(self):
        """Its top is trained too, with augmentation or without."""
        self.model = pathlib.Path(__file__).parent.parent / "fixtures" / "models" / "keras3.15_channels_1" / "model.keras"
        options = ["--preprocess", "tf", "--epochs", 1, "--unfreeze", "stem", "--fine-epochs", 1, "--no-report"]
        for augment in ("none", "flip=horizontal,rotation=0.1,contrast=0.2,cutout=1,mixup=0.2", "cutmix=1"):
            self.assertLess(self.train(*options, "--augment", augment)[-1]["largest_difference"], 1e-4)
        self.assertIn("hue is for colour", run(*self.command(*options, "--augment", "hue=0.1"), code=2).stderr)

    def test_other_formats(self):
        for name in ["new.h5", "new-tfjs"]:
            self.train("--epochs", 2, out=self.folder / name)
            self.assertEqual(len(lines(run("classify", self.folder / name, self.data / "a", "--json"))), 10)

    def test_killed_ten_times(self):
        """At any moment, by kill -9 or Ctrl-C: the same bytes as a run that was left alone."""
        options = ["--epochs", 200, "--patience", 0, "--unfreeze", "b", "--fine-epochs", 100, "--augment", "rotation=0.1",
                   "--checkpoint-minutes", 0.0005]
        began = time.monotonic()
        self.train(*options, out=self.folder / "whole.keras")
        longest = max(0.05, (time.monotonic() - began) / 8)  # ten parts of half that do not reach the end
        rng = random.Random(3)
        kills = 0
        while kills < 10:  # what is done stays done: each time the next part is reached
            child = subprocess.Popen([program.PROGRAM, *map(str, self.command(*options, "--resume"))],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(rng.uniform(0.01, longest))
            sent = rng.choice([signal.SIGKILL, signal.SIGINT])
            child.send_signal(sent)
            _, said = child.communicate(timeout=120)
            self.assertIn(child.returncode, [-signal.SIGKILL, 130, -signal.SIGINT, 0], said)
            kills += 1
            self.assertNotEqual(child.returncode, 0, f"done before it was interrupted {kills} times")
        (self.train_folder / f"checkpoint.tmp-{child.pid}-0").write_text("killed while it was written")
        self.train(*options, "--resume")
        self.assertEqual((self.folder / "whole.keras").read_bytes(), self.out.read_bytes())
        self.assertEqual([p.name for p in self.train_folder.iterdir() if p.name.startswith("checkpoint")], [])
        result = run(*self.command(*options, "--resume"))
        self.assertIn("nothing to resume", result.stderr)

    def test_what_cannot_be_saved_is_said_before_all_work(self):
        """Not after hours of it: where there is no place for the file, or its format has no such layers."""
        used = self.folder / "used"
        used.mkdir()
        (used / "file").write_text("another model")
        (self.folder / "folder.keras").mkdir()
        for out, words in ((self.folder / "no" / "x.keras", "No such file"), (used, "is there already"),
                           (self.folder / "folder.keras", "is a directory")):
            result = run(*self.command("--folder", self.train_folder, out=out), code=4)
            self.assertIn(words, result.stderr)
            self.assertEqual(result.stdout, "")
        self.model = pathlib.Path(__file__).parent.parent / "fixtures" / "models" / "keras3.15_family_convnext" / "model.keras"
        result = run(*self.command("--preprocess", "tf", out=self.folder / "tfjs"), code=3)
        self.assertIn("TensorFlow.js has no layer for it", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_killed_while_the_report_is_drawn(self):
        """The model is there already; going on makes the report, also where the model is a folder."""
        for self.out in (self.folder / "new.keras", self.folder / "new"):
            self.kill_while_the_report_is_drawn(["--epochs", 2])
            shutil.rmtree(self.folder / "new-report")

    def kill_while_the_report_is_drawn(self, options):
        for _ in range(20):  # where it was done before it was killed: once more
            child = subprocess.Popen([program.PROGRAM, *map(str, self.command(*options))], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            while child.poll() is None and not (self.folder / "new-report").exists():
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
            if child.wait(60) == -signal.SIGKILL and not (self.folder / "new-report" / "report.html").exists():
                break
            shutil.rmtree(self.out, ignore_errors=True)
            shutil.rmtree(self.folder / "new-report")
        saved = self.model_bytes()
        self.train(*options, "--resume")
        self.assertEqual(self.model_bytes(), saved)
        self.assertTrue((self.folder / "new-report" / "report.html").exists())

    def test_an_interrupt_says_how_to_go_on(self):
        child = subprocess.Popen([program.PROGRAM, *map(str, self.command("--epochs", 100000, "--patience", 0))],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
        self.assertEqual(child.returncode, 130)
        self.assertIn("--resume", said)
        self.assertTrue((self.train_folder / "checkpoint").exists())
        self.assertFalse(self.out.exists())
        for other in [("--epochs", 7), ("--epochs", 100000, "--patience", 0, "--epsilon", 0.01)]:
            result = run(*self.command(*other, "--resume"), code=2)
            self.assertIn("another run", result.stderr)
        result = run(*self.command("--epochs", 1))
        self.assertIn("not finished", result.stderr)

    def test_other_boxes_are_another_run(self):
        self.data = self.listed()
        options = ["--epochs", 1, "--attention-loss", 1, "--fine-epochs", 100000, "--patience", 0]
        child = subprocess.Popen([program.PROGRAM, *map(str, self.command(*options))], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=120)
        self.assertEqual(child.returncode, 130)
        copied = {p: p.stat() for p in self.data.parent.glob("*.png")}
        self.data.write_text(self.data.read_text().replace("2 2 12 12", "2 2 12 13"))
        self.assertEqual(copied, {p: p.stat() for p in copied})
        self.assertIn("another run", run(*self.command(*options, "--resume"), code=2).stderr)

    def test_damage_among_the_images(self):
        (self.data / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
        result = run(*self.command("--epochs", 1), code=1)
        self.assertIn("broken.png", result.stderr)
        self.assertEqual(lines(result)[-1]["unreadable"], 1)
        self.assertTrue(self.out.exists())

    def test_images_that_vanish_while_it_trains(self):
        """Each is named once and left out; others are checked in its place at the end."""
        for options in (["--epochs", 300], ["--epochs", 1, "--unfreeze", "b", "--fine-epochs", 40, "--augment", "flip=horizontal"]):
            gone = [self.data / name / f"{i}.png" for name in CLASSES for i in range(8)]
            kept = [p.read_bytes() for p in gone]
            child = subprocess.Popen([program.PROGRAM, *map(str, self.command(*options, "--patience", 0, "--no-report"))],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            first = child.stdout.readline()
            for p in gone:
                p.unlink()
            out, said = child.communicate(timeout=120)
            self.assertIn("epoch", first)
            end = json.loads(out.splitlines()[-1])
            self.assertTrue(0 < end["checked_images"] <= 8, end)
            left_out = [line for line in said.splitlines() if "left out:" in line]
            self.assertEqual(len(left_out), len(set(left_out)))
            self.assertEqual(len(left_out), end["unreadable"])
            self.assertEqual(child.returncode, 1 if left_out else 0)
            self.assertEqual(bool(left_out), "--unfreeze" in options)
            for p, data in zip(gone, kept):
                p.write_bytes(data)
        child = subprocess.Popen([program.PROGRAM, *map(str, self.command(*options, "--patience", 0))], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        child.stdout.readline()
        for name in CLASSES:
            shutil.rmtree(self.data / name)
        said = child.communicate(timeout=120)[1]
        self.assertEqual(child.returncode, 4)
        self.assertRegex(said, "none of the (validation )?images could be read any more")

    def test_odd_data(self):
        (self.data / "single").mkdir()
        write_picture(self.data / "single" / "x.png", 1, 7)
        result = run(*self.command("--epochs", 1))
        self.assertIn("'single' has a single image", result.stderr)
        shutil.copy(self.data / "a" / "0.png", self.data / "c's\\" / "copy.png")
        for i in range(40):
            shutil.copy(self.data / "a" / "1.png", self.data / "a" / f"copy{i}.png")
        result = run(*self.command("--epochs", 1))
        self.assertIn("near-duplicates lie in two splits", result.stderr)
        self.assertGreater(lines(result)[-1]["duplicates_across"], 0)
        self.assertNotIn("near-duplicates", run(*self.command("--epochs", 1, "--no-duplicates")).stderr)
        for name in CLASSES:
            shutil.rmtree(self.data / name)
        self.assertIn("two at least", run(*self.command(), code=2).stderr)

    def test_a_label_that_no_model_can_keep_is_refused_at_once(self):
        os.rename(self.data / CLASSES[0], os.fsencode(self.data) + b"/caf\xe9")
        said = run(*self.command("--epochs", 1000000, "--patience", 0), code=2, errors="replace").stderr
        self.assertIn("is not UTF-8 text", said)
        self.assertFalse(self.train_folder.exists() and (self.train_folder / "metrics.jsonl").exists())

    def test_several_labels(self):
        table = self.data / "list.csv"
        rows = [f"{name}/{i}.png,{label}" for name, label in [("a", "x"), ("c's\\", "y")] for i in range(10)]
        rows += [f"a/{i}.png,z" for i in range(0)] + ['"b ""q"", é/%d.png",x|y' % i for i in range(10)]
        table.write_text("path,label\n" + "\n".join(rows) + "\n")
        *_, end = lines(run("train", self.model, table, "-o", self.out, "--json", "-q", "--epochs", 60, "--rate", 0.05))
        self.assertGreater(end["val_accuracy"], 0.7)
        result = run("train", self.model, table, "-o", self.out, "--loss", "softmax", code=2)
        self.assertIn("several labels", result.stderr)

    def listed(self, columns="path,label,box", rest=",2 2 12 12"):
        """The same images as a CSV whose boxes say where to look."""
        rows = [columns] + [f"{i}.{c}.png,{'abc'[c]}{rest}" for c in range(3) for i in range(10)]
        folder = self.folder / "listed"
        folder.mkdir(exist_ok=True)
        for c, name in enumerate(CLASSES):
            for i in range(10):
                shutil.copy(self.data / name / f"{i}.png", folder / f"{i}.{c}.png")
        (folder / "list.csv").write_text("\n".join(rows) + "\n")
        return folder / "list.csv"

    def test_attention_and_backgrounds(self):
        self.data = self.listed()
        *epochs, end = self.train("--epochs", 2, "--fine-epochs", 3, "--attention-loss", 1, "--background-swap", 0.5)
        self.assertEqual([e["stage"] for e in epochs], ["head"] * 2 + ["top"] * 3)
        self.assertLess(end["largest_difference"], 1e-4)
        first = self.out.read_bytes()
        self.train("--epochs", 2, "--fine-epochs", 3, "--attention-loss", 0, "--background-swap", 0.5)
        self.assertNotEqual(self.out.read_bytes(), first)

    def test_attention_wants_to_know_where_objects_are(self):
        def refused(*options):
            return run(*self.command("--attention-loss", 1, *options), code=2).stderr
        self.assertIn("mask or box", refused())
        self.data = self.listed()
        self.assertIn("mixup and cutmix", refused("--augment", "mixup=0.2"))
        self.assertIn("pooling avg", refused("--pooling", "max"))
        self.assertIn("no epochs", refused("--fine-epochs", 0))

    def test_the_report_and_what_is_watched(self):
        *_, end = self.train("--epochs", 3, "--unfreeze", "b", "--fine-epochs", 2, "--watch", 4)
        report = self.folder / "new-report"
        self.assertEqual(end["report"], str(report))
        figures = json.loads((report / "report.json").read_text())
        self.assertEqual(figures["split"], "val")
        self.assertIn("<html", (report / "report.html").read_text()[:200])
        self.assertIn("--watch 4", (report / "report.html").read_text())
        self.assertIn(b"(5, 4, 4)", (report / "watch-figures.npy").read_bytes()[:128])  # epochs, images, figures
        self.assertTrue((report / "watch.webp").stat().st_size > 0)
        for name, pictures in [("watch.html", 4), ("report.html", 4)]:
            text = (report / name).read_text(encoding="utf-8")
            for word in ("http://", "https://", "url(", "@import", "nan %", "(null)"):
                self.assertNotIn(word, text)
            page = Page(text)
            page.check(self)
            self.assertGreaterEqual(page.counts["image"], pictures)
            if name == "watch.html":  # the photos, and of each a map an epoch
                self.assertEqual(sorted(i for i in page.ids if i[1:].isdigit() and i[0] == "w"), ["w0", "w1", "w2", "w3"])
                self.assertEqual(sum(i[0] == "m" and i[1].isdigit() for i in page.ids), 4 * 5)

    def test_no_report(self):
        *_, end = self.train("--epochs", 1, "--no-report")
        self.assertEqual(end["report"], "")
        self.assertFalse((self.folder / "new-report").exists())

    def test_a_report_that_cannot_be_written_costs_nothing(self):
        (self.folder / "new-report").write_text("a file in the way")
        result = run(*self.command("--epochs", 1))
        self.assertIn("report is not", result.stderr)
        self.assertEqual(lines(result)[-1]["report"], "")
        self.assertTrue(self.out.exists())

    def test_the_rate_falls_on_a_plateau_before_patience_ends(self):
        for patience, waits in ((6, 3), (0, 10)):
            *epochs, _ = self.train("--schedule", "plateau", "--optimizer", "sgd", "--rate", 3, "--epochs", 40, "--patience", patience,
                                    "--no-report")
            rate, best, wait = 3, float("inf"), 0
            for e in epochs:  # keras.callbacks.ReduceLROnPlateau
                self.assertAlmostEqual(e["learning_rate"], rate, places=9)
                wait = 0 if e["val_loss"] < best - 1e-4 else wait + 1
                best = min(best, e["val_loss"]) if wait == 0 else best
                if wait >= waits:
                    rate, wait = rate * 0.1, 0
            self.assertLess(epochs[-1]["learning_rate"], 3)

    def test_divergence(self):
        # Decay by more than the weights themselves: each update makes them 999 times as large.
        result = run(*self.command("--optimizer", "sgd", "--rate", 1000, "--weight-decay", 1, "--epochs", 50, "--patience", 0),
                     code=2)
        self.assertRegex(result.stderr, r"epoch \d+, step \d+: .* diverged")
        self.assertFalse(self.out.exists())

    def test_wrong_usage(self):
        for options, words in [(["--augment", "flip=horizontal"], "second stage"), (["--base-layer", "q"], "no layer 'q'"),
                               (["--unfreeze", "pool", "--base-layer", "b"], ""), (["--memory", "lots"], "not a size"),
                               (["--hidden", "3,x"], "--hidden"), (["--loss", "l2"], "softmax"),
                               (["--unfreeze", "b", "--memory", "1"], "MB are allowed")]:
            self.assertIn(words, run(*self.command(*options), code=2).stderr)
        run("train", self.model, code=2)
        run("train", self.model, self.data, code=2)
        run("train", self.model, self.folder / "nowhere", "-o", self.out, code=2)
        self.assertFalse(self.out.exists())

    def test_no_space(self):
        def limit(size):
            def set_limit():
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            return set_limit
        for size in [64, 4000]:  # the features; what comes after them
            result = run(*self.command("--epochs", 2), code=4, preexec_fn=limit(size))
            self.assertRegex(result.stderr, "File too large|too large")
            self.assertFalse(self.out.exists())
        self.train("--epochs", 2)

    def test_many_files(self):
        """Copies at that; NETGAZE_MANY=100000 makes it as many."""
        many = int(os.environ.get("NETGAZE_MANY", 3000))
        for i in range(many):
            os.link(self.data / "a" / f"{i % 10}.png", self.data / "a" / f"link{i}.png")
        *_, end = self.train("--epochs", 1, "--balanced", "--no-report")
        self.assertEqual(end["train_images"] + end["val_images"], many + 30)
        self.assertGreater(end["duplicates_across"], many / 10)

    def test_probe(self):
        rows = lines(run("probe", self.model, self.data, "--json", "-q", "--threads", 1))
        self.assertEqual([r["layer"] for r in rows], ["a", "b"])
        self.assertEqual([r["features"] for r in rows], [8, 16])
        self.assertEqual(sum(r["recommended"] for r in rows), 1)
        self.assertLess(rows[0]["cost"], rows[1]["cost"])
        for row in rows:
            self.assertTrue(row["low"] <= row["accuracy"] <= row["high"])
            self.assertGreater(row["accuracy"], 0.6)
        self.assertEqual(rows, lines(run("probe", self.model, self.data, "--json", "-q", "--threads", 3)))
        row, = lines(run("probe", self.model, self.data, "--json", "-q", "--layer", "b", "--images", 21, "--folds", 3))
        self.assertTrue(row["images"] <= 21 and row["recommended"])
        self.assertIn("earliest layer within one standard error", run("probe", self.model, self.data).stdout)
        (self.data / "a" / "broken.png").write_bytes(b"no")
        self.assertIn("1 images could not be read", run("probe", self.model, self.data, code=1).stderr)
        with open(self.folder / "list.csv", "w") as f:
            f.write("path,label,group\n" + "".join(f"{self.data}/a/{i}.png,{'ab'[i % 2]},{'gh'[i // 5]}\n" for i in range(10)))
        self.assertIn("of 2 groups", run("probe", self.model, self.folder / "list.csv", "--folds", 3, code=2).stderr)
        run("probe", self.model, self.folder / "list.csv", "--folds", 2)
        run("probe", self.model, code=2)
        run("probe", self.model, self.data, "--layer", "q", code=2)


if __name__ == "__main__":
    program.main()
