#!/usr/bin/env python3
"""contact-sheet.py OUT TITLE=FOLDER...: the overlays that `netgaze explain` wrote to each FOLDER, a row a folder.

Above each picture stand its name, the class that is explained and its probability, from the sidecar.
"""
import json
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, LINE = 224, 8, 22
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


def row(folder):
    """(overlay, caption) of each image of the folder, by name."""
    cells = []
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        sidecar = json.loads(path.read_text())
        if "overlay" in sidecar.get("files", {}):
            name = pathlib.Path(sidecar["image"]).stem
            caption = f"{name}: {sidecar['label']} {sidecar['probability']:.0%}"
            cells.append((Image.open(path.with_suffix(".overlay.png")).convert("RGB").resize((SIDE, SIDE)), caption))
    if not cells:
        raise SystemExit(f"contact-sheet.py: {folder}: no overlays with sidecars")
    return cells


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    out = pathlib.Path(sys.argv[1])
    rows = [(title, row(folder)) for title, _, folder in (a.rpartition("=") for a in sys.argv[2:])]
    height = LINE + LINE + SIDE + GAP
    sheet = Image.new("RGB", (GAP + max(len(cells) for _, cells in rows) * (SIDE + GAP), len(rows) * height), "white")
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, 16), ImageFont.truetype(FONT, 13)
    for r, (title, cells) in enumerate(rows):
        draw.text((GAP, r * height + 2), title, fill="black", font=font)
        for c, (picture, caption) in enumerate(cells):
            x, y = GAP + c * (SIDE + GAP), r * height + LINE
            draw.text((x, y + 3), caption, fill="black", font=small)
            sheet.paste(picture, (x, y + LINE))
    partial = out.with_name(out.stem + ".partial" + out.suffix)
    sheet.save(partial)
    partial.rename(out)
    print(f"{out}: {sum(len(cells) for _, cells in rows)} pictures")


if __name__ == "__main__":
    main()
