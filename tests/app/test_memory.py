#!/usr/bin/env python3
"""The peak of explain's memory is what the plan says and what images take, on a network with Inception's branches. The small model
tells what the program takes without any of it. Usage: test_memory.py PROGRAM"""
import json
import os
import pathlib
import random
import struct
import subprocess
import unittest

import program
import tiny_model
from program import ProgramTest, lines, run

SIDE = 160
MB = 1 << 20
FIXED = 12 * MB  # what allocators keep, and rounding to pages


class Network:
    """Convolutions with 'same' padding, pools and concatenations, as a TensorFlow.js model."""

    def __init__(self):
        self.layers = [tiny_model.layer("InputLayer", "image", {"batch_input_shape": [None, SIDE, SIDE, 3], "dtype": "float32"}, [])]
        self.channels, self.weights = {"image": 3}, {}

    def conv(self, source, filters, side, stride=1):
        name = f"conv{len(self.layers)}"
        made = tiny_model.conv(name, filters, stride, [source])
        made["config"]["kernel_size"] = [side, side]
        self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"] = [side, side, self.channels[source], filters], [filters]
        self.channels[name] = filters
        self.layers.append(made)
        return name

    def mixed(self, source):
        pool = f"pool{len(self.layers)}"
        self.layers.append(tiny_model.layer("AveragePooling2D", pool, {"pool_size": [3, 3], "strides": [1, 1], "padding": "same"}, [source]))
        self.channels[pool] = self.channels[source]
        ends = [self.conv(source, 32, 1), self.conv(self.conv(source, 24, 1), 32, 5),
                self.conv(self.conv(self.conv(source, 32, 1), 48, 3), 48, 3), self.conv(pool, 16, 1)]
        name = f"mixed{len(self.layers)}"
        self.layers.append(tiny_model.layer("Concatenate", name, {"axis": 3}, ends))
        self.layers[-1]["inbound_nodes"] = [[[e, 0, 0, {}] for e in ends]]
        self.channels[name] = sum(self.channels[e] for e in ends)
        return name

    def write(self, folder, last):
        self.layers += [tiny_model.layer("GlobalAveragePooling2D", "pool", {}, [last]),
                        tiny_model.layer("Dense", "scores", {"units": 3, "activation": "softmax", "use_bias": True}, ["pool"])]
        self.weights["scores/kernel"], self.weights["scores/bias"] = [self.channels[last], 3], [3]
        topology = {"class_name": "Functional", "config": {"name": "branches", "layers": self.layers,
                                                           "input_layers": [["image", 0, 0]], "output_layers": [["scores", 0, 0]]}}
        rng, data = random.Random(5), b""
        for shape in self.weights.values():
            count = 1
            for d in shape:
                count *= d
            data += struct.pack(f"<{count}f", *(rng.uniform(-0.1, 0.1) for _ in range(count)))
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps({
            "modelTopology": {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": topology},
            "weightsManifest": [{"paths": ["weights.bin"], "weights": [
                {"name": n, "shape": s, "dtype": "float32"} for n, s in self.weights.items()]}]}))
        (folder / "weights.bin").write_bytes(data)
        return len(data)


def peak(*arguments):
    """Bytes that the process had in memory at most."""
    process = subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f"{arguments}: exit {process.returncode}")
    return usage.ru_maxrss * 1024


class Memory(ProgramTest):
    def setUp(self):
        super().setUp()
        whole = pathlib.Path(program.PROGRAM).read_bytes()
        if b"__asan_init" in whole or b"__tsan_init" in whole:
            self.skipTest("a sanitizer's memory is its own")
        net = Network()
        stem = net.conv(net.conv("image", 32, 3, 2), 64, 3)
        self.network = self.folder / "branches"
        self.weights = net.write(self.network, net.mixed(net.mixed(stem)))
        for i in range(16):
            tiny_model.write_png(self.photos / f"q{i:02}.png", 50, 40, seed=i)
        for p in self.photos.glob("p*"):
            p.unlink()

    def plan(self, model, batch):
        [o] = lines(run("bench", model, "--json", "--repeat", 1, "--batch", batch, "-q"))
        return o["session_bytes"]

    def explain_peak(self, model, batch):
        return peak("explain", model, self.photos, "-o", self.out, "--force", "-q", "-t", 1, "-b", batch)

    def test_the_peak_is_the_plans(self):
        base = self.explain_peak(self.model, 1) - self.plan(self.model, 1)
        inputs = 4 * SIDE * SIDE * 3
        plans = {}
        for batch in (1, 16):
            plans[batch] = self.plan(self.network, batch)
            got = self.explain_peak(self.network, batch) - base
            most = plans[batch] + 2 * batch * inputs + 3 * self.weights + FIXED  # as read, folded, in the kernels' order
            self.assertLessEqual(got, most, f"batch {batch}: plan {plans[batch]}")
            self.assertGreaterEqual(got, 0.6 * plans[batch] - FIXED, f"batch {batch}: plan {plans[batch]}")
        self.assertGreater(plans[16], 4 * FIXED)  # else this test would say nothing
        self.assertLess(plans[16], 16 * plans[1] + FIXED)

    def test_more_images_take_no_more(self):
        few = self.explain_peak(self.network, 1)
        for i in range(48):
            tiny_model.write_png(self.photos / f"r{i:02}.png", 50, 40, seed=i)
        self.assertLess(self.explain_peak(self.network, 1) - few, FIXED / 2)


if __name__ == "__main__":
    program.main()
