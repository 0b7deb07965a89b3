#!/usr/bin/env python3
"""The cache as users meet it: the same pictures with and without it, whatever happens to it. Usage: test_cache.py PROGRAM"""
import json
import os
import pathlib
import resource
import struct
import subprocess

import program
import tiny_model
from program import ProgramTest, lines, run


def write_larger_model(folder):
    """tiny_model's network with enough weights (1.6 MB) to be worth keeping."""
    tiny_model.write_model(folder)
    model = json.loads((folder / "model.json").read_text())
    layers = model["modelTopology"]["model_config"]["config"]["layers"]
    layers[1]["config"]["filters"] = 160
    layers[2]["config"]["filters"] = 280
    entries = {w["name"]: w for w in model["weightsManifest"][0]["weights"]}
    entries["a/kernel"]["shape"], entries["a/bias"]["shape"] = [3, 3, 3, 160], [160]
    entries["b/kernel"]["shape"], entries["b/bias"]["shape"] = [3, 3, 160, 280], [280]
    entries["scores/kernel"]["shape"] = [280, 3]
    data = b""
    for w in entries.values():
        count = 1
        for d in w["shape"]:
            count *= d
        data += struct.pack(f"<{count}f", *(((i * 7919) % 2003 / 2003 - 0.5) * 0.1 for i in range(count)))
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "weights.bin").write_bytes(data)
    settle(folder)
    return folder


def settle(folder, back=100):
    """As if written some time ago: what was written just now might still change unnoticed."""
    for p in folder.iterdir():
        t = p.stat().st_mtime - back
        os.utime(p, (t, t))


class Cache(ProgramTest):
    def setUp(self):
        super().setUp()
        self.cache = self.folder / "xdg" / "netgaze"
        self.env = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "xdg")}
        self.env.pop("NETGAZE_CACHE", None)
        self.model = write_larger_model(self.folder / "larger")

    def maps(self, *options, env=None, model=None):
        """Every file of an explanation, by name."""
        out = self.folder / f"out{len(list(self.folder.iterdir()))}"
        run("explain", model or self.model, self.photos, "-o", out, "-q", "--outputs", "raw,heatmap", *options,
            env=env or self.env)
        return {p.name: p.read_bytes() for p in out.iterdir()}

    def entries(self):
        return lines(run("cache", "--json", env=self.env))[0]["entries"]

    def stamps(self):
        return {p.name: p.stat().st_ino for p in self.cache.iterdir()}

    def test_constants_of_the_configuration(self):
        """Numbers that stand in the configuration and not among the weights are there at the second load too."""
        path = self.model / "model.json"
        model = json.loads(path.read_text())
        layers = model["modelTopology"]["model_config"]["config"]["layers"]
        layers.insert(1, tiny_model.layer("Rescaling", "scaled", {"scale": 0.5, "offset": 0.25}, ["image"]))
        layers[2]["inbound_nodes"][0][0][0] = "scaled"
        path.write_text(json.dumps(model))
        settle(self.model)
        first = self.maps()
        self.assertTrue(self.entries())
        self.assertTrue(first)
        self.assertEqual(self.maps(), first)

    def test_the_same_bytes_and_only_one_making(self):
        plain = self.maps("--no-cache")
        self.assertFalse(self.cache.exists())
        self.assertEqual(self.maps(env={**self.env, "NETGAZE_CACHE": "off"}), plain)
        self.assertFalse(self.cache.exists())
        self.assertEqual(self.maps(), plain)
        titles = sorted(e["title"].split()[0] for e in self.entries())
        self.assertEqual(titles, ["packed", "weights"])
        made = self.stamps()
        self.assertEqual(self.maps(), plain)
        self.assertEqual(self.stamps(), made)

    def test_changed_weights_are_noticed(self):
        before = self.maps()
        shard = self.model / "weights.bin"
        stat = shard.stat()
        data = bytearray(shard.read_bytes())
        data[4000:4004] = struct.pack("<f", 0.75)
        shard.write_bytes(data)
        os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size and time of writing
        plain = self.maps("--no-cache")
        self.assertNotEqual(plain, before)
        self.assertEqual(self.maps(), plain)
        self.assertEqual(self.maps(), plain)

    def test_fresh_files_are_not_trusted(self):
        os.utime(self.model / "weights.bin")
        self.maps()
        self.assertEqual([e["title"].split()[0] for e in self.entries()], ["packed"])

    def test_damage_is_noticed_and_repaired(self):
        plain = self.maps()
        for damage in ["flip", "truncate", "empty", "rubbish"]:
            for p in self.cache.glob("*.ngpack"):
                data = bytearray(p.read_bytes())
                if damage == "flip":
                    data[len(data) // 2] ^= 4
                data = {"truncate": data[:len(data) // 2], "empty": b"", "rubbish": b"x" * 5000}.get(damage, data)
                p.write_bytes(data)
            self.assertEqual(self.maps(), plain, damage)
            self.assertEqual(len(self.entries()), 2)
            self.assertEqual(self.maps(), plain, damage)

    def test_many_at_once(self):
        plain = self.maps("--no-cache")
        outs = [self.folder / f"many{i}" for i in range(4)]
        started = [subprocess.Popen([program.PROGRAM, "explain", self.model, self.photos, "-o", o, "-q", "--outputs",
                                     "raw,heatmap"], env=self.env, stdout=subprocess.DEVNULL) for o in outs]
        self.assertEqual([p.wait(timeout=120) for p in started], [0] * 4)
        for o in outs:
            self.assertEqual({p.name: p.read_bytes() for p in o.iterdir()}, plain)
        self.assertEqual([p.name for p in self.cache.iterdir() if ".tmp" in p.name], [])
        self.assertEqual(len(self.entries()), 2)

    def test_limit_and_clear(self):
        self.maps()
        largest = max(e["bytes"] for e in self.entries())
        run("cache", "limit", largest + 1000, env=self.env)
        self.assertEqual(len(self.entries()), 1)
        run("cache", "clear", env=self.env)
        self.assertEqual(self.entries(), [])
        run("cache", "limit", "0", env=self.env)
        self.maps()
        self.assertEqual(self.entries(), [])
        run("cache", "limit", "1.5M", env=self.env)
        self.assertEqual(lines(run("cache", "limit", "--json", env=self.env))[0]["limit"], 3 << 19)
        self.assertIn("netgaze", run("doctor", env=self.env).stdout.split("cache  ")[1])

    def test_kept_models_are_saved_alike_with_their_labels(self):
        labels = self.folder / "labels.txt"
        labels.write_text("a\nb\nc d\n")
        once, twice = self.folder / "once.keras", self.folder / "twice.keras"
        run("convert", self.model, once, "-q", env=self.env)
        run("convert", self.model, twice, "-q", env=self.env)
        self.assertEqual(once.read_bytes(), twice.read_bytes())
        self.assertEqual([e["title"] for e in self.entries()], [f"weights of {self.model}"])
        run("convert", self.model, once, "-q", "--labels", labels, "--preprocess", "caffe", env=self.env)
        t = once.stat().st_mtime - 100
        os.utime(once, (t, t))
        results = [run("classify", once, self.photos, "--json", env=self.env) for _ in range(2)]
        self.assertEqual(results[0].stdout, results[1].stdout)
        self.assertIn("c d", results[1].stdout)
        self.assertIn("caffe", results[1].stderr)
        self.assertIn(f"weights of {once}", [e["title"] for e in self.entries()])

    def test_tune_is_kept_until_cleared(self):
        rows = lines(run("tune", self.model, "--json", "--repeat", 2, "-q", env=self.env))
        for row in rows:
            best = min(range(2), key=lambda i: row["kernels"][i]["median_ms"])
            self.assertTrue(row["chosen"] == best or row["kernels"][1]["median_ms"] > 0.97 * row["kernels"][0]["median_ms"])
        self.assertEqual(len([p for p in self.cache.iterdir() if p.name.startswith("tuned-")]), 1)
        run("cache", "clear", env=self.env)
        self.assertEqual([p.name for p in self.cache.iterdir()], [])
        self.assertIn("ms", run("tune", self.model, "--repeat", 1, env=self.env).stdout) if rows else None
        self.assertIn("too many", run("tune", self.model, "x", code=2).stderr)

    def test_an_unwritable_folder_is_no_error(self):
        self.assertEqual(self.maps(env={**self.env, "NETGAZE_CACHE": "/proc/nowhere"}), self.maps("--no-cache"))

    def test_wrong_use(self):
        for arguments, words in [(("frob",), "list, clear or limit"), (("limit", "many"), "500M"),
                                 (("limit", "-1"), "-1"), (("list", "x"), "too many"),
                                 (("limit", "1", "2"), "too many")]:
            self.assertIn(words, run("cache", *arguments, code=2, env=self.env).stderr)
        off = {**self.env, "NETGAZE_CACHE": "off"}
        self.assertIn("no cache", run("cache", env=off).stdout)
        self.assertIn("switched off", run("cache", "clear", env=off, code=2).stderr)

    def test_a_full_disk_below_the_cache(self):
        """The maps are made all the same, nothing half-written is kept, and with room again the cache is used."""
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("a small disk cannot be mounted: " + mounted.stderr.strip())
        try:
            self.cache = disk / "netgaze"
            self.env["XDG_CACHE_HOME"] = str(disk)
            expected = self.maps("--no-cache")
            for free in (0, 4096, 600000, 1700000):  # no folder; no pack; half a pack; one of two
                room = os.statvfs(disk)
                with open(disk / "filler", "wb") as filler:
                    filler.write(bytes(max(0, room.f_bavail * room.f_frsize - free)))
                self.assertEqual(self.maps(), expected, free)
                (disk / "filler").unlink()
                kept = list(self.cache.iterdir()) if self.cache.exists() else []
                self.assertEqual([p.name for p in kept if ".tmp" in p.name], [], free)
                self.assertEqual(self.maps(), expected, free)  # what was kept is whole
                run("cache", "clear", env=self.env)
            self.assertEqual(self.maps(), expected)
            self.assertTrue(self.entries())
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_a_limit_of_file_sizes_below_the_cache(self):
        """Where no disk can be mounted: a pack that does not fit is not kept."""
        expected = self.maps("--no-cache")
        out = self.folder / "limited"

        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))
        run("explain", self.model, self.photos, "-o", out, "-q", "--outputs", "raw,heatmap", env=self.env, preexec_fn=limited)
        self.assertEqual({p.name: p.read_bytes() for p in out.iterdir()}, expected)
        self.assertEqual(list(self.cache.iterdir()) if self.cache.exists() else [], [])


if __name__ == "__main__":
    program.main()
