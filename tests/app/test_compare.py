#!/usr/bin/env python3
"""netgaze compare: figures against those of netgaze evaluate on each model, McNemar's test, the page as a document, models that
cannot be compared, damage. Usage: test_compare.py PROGRAM"""
import csv
import json
import math
import os
import signal
import subprocess

import program
import tiny_model
from page import Page
from program import ProgramTest, lines, run

HOSTILE = '<script>alert(1)</script>&"\'</title>'


def mcnemar(gained, lost):
    n = gained + lost
    return min(1, 2 * sum(math.comb(n, i) for i in range(min(gained, lost) + 1)) / 2**n)


class Compare(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.names = ["a b", "c,d", "é"]
        for number in range(24):
            place = self.data / self.names[number // 8]
            place.mkdir(parents=True, exist_ok=True)
            tiny_model.write_png(place / f"i{number}.png", 24 + number, 40, seed=number)
        self.other = tiny_model.write_model(self.folder / "other", scale=-1.0)

    def compare(self, *arguments, models=None, data=None, code=0):
        result = run("compare", *(models or (self.model, self.other)), data or self.data, "-o", self.out, "--json", "-q", *arguments,
                     code=code)
        return (lines(result) or [None])[0], result.stderr

    def rows(self, name="compare.csv", folder=None):
        with open((folder or self.out) / name, newline="", encoding="utf-8", errors="surrogateescape") as f:
            return list(csv.DictReader(f))

    def report(self):
        return json.loads((self.out / "compare.json").read_text(), parse_constant=program.refuse_constant)

    def page(self):
        text = (self.out / "compare.html").read_text(encoding="utf-8")
        for word in ("http://", "https://", "url(", "@import", "nan", "(null)"):
            self.assertNotIn(word, text.replace("Roboto", ""))
        page = Page(text)
        page.check(self)
        return text, page

    def evaluated(self, model, data):
        out = self.folder / "evaluated"
        run("evaluate", model, data, "-o", out, "-q", "--top", 0)
        return {row["path"]: row for row in self.rows("predictions.csv", out)}

    def boxes(self):
        table = self.folder / "list.csv"
        with open(table, "w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f)
            writer.writerow(["path", "label", "box"])
            for i, path in enumerate(sorted(self.data.rglob("*.png"), key=lambda p: int(p.stem[1:]))):
                writer.writerow([path, path.parent.name, "4 6 14 20" if i % 3 else ""])
        return table

    def test_figures_are_those_of_each_model(self):
        table = self.boxes()
        summary, _ = self.compare(data=table)
        each = [self.evaluated(m, table) for m in (self.model, self.other)]
        counts, classes, energies = [[0, 0], [0, 0]], {n: [0, 0, 0, 0] for n in self.names}, [[], []]
        self.assertEqual(len(self.rows()), 24)
        for row in self.rows():
            right = [0, 0]
            for m, side in enumerate("ab"):
                found = each[m][row["path"]]
                for column in ("predicted", "right", "loss", "energy_in_mask"):
                    self.assertEqual(row[f"{column}_{side}"], found[column])
                right[m] = int(found["right"])
            counts[right[0]][right[1]] += 1
            of = classes[row["label"]]
            for i, add in enumerate((right[0], right[1], right[1] > right[0], right[0] > right[1])):
                of[i] += add
            if row["energy_in_mask_a"] and row["energy_in_mask_b"]:
                energies[0].append(float(row["energy_in_mask_a"]))
                energies[1].append(float(row["energy_in_mask_b"]))
        gained, lost = counts[0][1], counts[1][0]
        self.assertGreater(gained + lost, 4)  # or nothing is shown here
        self.assertEqual([summary[k] for k in ("both_right", "only_a", "only_b", "both_wrong")],
                         [counts[1][1], lost, gained, counts[0][0]])
        self.assertAlmostEqual(summary["p"], mcnemar(gained, lost))
        self.assertAlmostEqual(summary["accuracy_a"]["value"], (counts[1][1] + lost) / 24)
        self.assertAlmostEqual(summary["accuracy_b"]["value"], (counts[1][1] + gained) / 24)
        change = summary["accuracy_change"]
        self.assertAlmostEqual(change["value"], (gained - lost) / 24)
        self.assertLess(change["low"], change["value"])
        self.assertGreater(change["high"], change["value"])
        self.assertEqual(summary["images_with_energy"], len(energies[0]))
        self.assertGreater(len(energies[0]), 5)
        means = [sum(e) / len(e) for e in energies]
        self.assertAlmostEqual(summary["energy_in_mask_a"]["value"], means[0], places=6)
        self.assertAlmostEqual(summary["energy_in_mask_change"]["value"], means[1] - means[0], places=6)
        report = self.report()
        for c in report["classes"]:
            self.assertEqual([c["right_a"], c["right_b"], c["gained"], c["lost"]], classes[c["label"]])
            self.assertAlmostEqual(c["p"], mcnemar(c["gained"], c["lost"]))
        self.assertAlmostEqual(report["p"], summary["p"])
        self.assertTrue(report["b"]["Command"].startswith("netgaze compare "))
        self.assertEqual(report["a"]["Model"], str(self.model))
        self.assertEqual(report["b"]["Model"], str(self.other))

    def test_the_page_is_whole_and_needs_nothing(self):
        summary, _ = self.compare("--title", HOSTILE, data=self.boxes())
        text, page = self.page()
        self.assertNotIn("<script>alert", text)
        self.assertIn(HOSTILE, "".join(page.text))
        self.assertIn("default-src 'none'", text)
        changed = summary["only_a"] + summary["only_b"]
        self.assertEqual(page.counts["figure"], changed)
        self.assertEqual(page.counts["image"], 3 * changed)  # a photo and two heatmaps
        self.assertEqual(set(os.listdir(self.out)), {"compare.html", "compare.json", "compare.csv"})
        self.compare("--top", 1, "--method", "saliency", "--seed", 3)
        text, page = self.page()
        self.assertEqual(page.counts["figure"], min(1, summary["only_a"]) + min(1, summary["only_b"]))

    def test_the_largest_changes_come_first(self):
        self.compare()
        text, _ = self.page()
        for side, other, part in (("b", "a", "fixed"), ("a", "b", "broken")):
            changed = [r for r in self.rows() if r[f"right_{side}"] == "1" and r[f"right_{other}"] == "0"]
            changed.sort(key=lambda r: float(r[f"loss_{side}"]) - float(r[f"loss_{other}"]))
            if changed:
                section = text.split(f'<section id="{part}"')[1].split("</section>")[0]
                places = [section.index(r["path"]) for r in changed]
                self.assertEqual(places, sorted(places))

    def test_a_model_with_itself(self):
        summary, _ = self.compare(models=(self.model, self.model))
        self.assertEqual([summary["only_a"], summary["only_b"], summary["p"]], [0, 0, 1])
        self.assertEqual(summary["accuracy_change"], {"value": 0, "low": 0, "high": 0})
        _, page = self.page()
        self.assertNotIn("figure", page.counts)

    def test_classes_in_another_order(self):
        turned = tiny_model.write_model(self.folder / "turned")
        for model, labels in ((self.model, self.names), (turned, self.names[1:] + self.names[:1])):
            (model / "netgaze.json").write_text(json.dumps({"labels": labels}))
        self.compare(models=(self.model, turned))
        rows = self.rows()
        self.assertTrue(all(r["predicted_a"] != r["predicted_b"] for r in rows))  # the same weights, other names
        for row in rows:
            for side in "ab":
                self.assertEqual(row[f"right_{side}"], str(int(row[f"predicted_{side}"] == row["label"])))
        self.page()

    def test_several_labels(self):
        models = [tiny_model.write_model(self.folder / f"many{i}", activation="sigmoid", scale=1 - 2 * i) for i in range(2)]
        table = self.folder / "list.csv"
        with open(table, "w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f)
            writer.writerow(["path", "label"])
            for i, path in enumerate(sorted(self.data.rglob("*.png"))):
                writer.writerow([path, "|".join(sorted({path.parent.name, self.names[i % 3]}))])
        self.compare(models=models, data=table)
        each = [self.evaluated(m, table) for m in models]
        self.assertTrue(any("|" in row["label"] for row in self.rows()))
        for row in self.rows():
            for m, side in enumerate("ab"):
                self.assertEqual(row["label"], each[m][row["path"]]["label"])
                self.assertEqual(row["predicted_" + side], each[m][row["path"]]["predicted"])

    def test_what_cannot_be_compared(self):
        more = tiny_model.write_model(self.folder / "more", classes=4)
        for model, labels in ((self.model, self.names), (more, [*self.names, "z"])):
            (model / "netgaze.json").write_text(json.dumps({"labels": labels}))
        self.assertIn("has 3", self.compare(models=(self.model, more), code=2)[1])
        (self.other / "netgaze.json").write_text(json.dumps({"labels": ["a b", "c,d", "z"]}))
        said = self.compare(code=2)[1]
        self.assertIn("B, ", said)
        self.assertIn("'é' is none of the model's 3", said)
        for path in (self.data / "é").iterdir():
            path.unlink()
        (self.data / "é").rmdir()
        said = self.compare(code=2)[1]
        self.assertIn("'é' is one of", said)
        self.assertEqual(len(said.strip().splitlines()), 1)
        yes_or_no = tiny_model.write_model(self.folder / "yes", activation="sigmoid")
        (yes_or_no / "netgaze.json").write_text(json.dumps({"labels": self.names}))
        self.assertIn("yes or no", self.compare(models=(self.model, yes_or_no), code=2)[1])

    def test_usage(self):
        run("compare", self.model, self.other, "-o", self.out, code=2)
        run("compare", self.model, self.other, self.data, code=2)
        run("compare", self.model, self.folder / "nothing", self.data, "-o", self.out, code=3)
        run("compare", self.model, self.other, self.folder / "nowhere", "-o", self.out, code=2)
        self.assertIn("--layer: A: ", self.compare("--layer", "nowhere", code=2)[1])
        said = run("compare", self.model, self.other, self.data, "-o", self.out, "-q").stdout
        self.assertIn("McNemar's p", said)
        self.assertIn("compare.html", said)

    def test_damage_among_the_images(self):
        (self.data / "a b" / "i99.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
        summary, said = self.compare(code=1)
        self.assertEqual([summary["images"], summary["unreadable"]], [24, 1])
        self.assertIn("1 image could not be judged", said)
        self.page()

    def test_an_interrupt_leaves_nothing_half_written(self):
        big = self.data / "a b" / "i100.png"
        tiny_model.write_png(big, 700, 700)
        for i in range(101, 400):
            os.link(big, self.data / "a b" / f"i{i}.png")
        process = subprocess.Popen([program.PROGRAM, "compare", self.model, self.other, self.data, "-o", self.out],
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        while not self.out.exists():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertIn(process.returncode, (130, -signal.SIGINT))
        self.assertEqual(os.listdir(self.out), [])


if __name__ == "__main__":
    program.main()
