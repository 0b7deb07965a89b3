#!/usr/bin/env python3
"""bench/results/compare.csv as a picture: every ratio a bar, those that were asked for with their mark."""
import csv
import os

import matplotlib
matplotlib.use("svg")
import matplotlib.pyplot as plt

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def main():
    with open(os.path.join(RESULTS, "compare.csv"), newline="") as f:
        lines = list(csv.reader(f))
    start = next(i for i, l in enumerate(lines) if l[0] == "what")
    rows = [dict(zip(lines[start], l)) for l in lines[start + 1:]][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(rows) + 1.2))
    axes.barh(range(len(rows)), [float(r["ratio"]) for r in rows],
              color=["#c33" if r["verdict"] == "LOST" else "#36a" for r in rows])
    for i, r in enumerate(rows):
        if r["wanted"]:
            axes.plot([float(r["wanted"])] * 2, [i - 0.4, i + 0.4], color="black")
    axes.set_yticks(range(len(rows)), ["%s - %s" % (r["what"], r["peer"][:32]) for r in rows], fontsize=7)
    axes.set_xscale("log")
    axes.axvline(1, color="grey", linewidth=0.5)
    axes.set_xlabel("times faster (or smaller); black: asked for; red: lost")
    figure.tight_layout()
    figure.savefig(os.path.join(RESULTS, "compare.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
