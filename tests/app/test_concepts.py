#!/usr/bin/env python3
"""netgaze concepts. Usage: test_concepts.py PROGRAM"""
import json

import program
import tiny_model
from program import ProgramTest, lines, run


class Concepts(ProgramTest):
    def concepts(self, *arguments, **options):
        return lines(run("concepts", self.model, *arguments, "-o", self.out, "-n", 3, "--crops", 2, "--json", "-q", **options))

    def test_what_is_written(self):
        got = self.concepts(self.photos)
        self.assertEqual([c["concept"] for c in got], [1, 2, 3])
        self.assertEqual(sorted((c["importance"] for c in got), reverse=True), [c["importance"] for c in got])
        self.assertAlmostEqual(sum(c["share"] for c in got), 1, places=6)
        self.assertEqual(json.loads((self.out / "concepts.json").read_text()), got)
        bank = tiny_model.read_npy(self.out / "bank.npy")
        self.assertEqual(len(bank), 3 * 16)
        for i in range(3):
            self.assertAlmostEqual(sum(v * v for v in bank[16 * i:16 * i + 16]), 1, places=4)
        names = {p.name for p in self.out.iterdir()}
        images = {e["image"] for c in got for e in c["examples"]}
        self.assertTrue({"sheet.png", "bank.npy", "concepts.json"} < names)
        self.assertEqual(len([n for n in names if n.endswith(".concepts.npy")]), len(images))
        for c in got:
            strengths = [e["strength"] for e in c["examples"]]
            self.assertEqual(strengths, sorted(strengths, reverse=True))

    def test_the_same_bytes_for_any_number_of_threads_and_batch(self):
        first = self.concepts(self.photos, "--seed", 3)
        files = {p.name: p.read_bytes() for p in self.out.iterdir()}
        self.assertEqual(self.concepts(self.photos, "--seed", 3, "-t", 3), first)
        self.assertEqual({p.name: p.read_bytes() for p in self.out.iterdir()}, files)
        self.assertNotEqual(self.concepts(self.photos, "--seed", 4), first)

    def test_what_cannot_be_done_is_said(self):
        self.assertIn("-o DIR", run("concepts", self.model, self.photos, code=2).stderr)
        self.assertIn("--class", run("concepts", self.model, self.photos, "-o", self.out, "--class", "cat", code=2).stderr)
        (self.photos / "a.png").write_bytes(b"no image")
        self.assertEqual(len(self.concepts(self.photos, code=1)), 3)
        run("concepts", self.model, self.photos / "a.png", "-o", self.out, code=1)


if __name__ == "__main__":
    program.main()
