#!/usr/bin/env python3
"""netgaze evaluate: figures against the predictions they come from, the page as a document, strangers' names, damage,
interrupts. Usage: test_evaluate.py PROGRAM"""
import csv
import json
import math
import os
import random
import signal
import subprocess
import time

import program
import tiny_model
from page import Page
from program import ProgramTest, lines, run

HOSTILE = '<script>alert(1)</script>&"\'</title>'


class Evaluate(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.names = ["a b", "c,d", "é"]
        number = 0
        for name in self.names:
            (self.data / name).mkdir(parents=True)
            for _ in range(8):
                tiny_model.write_png(self.data / name / f"i{number}.png", 24 + number, 40, seed=number)
                number += 1

    def evaluate(self, *arguments, data=None, model=None, code=0, **options):
        result = run("evaluate", model or self.model, data or self.data, "-o", self.out, "--json", "-q", *arguments, code=code,
                     **options)
        return (lines(result) or [None])[0], result.stderr

    def rows(self):
        with open(self.out / "predictions.csv", newline="", encoding="utf-8", errors="surrogateescape") as f:
            return list(csv.DictReader(f))

    def page(self):
        text = (self.out / "report.html").read_text(encoding="utf-8")
        for word in ("http://", "https://", "url(", "@import", "nan %", "(null)"):
            self.assertNotIn(word, text)
        page = Page(text)
        page.check(self)
        return text, page

    def test_figures_are_those_of_the_predictions(self):
        summary, _ = self.evaluate()
        report = json.loads((self.out / "report.json").read_text(), parse_constant=program.refuse_constant)
        rows = self.rows()
        self.assertEqual(len(rows), 24)
        classified = {r["image"]: {p["label"]: p["probability"] for p in r["predictions"]}
                      for r in lines(run("classify", self.model, self.data, "-r", "--json", "--top", 0))}
        right, losses, confusion = 0, [], [[0] * 3 for _ in range(3)]
        for row in rows:
            p = [float(row["p " + name]) for name in self.names]
            for i in range(3):
                self.assertAlmostEqual(p[i], classified[row["path"]][f"class {i}"], places=6)
            truth, said = self.names.index(row["label"]), p.index(max(p))
            self.assertEqual(row["predicted"], self.names[said])
            self.assertEqual(row["right"], str(int(truth == said)))
            self.assertAlmostEqual(float(row["loss"]), -math.log(p[truth]), places=5)
            right += truth == said
            losses.append(float(row["loss"]))
            confusion[truth][said] += 1
        self.assertEqual([summary["images"], summary["right"], summary["split"]], [24, right, "all"])
        self.assertAlmostEqual(summary["accuracy"]["value"], right / 24)
        self.assertAlmostEqual(summary["log_loss"]["value"], sum(losses) / 24, places=6)
        self.assertEqual(report["confusion"], confusion)
        self.assertEqual([c["label"] for c in report["classes"]], self.names)
        self.assertAlmostEqual(report["accuracy"]["value"], right / 24)
        self.assertEqual(report["greatest_losses"][0], rows[losses.index(max(losses))]["path"])
        self.assertTrue(report["facts"]["Command"].startswith("netgaze evaluate "))

    def test_the_page_is_whole_and_needs_nothing(self):
        self.evaluate("--title", HOSTILE)
        text, page = self.page()
        self.assertNotIn("<script>alert", text)
        self.assertIn(HOSTILE, "".join(page.text))
        self.assertIn("default-src 'none'", text)
        self.assertGreater(page.counts["image"], 10)
        self.assertGreater(len(page.uses), 0)
        cells = [link for link in page.links if link.startswith("#cell-")]
        wrong = {(row["label"], row["predicted"]) for row in self.rows() if row["right"] == "0"}
        self.assertEqual(len(cells), len(wrong))
        self.assertEqual(set(os.listdir(self.out)), {"report.html", "report.json", "predictions.csv"})

    def test_without_pictures_and_with_other_methods(self):
        self.evaluate("--top", 0)
        _, page = self.page()
        self.assertNotIn("image", page.counts)
        self.evaluate("--method", "saliency", "--colormap", "viridis", "--top", 2)
        self.page()
        self.evaluate("--method", "smoothgrad", "--param", "samples=3", "--top", 1, "--fit", "crop")
        self.page()
        self.assertIn("spins", self.evaluate("--param", "spins=3", code=2)[1])
        self.assertIn("nowhere", self.evaluate("--layer", "nowhere", code=2)[1])

    def test_deep_images_and_plain_convolutions(self):
        for path in self.data.rglob("*.png"):
            tiny_model.write_deep_png(path, 40, 30, low=1000, high=1400, seed=len(path.name))
        probabilities = []
        for options in [[], ["--window-center", 1200, "--window-width", 400], ["--window-center", 300, "--window-width", 100]]:
            self.evaluate(*options, "--top", 1)
            probabilities.append([row["p " + self.names[0]] for row in self.rows()])
            found = [p["probability"] for row in lines(run("classify", self.model, self.data, "-r", "--json", "--top", 0, *options))
                     for p in row["predictions"] if p["label"] == "class 0"]
            for a, b in zip(probabilities[-1], found, strict=True):
                self.assertAlmostEqual(float(a), b, places=6)
        self.assertNotEqual(probabilities[0], probabilities[2])
        self.assertNotEqual(probabilities[1], probabilities[2])
        self.evaluate("--exact", "--top", 1)
        for a, b in zip([row["p " + self.names[0]] for row in self.rows()], probabilities[0], strict=True):
            self.assertAlmostEqual(float(a), float(b), places=5)

    def test_names_of_strangers(self):
        odd = self.data / "a b" / (HOSTILE.replace("/", "|") + "\n.png")
        tiny_model.write_png(odd, 30, 30, seed=99)
        bad = os.fsencode(self.data / "a b") + b"/\xff\xfe<b>.png"
        with open(odd, "rb") as source, open(bad, "wb") as copy:
            copy.write(source.read())
        (self.data / "c,d").rename(self.data / HOSTILE.replace("/", "|"))
        summary, _ = self.evaluate()
        self.assertEqual(summary["images"], 26)
        text, _ = self.page()
        self.assertNotIn("<script>alert", text)
        self.assertNotIn("<b>.png", text)
        json.loads((self.out / "report.json").read_text())
        paths = [os.fsencode(row["path"]) for row in self.rows()]
        self.assertIn(bad, paths)
        self.assertIn(os.fsencode(odd), paths)

    def test_damaged_images_are_counted(self):
        (self.data / "é" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
        summary, text = self.evaluate(code=1)
        self.assertEqual([summary["images"], summary["unreadable"]], [24, 1])
        self.assertIn("1 image could not be read", text)
        page, _ = self.page()
        self.assertIn("broken.png", page)
        for p in self.data.rglob("*.png"):
            p.write_bytes(b"")
        self.assertIn("none of the 25 images", self.evaluate(code=2)[1])

    def test_threads_and_batches_change_nothing(self):
        def files():
            report = json.loads((self.out / "report.json").read_text())
            del report["facts"]
            return report, (self.out / "predictions.csv").read_bytes()
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "86400"}
        self.evaluate("--threads", 1, env=environment)
        first, page = files(), (self.out / "report.html").read_bytes()
        self.assertIn(b"1970-01-02 00:00 UTC", page)
        self.evaluate("--threads", 1, env=environment)
        self.assertEqual((self.out / "report.html").read_bytes(), page)
        self.evaluate("--threads", 3, "--batch", 4)
        self.assertEqual(files(), first)

    def write_list(self, header, row):
        table = self.folder / "list.csv"
        with open(table, "w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f)
            writer.writerow(header)
            for i, path in enumerate(sorted(self.data.rglob("*.png"), key=lambda p: int(p.stem[1:]))):
                writer.writerow([path, *row(i, path)])
        return table

    def test_splits(self):
        table = self.write_list(["path", "label", "split"],
                                lambda i, p: [p.parent.name, ("train", "val", "test", "test")[i % 4]])
        summary, _ = self.evaluate(data=table)
        self.assertEqual([summary["split"], summary["images"]], ["test", 12])
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["calibration"]["fitted_on"], "val")
        fitted = report["calibration"]["temperature"]["value"]
        self.evaluate("--split", "val", data=table)
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["calibration"]["fitted_on"], "the same images")
        self.assertEqual(report["calibration"]["temperature"]["value"], fitted)
        self.assertEqual(self.evaluate("--split", "all", data=table)[0]["images"], 24)
        self.assertIn("no image in the split 'test'", self.evaluate("--split", "test", code=2)[1])

    def test_boxes_and_masks(self):
        whole = self.write_list(["path", "label", "box"], lambda i, p: [p.parent.name, f"0 0 {24 + i} 40"])
        summary, _ = self.evaluate(data=whole)
        self.assertAlmostEqual(summary["energy_in_mask"]["value"], 1, places=6)
        _, page = self.page()
        self.assertIn("There are none.", "".join(page.text))
        corner = self.write_list(["path", "label", "box"], lambda i, p: [p.parent.name, "0 0 6 8" if i % 2 else ""])
        self.evaluate(data=corner)
        shares = [row["energy_in_mask"] for row in self.rows()]
        self.assertEqual(sum(s != "" for s in shares), 12)
        self.assertTrue(all(0 <= float(s) < 0.5 for s in shares if s))
        report = json.loads((self.out / "report.json").read_text())
        boxed = [row["path"] for row in self.rows() if row["right"] == "1" and row["energy_in_mask"]]
        self.assertEqual(set(report["right_for_the_wrong_place"]), set(boxed))
        self.page()
        mask = self.folder / "mask.png"
        tiny_model.write_png(mask, 40, 40)
        masks = self.write_list(["path", "label", "mask"], lambda i, p: [p.parent.name, mask])
        self.evaluate(data=masks)
        self.assertTrue(all(0 < float(row["energy_in_mask"]) < 1 for row in self.rows()))

    def test_several_labels(self):
        model = tiny_model.write_model(self.folder / "many", activation="sigmoid")
        rng = random.Random(5)
        table = self.write_list(["path", "label"],
                                lambda i, p: ["|".join(sorted({p.parent.name, rng.choice(self.names)}))])
        summary, _ = self.evaluate(data=table, model=model)
        exact = 0
        for row in self.rows():
            said = {n for n in self.names if float(row["p " + n]) > 0.5}
            exact += said == set(row["label"].split("|"))
            self.assertEqual(row["predicted"], "|".join(n for n in self.names if n in said))
        self.assertEqual(summary["right"], exact)
        text, _ = self.page()
        self.assertIn("Wrongly said", text)
        self.assertIn("several labels", self.evaluate(data=table, code=2)[1])

    def test_one_sigmoid(self):
        model = tiny_model.write_model(self.folder / "one", classes=1, activation="sigmoid")
        for p in (self.data / "é").iterdir():
            p.rename(self.data / "a b" / p.name)
        (self.data / "é").rmdir()
        summary, _ = self.evaluate(model=model)
        self.page()
        losses = []
        for row in self.rows():
            p = float(row["p " + row["label"]])
            self.assertAlmostEqual(float(row["p a b"]) + float(row["p c,d"]), 1, places=6)
            losses.append(-math.log(p))
        self.assertAlmostEqual(summary["log_loss"]["value"], sum(losses) / len(losses), places=5)

    def test_labels(self):
        labels = self.folder / "labels.txt"
        labels.write_text("é\na b\nc,d\n", encoding="utf-8")
        self.evaluate("--labels", labels)
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual([c["label"] for c in report["classes"]], ["é", "a b", "c,d"])
        labels.write_text("x\na b\nc,d\n", encoding="utf-8")
        self.assertIn("'é' is none of the model's 3: x, a b, c,d", self.evaluate("--labels", labels, code=2)[1])
        (self.data / "more").mkdir()
        self.assertIn("4 classes and the model 3", self.evaluate(code=2)[1])

    def test_what_is_refused(self):
        run("evaluate", self.model, "-o", self.out, code=2)
        run("evaluate", self.model, self.data, code=2)
        run("evaluate", self.model, self.folder / "nowhere", "-o", self.out, code=2)
        run("evaluate", self.folder / "nothing", self.data, "-o", self.out, code=3)
        place = self.folder / "place"
        place.write_text("a file")
        run("evaluate", self.model, self.data, "-o", place, code=4)

    def test_a_page_that_cannot_be_written_leaves_the_old_one(self):
        self.evaluate()
        before = (self.out / "report.html").read_bytes()
        (self.out / "predictions.csv").unlink()
        (self.out / "predictions.csv").mkdir()
        self.evaluate(code=4)
        self.assertEqual((self.out / "report.html").read_bytes(), before)
        self.assert_no_partial_files()

    def test_an_interrupt_leaves_nothing_half_written(self):
        big = self.data / "a b" / "big0.png"
        tiny_model.write_png(big, 700, 700)
        for i in range(1, 300):
            os.link(big, self.data / "a b" / f"big{i}.png")
        process = subprocess.Popen([program.PROGRAM, "evaluate", self.model, self.data, "-o", self.out], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        while not self.out.exists():
            time.sleep(0.005)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        text = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130)
        self.assertIn("given up after", text)
        self.assertEqual(list(self.out.iterdir()), [])


if __name__ == "__main__":
    program.main()
