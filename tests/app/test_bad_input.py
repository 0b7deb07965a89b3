#!/usr/bin/env python3
"""Bad input as docs/errors.md has it: one line, the exit code, nothing half-written; and disks, devices and limits that
are full. Usage: test_bad_input.py PROGRAM"""
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import unittest

import bad_input
import program
import tiny_model
from program import ProgramTest, lines


def snapshot(folder):
    """{path: bytes} of every file; None for folders."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


class BadInput(unittest.TestCase):
    def test_the_table(self):
        recorded, seen = bad_input.recorded(), set()
        for case in bad_input.CASES:
            with self.subTest(case.name):
                folder = pathlib.Path(tempfile.mkdtemp(prefix="netgaze-bad-"))
                self.addCleanup(shutil.rmtree, folder)
                bad_input.prepare(case, folder, program.PROGRAM)
                before = snapshot(folder)
                code, said, _ = bad_input.run(case, folder, program.PROGRAM)
                key = case.part, case.name
                seen.add(key)
                self.assertIn(key, recorded, "not in docs/errors.md")
                self.assertEqual((code, case.code), (recorded[key][0],) * 2, said)
                self.assertRegex(said, r"\Anetgaze: [^\n]+\n\Z", "not one line")
                words = recorded[key][1]
                pattern = re.escape("netgaze: " + words).replace(r"\*", ".*") if case.foreign else re.escape("netgaze: " + words)
                self.assertRegex(said.rstrip("\n"), f"\\A{pattern}\\Z")
                left = {p: v for p, v in snapshot(folder).items() if p not in before}
                self.assertEqual({p for p, v in left.items() if v is not None}, set(), "something was written")
                for p, v in before.items():
                    self.assertEqual(p.read_bytes() if p.is_file() else None, v, f"{p} was changed")
        self.assertEqual(set(recorded) - seen, set(), "in docs/errors.md, but not in the table")


class Full(ProgramTest):
    """Nothing of a map that could not be written whole stays behind, whatever was the first file that did not fit."""

    def check(self, done, where, words):
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertRegex(done.stderr, r"\Anetgaze: [^\n]+\n\Z")
        self.assertIn(words, done.stderr)
        self.assertEqual([p for p in where.iterdir() if "tmp" in p.name], [])
        for sidecar in where.glob("*.json"):
            for g in [lines(subprocess.CompletedProcess([], 0, sidecar.read_text().replace("\n", " "), ""))[0]]:
                for path in g["files"].values():
                    self.assertTrue(os.path.getsize(path) > 0)

    def command(self, where):
        return [program.PROGRAM, "explain", str(self.model), str(self.photos), "-o", str(where), "-q", "--threads", "1"]

    def test_a_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("a small disk cannot be mounted: " + mounted.stderr.strip())
        try:
            for free in (0, 8192, 40960, 90112):  # bytes left: fails at the first file, at the next ones, within a later image
                out = disk / str(free)
                out.mkdir()
                room = os.statvfs(disk)
                with open(disk / "filler", "wb") as filler:
                    filler.write(bytes(room.f_bavail * room.f_frsize - free))
                done = subprocess.run(self.command(out), capture_output=True, text=True, timeout=120)
                self.check(done, out, "No space left on device")
                (disk / "filler").unlink()
                if free:
                    shutil.rmtree(out)
            # With room again, the same command does what is missing.
            tiny_model.write_png(self.photos / "p3.png", 8, 8)
            done = subprocess.run([*self.command(disk / "0"), "--outputs", "raw,sidecar"], capture_output=True, text=True,
                                  timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(list((disk / "0").glob("*.json"))), 4)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_a_limit_of_file_sizes(self):
        for limit in (0, 500, 3000):
            def limited():
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            tiny_model.write_png(self.photos / "p0.png", 300, 200)
            done = subprocess.run(self.command(self.out), capture_output=True, text=True, timeout=120, preexec_fn=limited)
            self.check(done, self.out, "File too large")

    def test_too_many_open_files(self):
        def limited():
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        done = subprocess.run(self.command(self.out), capture_output=True, text=True, timeout=120, preexec_fn=limited)
        self.assertNotIn(done.returncode, (0, -6, -11), done.stderr)
        self.assertIn("Too many open files" if done.returncode == 3 else "shared libraries", done.stderr)


if __name__ == "__main__":
    program.main()
