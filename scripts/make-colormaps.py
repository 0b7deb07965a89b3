#!/usr/bin/env python3
"""Writes src/viz/colormap_tables.c from OpenCV's and Matplotlib's own tables. Usage: make-colormaps.py > FILE"""
import cv2
import matplotlib
import numpy as np

ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
tables = {"jet": cv2.applyColorMap(ramp, cv2.COLORMAP_JET)[:, 0, ::-1]}
for name, source in [("jet-matplotlib", "jet"), ("viridis", "viridis"), ("inferno", "inferno"), ("magma", "magma"),
                     ("turbo", "turbo"), ("gray", "gray"), ("coolwarm", "coolwarm"), ("rdbu", "RdBu_r")]:
    tables[name] = (matplotlib.colormaps[source](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
print(f"/* Colour tables of OpenCV {cv2.__version__} (jet) and Matplotlib {matplotlib.__version__}, made by "
      "scripts/make-colormaps.py. */\n#include \"viz/viz.h\"\n\n/* clang-format off */")
for name, table in tables.items():
    print(f"static const uint8_t {name.replace('-', '_')}[256 * 3] = {{")
    flat = table.reshape(-1)
    for i in range(0, 768, 24):
        print("    " + ",".join(map(str, flat[i:i + 24])) + ",")
    print("};")
print("/* clang-format on */\n\nconst ngi_colormap ngi_colormaps[] = {")
for name in tables:
    print(f'    {{"{name}", {name.replace("-", "_")}}},')
print(f"}};\n\nconst int ngi_colormap_total = {len(tables)};")
