"""Models of several inputs and outputs on the command line."""
import pathlib
import struct

import program
from program import lines, run

MODELS = pathlib.Path(__file__).parent.parent / "fixtures" / "models"


class Ends(program.ProgramTest):
    def case(self, name):
        folder = MODELS / name
        return folder / "model.keras", folder

    def test_a_vector_beside_the_image(self):
        model, folder = self.case("keras3.15_image_and_vector")
        given = f"age={folder / 'age.npy'}"
        [first, second] = lines(run("explain", model, folder / "input.npy", "-o", self.out, "--json", "--input", given,
                                    "--method", "gradcam"))
        self.assertEqual((first["layer"], first["status"], second["shape"]), ("gated", "ok", [7, 9]))
        sidecar = program.json.loads(pathlib.Path(first["files"]["sidecar"]).read_text())
        self.assertEqual((sidecar["model"]["output"], sidecar["model"]["inputs"]), ("predictions", given))
        said = run("layers", model, "--input", given).stdout
        self.assertIn("Inputs: age, image.", said)
        for method in ("scorecam", "integratedgradients", "fullgrad", "ablationcam"):
            got = lines(run("explain", model, folder / "input.npy", "-o", self.out, "--json", "--input", given, "--method", method))
            self.assertEqual([g["status"] for g in got], ["ok", "ok"], method)

    def test_what_is_wrong_is_said(self):
        model, folder = self.case("keras3.15_image_and_vector")
        arguments = ("classify", model, folder / "input.npy")
        self.assertIn("'age' has no value", run(*arguments, code=3).stderr)
        self.assertIn("'age' is not NAME=FILE.npy", run(*arguments, "--input", "age", code=2).stderr)
        self.assertIn("none.npy", run(*arguments, "--input", "age=none.npy", code=2).stderr)
        self.assertIn("no output 'x'", run(*arguments, "--output-layer", "x", code=3).stderr)
        wrong = self.folder / "wrong.npy"
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }".ljust(117) + "\n"
        wrong.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + struct.pack("<3f", 1, 2, 3))
        said = run(*arguments, "--input", f"age={wrong}", code=3).stderr
        self.assertIn("expected a value of shape [4], found [3]", said)

    def test_two_images(self):
        model, folder = self.case("keras3.15_two_images")
        given = ("--image-input", "left", "--input", f"right={folder / 'right.npy'}")
        self.assertIn("name it with --image-input", run("classify", model, folder / "input.npy", code=3).stderr)
        self.assertEqual(len(lines(run("classify", model, folder / "input.npy", "--json", *given))), 2)

    def test_the_second_output(self):
        model, folder = self.case("keras3.15_second_output")
        said = run("layers", model, "--output-layer", "other").stdout
        self.assertIn("Outputs: predictions, other; 'other' is explained", said)
        counts = [len(lines(run("classify", model, folder / "input.npy", "--top", 0, "--json", *extra))[0]["predictions"])
                  for extra in ((), ("--output-layer", "1"))]
        self.assertEqual(counts, [5, 2])


if __name__ == "__main__":
    program.main()
