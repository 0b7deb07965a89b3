#!/usr/bin/env python3
"""netgaze duplicates and augment-preview. Usage: test_data.py PROGRAM"""
import random
import shutil
import struct
import zlib

import program
from program import ProgramTest, lines, run


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_blocks(path, seed):
    """64x64 pixels in 8x8 blocks of random colours: seeds that look nothing like one another."""
    colours = random.Random(seed).randbytes(8 * 8 * 3)
    rows = b"".join(b"\0" + b"".join(colours[(y // 8 * 8 + x // 8) * 3:][:3] for x in range(64)) for y in range(64))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Data(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        for split, name, seed in [("train", "a", 1), ("train", "b", 2), ("test", "a", 3)]:
            place = self.data / split / name
            place.mkdir(parents=True)
            write_blocks(place / "x.png", seed)

    def test_duplicates(self):
        self.assertEqual(lines(run("duplicates", self.data, "--json", "-q")), [])
        shutil.copy(self.data / "train" / "b" / "x.png", self.data / "test" / "a" / "copy.png")
        pair, = lines(run("duplicates", self.data, "--json", "-q", "--threads", 2))
        self.assertTrue(pair["first"].endswith("train/b/x.png") and pair["second"].endswith("test/a/copy.png"))
        self.assertEqual([pair[k] for k in ("first_split", "second_split", "first_class", "second_class", "bits")],
                         ["train", "test", "b", "a", 0])
        self.assertAlmostEqual(pair["correlation"], 1)
        self.assertIn("4 images, 1 near-duplicate pairs, 1 of them in two splits", run("duplicates", self.data).stdout)
        (self.data / "train" / "a" / "broken.png").write_bytes(b"none")
        result = run("duplicates", self.data, "-q", code=1)
        self.assertIn("1 images could not be read", result.stderr)
        run("duplicates", self.folder / "nowhere", code=2)
        run("duplicates", code=2)

    def test_a_csv_is_read(self):
        table = self.data / "list.csv"
        table.write_text('path,label,split\ntrain/a/x.png,"odd, ""label""",train\n./train/a/x.png,b,test\n')
        pair, = lines(run("duplicates", table, "--json", "-q"))
        self.assertEqual({pair["first_class"], pair["second_class"]}, {'odd, "label"', "b"})
        table.write_text("path,label\ntrain/a/x.png\n")
        self.assertIn("line 2", run("duplicates", table, code=2).stderr)

    def test_preview(self):
        out = self.folder / "sheet.png"
        arguments = ["augment-preview", self.data, "--augment", "flip=horizontal,rotation=0.1,hue=0.5,cutout=1", "-o"]
        run(*arguments, out, "--images", 2, "--variants", 3)
        first = out.read_bytes()
        width, height = struct.unpack(">II", first[16:24])
        self.assertTrue(width > 4 * 160 and height > 2 * 160 and width > height)
        run(*arguments, out, "--images", 2, "--variants", 3)
        self.assertEqual(out.read_bytes(), first)
        run(*arguments, out, "--images", 2, "--variants", 3, "--seed", 5)
        self.assertNotEqual(out.read_bytes(), first)
        self.assertIn("'spin' is not known",
                      run("augment-preview", self.data, "--augment", "spin=1", "-o", out, code=2).stderr)
        run("augment-preview", self.data, "-o", out, code=2)
        run("augment-preview", self.data, "--augment", "none", code=2)
        run(*arguments, self.folder / "no" / "sheet.png", code=4)


if __name__ == "__main__":
    program.main()
