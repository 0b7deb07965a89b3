#!/usr/bin/env python3
"""Writes src/viz/colormap_tables.c: 256 RGB entries per colour map, from OpenCV and matplotlib.

Needs opencv-python-headless and matplotlib; run by hand when a map is added.
"""
import pathlib

import cv2
import matplotlib
import numpy as np

# name, where it comes from, its name there. The first is the default.
MAPS = [
    ("jet", "opencv", "COLORMAP_JET"),
    ("jet-matplotlib", "matplotlib", "jet"),
    ("viridis", "matplotlib", "viridis"),
    ("inferno", "matplotlib", "inferno"),
    ("magma", "matplotlib", "magma"),
    ("turbo", "matplotlib", "turbo"),
    ("gray", "matplotlib", "gray"),
    ("coolwarm", "matplotlib", "coolwarm"),
    ("rdbu", "matplotlib", "RdBu_r"),
]


def table(origin, name):
    if origin == "opencv":
        ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
        return cv2.applyColorMap(ramp, getattr(cv2, name)).reshape(256, 3)[:, ::-1]
    return np.round(matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8)


def rows(values, per_line=24):
    for start in range(0, len(values), per_line):
        yield "        " + ",".join(str(v) for v in values[start:start + per_line]) + ","


def main():
    lines = [
        "/* Colour maps, 256 RGB entries each. Written by scripts/make-colormaps.py from OpenCV "
        f"{cv2.__version__} and",
        f" * matplotlib {matplotlib.__version__}: do not edit. */",
        '#include "viz/colormap.h"',
        "",
        "/* clang-format off */",
        "const ngi_colormap ngi_colormaps[] = {",
    ]
    for name, origin, theirs in MAPS:
        lines.append(f'    {{"{name}", {{ /* {origin} {theirs} */')
        lines += rows(table(origin, theirs).reshape(-1))
        lines.append("    }},")
    lines += ["};", "/* clang-format on */", "",
              "const int ngi_colormap_total = sizeof ngi_colormaps / sizeof *ngi_colormaps;", ""]
    target = pathlib.Path(__file__).parent.parent / "src/viz/colormap_tables.c"
    target.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
