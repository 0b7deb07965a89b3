#!/usr/bin/env python3
"""netgaze bench: its figures belong together. Usage: test_bench.py PROGRAM"""
import program
import test_cache
from program import ProgramTest, lines, run


class Bench(ProgramTest):
    def test_json(self):
        [o] = lines(run("bench", self.model, "--json", "--repeat", 5, "--batch", 2, "--layer", "a", "-q"))
        self.assertEqual((o["batch"], o["threads"], o["layer"]), (2, 1, "a"))
        for name in ["forward", "gradcam", "input_gradient"]:
            m = o[name]
            self.assertEqual(m["repeats"], 5)
            self.assertLess(0, m["min_ms"])
            self.assertLessEqual(m["min_ms"], m["q1_ms"])
            self.assertLessEqual(m["q1_ms"], m["median_ms"])
            self.assertLessEqual(m["median_ms"], m["q3_ms"])
        self.assertEqual([k["node"] for k in o["kernels"]][:2], ["a", "b"])
        self.assertTrue(all(k["kernel"] for k in o["kernels"]))
        self.assertGreater(o["peak_memory_bytes"], o["session_bytes"])
        self.assertGreater(o["session_bytes"], 0)

    def test_exact_runs_no_winograd(self):
        model = test_cache.write_larger_model(self.folder / "larger")
        [fast] = lines(run("bench", model, "--json", "--repeat", 1, "-q"))
        [exact] = lines(run("bench", model, "--json", "--repeat", 1, "-q", "--exact"))
        if "avx2" in fast["features"]:
            self.assertTrue([k for k in fast["kernels"] if k["kernel"].startswith("winograd")])
        self.assertFalse([k for k in exact["kernels"] if k["kernel"].startswith("winograd")])
        self.assertEqual(len(fast["kernels"]), len(exact["kernels"]))

    def test_wrong_use(self):
        self.assertIn("above 1x1", run("bench", self.model, "--layer", "pool", code=2).stderr)
        self.assertIn("too many", run("bench", self.model, "x", code=2).stderr)
        self.assertIn("from 1", run("bench", self.model, "--repeat", 0, code=2).stderr)

    def test_text(self):
        text = run("bench", self.model, "--repeat", 1).stdout
        for word in ["forward", "gradcam", "input_gradient", "peak memory"]:
            self.assertIn(word, text)


if __name__ == "__main__":
    program.main()
