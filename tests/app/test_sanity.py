#!/usr/bin/env python3
"""netgaze sanity: the randomisation test. Usage: test_sanity.py PROGRAM"""
import program
from program import ProgramTest, lines, run


class Sanity(ProgramTest):
    def sanity(self, *arguments, **options):
        return lines(run("sanity", self.model, *arguments, "--json", "-q", **options))

    def test_what_is_measured(self):
        got = self.sanity(self.photos, "--method", "gradcam,randomcam,saliency", "--seed", 4)
        self.assertEqual([g["method"] for g in got], ["gradcam", "randomcam", "saliency"])
        for g in got:
            self.assertEqual(g["images"], 3)
            self.assertEqual([s["share"] for s in g["stages"]], [0, 0.25, 0.5, 0.75, 1])
            for s in g["stages"]:
                self.assertTrue(0 <= s["spearman"] <= 1 + 1e-9 and -1 <= s["ssim"] <= 1 + 1e-9)
        self.assertEqual(self.sanity(self.photos, "--method", "gradcam,randomcam,saliency", "--seed", 4), got)
        shuffled = self.sanity(self.photos, "--method", "gradcam", "--control", "shuffle")[0]
        self.assertEqual((got[0]["control"], shuffled["control"]), ("redraw", "shuffle"))
        self.assertNotEqual(got[0]["stages"], shuffled["stages"])
        self.assertEqual(got[0]["edges"], shuffled["edges"])

    def test_a_map_that_ignores_the_head_is_told(self):
        """Eigen-CAM looks at activations only: the last layer and the class change nothing."""
        eigen = self.sanity(self.photos / "p0.png", "--method", "eigencam")[0]
        self.assertAlmostEqual(eigen["stages"][0]["spearman"], 1, places=6)
        self.assertAlmostEqual(eigen["other_class"], 1, places=6)
        self.assertIn("not on the class" if eigen["verdict"].startswith("depends") else "hardly", eigen["verdict"])
        grad = self.sanity(self.photos / "p0.png", "--method", "gradcam")[0]
        self.assertLess(grad["stages"][0]["spearman"], 0.999)

    def test_a_damaged_image_is_skipped(self):
        (self.photos / "a.png").write_bytes(b"no image")
        self.assertEqual(self.sanity(self.photos, code=1)[0]["images"], 3)
        run("sanity", self.model, code=2)
        run("sanity", self.model, self.photos, "--method", "nothing", code=2)
        text = run("sanity", self.model, self.photos / "p0.png").stdout
        self.assertIn("drawn anew", text)
        self.assertRegex(text, r"(?m)^gradcam +b +(-?\d\.\d\d +){12}\w")
        self.assertIn("are shuffled", run("sanity", self.model, self.photos / "p0.png", "--control", "shuffle").stdout)


if __name__ == "__main__":
    program.main()
