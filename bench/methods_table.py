"""docs/methods-scored.md from the tables of bench/score.sh: methods_table.py RESULTS > docs/methods-scored.md"""
import csv
import pathlib
import sys

HEAD = """# Methods scored

Made by `bench/score.sh`; the numbers with all digits are in `bench/results/methods-*.csv`. Scenes: cut-outs of
photographs pasted on other photographs with exact masks (`scripts/stamps.sh`, 400 a class, six classes), split by cut-out and by
background. Model: the real InceptionV3 of `make demo` up to mixed7, global average pooling and a Dense head that `netgaze train`
trained on the training scenes. Figures are of test scenes, the true class and the logit, at mixed7 (17x17 cells), with 95%
bootstrap intervals over cut-outs: scenes of one cut-out are drawn together. What is in one row's interval and in another's is no
difference that these data show. Rows are to be compared within a table only: one that is made again at another time has a head
that was trained again.

The thing covers {area} of its image (that is the energy of a map without any idea), and the class explained is the predicted one in
{right} of the {images} images: a classifier of things that it never saw (chance is 17%).

energy: share of the map in the mask. pointing: its largest pixel is in the mask. IoU: at the threshold that was best on {tuned}
validation scenes, in brackets. box: of the largest region at 0.15. drop: of the probability on the image times the map, low is
good; it favours maps that show much of the image. deletion (low is good) and insertion (high is good): grey and blur, 8
steps. ROAD: probability with the least relevant pixels imputed less that with the most relevant ones, halved; high is good, 0
says that the order does not matter. seconds: processor time of a thread for the map alone; forwards: the same in forward runs,
the first one included.
"""
NAMES = [("energy", "energy"), ("pointing", "pointing"), ("rank", "rank"), ("iou", "IoU"), ("box_iou", "box"), ("drop", "drop")]
CURVES = [("deletion", "deletion"), ("insertion", "insertion"), ("road", "ROAD")]

def read(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def mean(row, name):
    if not row or not row[name]:
        return "-"
    value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
    return f"{value:.2f} ({low:.2f}-{high:.2f})"


def table(rows, names, key, down=True, seconds=False):
    costs = " seconds | forwards |" if seconds else " forwards |"
    print("| method | scenes | " + " | ".join(title for _, title in names) + " |" + costs)
    print("| --- | --- |" + " --- |" * (len(names) + costs.count("|")))
    for row in sorted(rows, key=lambda r: -float(r[key]) if down else float(r[key])):
        cells = [mean(row, name) for name, _ in names]
        for i, (name, _) in enumerate(names):
            if name == "iou" and row["iou"]:
                cells[i] += f" [{float(row['iou_threshold']):g}]"
        label = row["method"] + (f" {row['parameters']}" if row["parameters"] else "")
        cells += [f"{float(row['seconds']):.3f}"] * seconds + [f"{float(row['forwards']):.1f}"]
        print(f"| {label} | {row['images']} | " + " | ".join(cells) + " |")


def main(folder):
    folder = pathlib.Path(folder)
    location, curves, costly = (read(folder / f"methods-{n}.csv") for n in ("location", "curves", "costly"))
    first = location[0]
    print(HEAD.format(area=f"{float(first['area']):.1%}", right=f"{float(first['right']):.0%}", images=first["images"],
                      tuned=first["iou_tuned_on"]))
    print(f"## Methods of a few forward runs: {first['images']} scenes\n")
    table(location, NAMES, "energy", seconds=True)
    print("\ncam, hirescam, xgradcam and shapleycam (of the logit) are gradcam here, as they must be behind global average pooling "
          "and Dense;\ngradcamelementwise is LayerCAM, as it must be where no activation is negative.\n")
    print(f"## What changes the score: {curves[0]['images']} scenes\n")
    table(curves, [c for c in CURVES if curves[0][c[0]]], "deletion", down=False)
    print(f"\n## Methods of many forward runs: {costly[0]['images']} of these scenes, fewer samples than the defaults\n")
    print("IoU at half of the maximum: there are no maps of other scenes to choose a threshold on.\n")
    table(costly, NAMES + CURVES, "energy")


if __name__ == "__main__":
    main(sys.argv[1])
