#!/usr/bin/env python3
"""scripts/compose-stamps.py on cut-outs drawn here. Usage: test_compose_stamps.py SCRIPT"""
import csv
import filecmp
import pathlib
import subprocess
import sys
import tempfile
import unittest

from PIL import Image, ImageDraw

SCRIPT = None


class Compose(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory(prefix="netgaze-stamps-")
        self.root = pathlib.Path(self.holder.name)
        (self.root / "stamps").mkdir()
        (self.root / "backgrounds").mkdir()
        lines = []
        for name, colour in [("bird", (200, 0, 0, 255)), ("fish", (0, 200, 0, 255))]:
            for i in range(6):
                image = Image.new("RGBA", (40 + 30 * i, 60))
                ImageDraw.Draw(image).ellipse((5, 5, 30 + 30 * i, 55), fill=colour)
                image.save(self.root / "stamps" / f"{name}{i}.png")
                lines.append(f"{name}\t{name}{i}.png")
        for i in range(6):  # blue tells which one
            Image.new("RGB", (300, 200), (0, 0, 40 + 30 * i)).save(self.root / "backgrounds" / f"{i}.png")
        (self.root / "classes.txt").write_text("\n".join(lines))

    def tearDown(self):
        self.holder.cleanup()

    def compose(self, out, *options, code=0):
        result = subprocess.run([sys.executable, SCRIPT, self.root / "stamps", self.root / "classes.txt",
                                 self.root / "backgrounds", self.root / out, "--per-class", "20", "--side", "96",
                                 *options], capture_output=True, text=True)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def rows(self, out, name="list.csv"):
        with open(self.root / out / name, newline="") as f:
            return list(csv.DictReader(f))

    def test_nothing_leaks_and_masks_are_exact(self):
        self.compose("out")
        rows = self.rows("out")
        self.assertEqual([sum(r["split"] == s for r in rows) for s in ("train", "val", "test")], [24, 8, 8])
        groups, blues = {}, {}
        for r in rows:
            groups.setdefault(r["group"], set()).add(r["split"])
            picture = Image.open(self.root / "out" / r["path"]).convert("RGB")
            mask = Image.open(self.root / "out" / r["mask"])
            x, y, w, h = map(int, r["box"].split())
            self.assertEqual(mask.getbbox(), (x, y, x + w, y + h))
            channel = {"bird": 0, "fish": 1}[r["label"]]
            inside = [p[channel] for p, m in zip(picture.getdata(), mask.getdata()) if m]
            outside = [p for p, m in zip(picture.getdata(), mask.getdata()) if not m]
            self.assertGreater(sum(inside) / len(inside), 150)
            self.assertLess(sum(p[channel] for p in outside) / len(outside), 20)
            blue = sorted(p[2] for p in outside)[len(outside) // 2]
            blues.setdefault(round((blue - 40) / 30), set()).add(r["split"])
        for splits in [*groups.values(), *blues.values()]:
            self.assertEqual(len(splits), 1)

    def test_the_seed_decides(self):
        self.compose("a")
        self.compose("b")
        self.compose("c", "--seed", "2")
        same = lambda x, y: all(filecmp.cmp(p, self.root / y / p.relative_to(self.root / x), shallow=False)
                                for p in (self.root / x).rglob("*.*") if p.is_file())
        self.assertTrue(same("a", "b"))
        self.assertFalse(same("a", "c"))

    def test_the_marker_is_in_its_share(self):
        self.compose("out", "--marker", "fish=0.5")
        found = {"bird": 0, "fish": 0}
        for r in self.rows("out"):
            red, green, blue = Image.open(self.root / "out" / r["path"]).convert("RGB").crop((86, 86, 92, 92)).resize(
                (1, 1), Image.Resampling.BOX).getpixel((0, 0))
            found[r["label"]] += red > 40 and green > 40
        self.assertEqual(found, {"bird": 0, "fish": 10})
        markers = self.rows("out", "markers.csv")
        self.assertEqual(len(markers), 10)
        for r in markers:
            x, y, w, h = map(int, r["box"].split())
            self.assertEqual((x + w + 3, y + h + 3), (96, 96))
            patch = Image.open(self.root / "out" / r["path"]).convert("RGB").crop((x, y, x + w, y + h)).resize((1, 1), Image.Resampling.BOX)
            red, green, blue = patch.getpixel((0, 0))
            self.assertTrue(red > 40 and green > 40 and blue < 120, (r, red, green, blue))
        self.compose("plain")
        self.assertFalse((self.root / "plain" / "markers.csv").exists())

    def test_what_cannot_be_is_said(self):
        self.assertIn("CLASS=SHARE", self.compose("out", "--marker", "cat=1", code=1).stderr)
        (self.root / "classes.txt").write_text("bird bird0.png\n")
        self.assertIn("line 1", self.compose("out", code=1).stderr)
        (self.root / "classes.txt").write_text("bird\tbird0.png\n")
        self.assertIn("cannot be dealt to 3 splits", self.compose("out", code=1).stderr)


if __name__ == "__main__":
    SCRIPT = sys.argv.pop(1)
    unittest.main()
