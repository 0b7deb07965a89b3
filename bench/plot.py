#!/usr/bin/env python3
"""bench/results/compare.csv as docs/performance.png: every ratio a bar, those that were asked for with their mark."""
import csv
import os

import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    with open(os.path.join(HERE, "results", "compare.csv"), newline="") as f:
        lines = list(csv.reader(f))
    start = next(i for i, l in enumerate(lines) if "what" in l)
    rows = [dict(zip(lines[start], l)) for l in lines[start + 1:]][::-1]
    ratios = [float(r["ratio"]) for r in rows]
    figure, axes = plt.subplots(figsize=(10, 0.24 * len(rows) + 1))
    axes.barh(range(len(rows)), [r - 1 for r in ratios], left=1, color=["#c33" if r["verdict"] == "LOST" else "#36a" for r in rows])
    for i, r in enumerate(rows):
        axes.text(max(ratios[i], 1) * 1.02, i, r["ratio"], va="center", fontsize=7)
        if r["wanted"]:
            axes.plot([float(r["wanted"])] * 2, [i - 0.4, i + 0.4], color="black")
    axes.set_yticks(range(len(rows)), ["%s - %s" % (r["what"], r["peer"][:32]) for r in rows], fontsize=7)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.margins(y=0.01)
    axes.set_xlim(min(0.8, *ratios) * 0.95, max(ratios) * 1.3)
    axes.set_xlabel("times as fast as the peer, or as small; black: what was asked for; red: lost", loc="right")
    figure.tight_layout()
    figure.savefig(os.path.join(HERE, "..", "docs", "performance.png"), dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
