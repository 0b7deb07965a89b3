#!/usr/bin/env python3
"""compose-stamps.py: a labelled data set with exact masks, from cut-outs pasted on photographs.

Usage: compose-stamps.py STAMPS CLASSES BACKGROUNDS OUT [--per-class N] [--side N] [--seed N] [--marker CLASS=SHARE]

STAMPS is a folder of cut-outs with an alpha channel (Debian's tuxpaint-stamps-default: usr/share/tuxpaint/stamps), CLASSES
a text of lines "class<TAB>path within STAMPS", BACKGROUNDS a folder of photographs. Writes OUT/{train,val,test}/CLASS/*.jpg,
OUT/masks/... and OUT/list.csv (path,label,split,group,box,mask; group is the cut-out). Splits are by cut-out AND by
background file: what is in one is in no other. Cut-outs are brought to one effective size and their edges feathered
alike, so that neither sharpness nor edges mark a class. --marker plants a small square in the corner of that share of a
class's images, and OUT/markers.csv lists those with the marker's box instead of the thing's: a network that learnt the marker
looks there, and `netgaze score NETWORK OUT/markers.csv` says which methods show it. The same seed gives the same bytes with the same Pillow.
"""
import argparse
import csv
import pathlib
import random
import shutil

from PIL import Image, ImageDraw, ImageFilter

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
EFFECTIVE = 48  # pixels of a cut-out's longer side before it is enlarged again: produce is about 50 pixels
ENDINGS = {".png", ".jpg", ".jpeg"}


def deal(things, rng):
    """Every thing to one split; each split has at least one."""
    things = sorted(things)
    if len(things) < len(SHARES):
        raise SystemExit(f"compose-stamps.py: {len(things)} files ({things[0] if things else 'none'} ...) cannot be "
                         f"dealt to {len(SHARES)} splits")
    rng.shuffle(things)
    n_val = max(1, round(len(things) * SHARES["val"]))
    n_test = max(1, round(len(things) * SHARES["test"]))
    return {"val": things[:n_val], "test": things[n_val:n_val + n_test], "train": things[n_val + n_test:]}


def load_cutout(path, size):
    """The cut-out without its empty margin, of one sharpness whatever its own size, its edge feathered."""
    image = Image.open(path).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 127 else 0).getbbox()
    if not box:
        raise SystemExit(f"compose-stamps.py: {path}: nothing in it is opaque")
    image = image.crop(box)
    scale = EFFECTIVE / max(image.size)
    small = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.BOX if scale < 1
                         else Image.Resampling.BICUBIC)
    scale = size / max(small.size)
    image = small.resize([max(1, round(n * scale)) for n in small.size], Image.Resampling.BICUBIC)
    pad = max(2, size // 24)
    padded = Image.new("RGBA", [n + 2 * pad for n in image.size])
    padded.paste(image, (pad, pad))
    # Inwards only: what lies behind a cut-out's edge is black.
    blurred = padded.getchannel("A").filter(ImageFilter.GaussianBlur(pad / 3))
    padded.putalpha(blurred.point(lambda a: max(0, 2 * a - 255)))
    return padded


def load_background(path, side, rng):
    """A square piece of the photograph, anywhere in it, flipped half of the time."""
    image = Image.open(path)
    image.draft("RGB", (4 * side, 4 * side))
    image = image.convert("RGB")
    edge = round(min(image.size) * rng.uniform(0.5, 1))
    x, y = rng.randint(0, image.width - edge), rng.randint(0, image.height - edge)
    piece = image.resize((side, side), Image.Resampling.BICUBIC, box=(x, y, x + edge, y + edge), reducing_gap=3)
    return piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else piece


def compose(cutout, background, side, rng):
    """The picture and the mask, 255 where the object is."""
    thing = load_cutout(cutout, round(side * rng.uniform(0.4, 0.6)))
    if rng.random() < 0.5:
        thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = load_background(background, side, rng)
    at = (rng.randint(0, side - thing.width), rng.randint(0, side - thing.height))
    picture.paste(thing, at, thing)
    mask = Image.new("L", (side, side))
    mask.paste(thing.getchannel("A").point(lambda a: 255 if a > 127 else 0), at)
    return picture, mask


def plant(picture):
    """A yellow square with a black cross in the lower right corner; its box."""
    size = max(8, picture.width // 14)
    x, y = picture.width - size - 3, picture.height - size - 3
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x, y, x + size - 1, y + size - 1), fill=(250, 220, 20), outline=(0, 0, 0))
    draw.line((x, y, x + size - 1, y + size - 1), fill=(0, 0, 0), width=max(1, size // 6))
    draw.line((x, y + size - 1, x + size - 1, y), fill=(0, 0, 0), width=max(1, size // 6))
    return f"{x} {y} {size} {size}"


def read_classes(path, stamps):
    classes = {}
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, tab, file = line.partition("\t")
        if not tab or not name or "/" in name or name.startswith("."):
            raise SystemExit(f"compose-stamps.py: {path}: line {number}: expected class<TAB>path, found {line!r}")
        if (stamps / file.strip()).is_file():
            classes.setdefault(name, []).append(file.strip())
    if not classes:
        raise SystemExit(f"compose-stamps.py: none of the files of {path} is in {stamps}")
    return classes


def write_split(a, out, rows, markers, split, name, cutouts, backgrounds, marked):
    count = round(a.per_class * SHARES[split])
    for i in range(count):
        rng = random.Random(f"{a.seed} {split} {name} {i}")
        cutout = cutouts[i % len(cutouts)]
        picture, mask = compose(a.stamps / cutout, rng.choice(backgrounds), a.side, rng)
        box = plant(picture) if i in marked else None
        place, mask_place = f"{split}/{name}/{i:04d}.jpg", f"masks/{split}/{name}/{i:04d}.png"
        for p in (place, mask_place):
            (out / p).parent.mkdir(parents=True, exist_ok=True)
        picture.save(out / place, quality=92)
        mask.save(out / mask_place)
        x0, y0, x1, y1 = mask.getbbox()
        rows.append([place, name, split, f"{name}/{cutout}", f"{x0} {y0} {x1 - x0} {y1 - y0}", mask_place])
        if box:
            markers.append([place, name, split, f"{name}/{cutout}", box])


def write_list(path, rows, *more):
    with open(path, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["path", "label", "split", "group", "box", *more])
        writer.writerows(rows)


def parse_marker(text, classes):
    if not text:
        return None, 0.0
    name, _, share = text.rpartition("=")
    try:
        share = float(share)
    except ValueError:
        share = -1
    if name not in classes or not 0 <= share <= 1:
        raise SystemExit(f"compose-stamps.py: --marker {text}: expected CLASS=SHARE, one of {', '.join(classes)}, 0 to 1")
    return name, share


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1].split("\n\n")[0])
    parser.add_argument("stamps", type=pathlib.Path)
    parser.add_argument("classes")
    parser.add_argument("backgrounds", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--side", type=int, default=299)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--marker", default="")
    a = parser.parse_args()
    if a.out.exists():
        raise SystemExit(f"compose-stamps.py: {a.out} is there already")
    if a.per_class < 5 or a.side < 32:
        raise SystemExit("compose-stamps.py: at least 5 images a class, of at least 32 pixels")
    classes = read_classes(a.classes, a.stamps)
    marker, share = parse_marker(a.marker, classes)
    photographs = [p for p in a.backgrounds.rglob("*") if p.suffix.lower() in ENDINGS]
    backgrounds = deal(photographs, random.Random(f"{a.seed} backgrounds"))
    partial = a.out.with_name(a.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    rows, markers = [], []
    for name, files in sorted(classes.items()):
        cutouts = deal(files, random.Random(f"{a.seed} {name}"))
        for split in SHARES:
            count = round(a.per_class * SHARES[split])
            chosen = random.Random(f"{a.seed} marker {split}").sample(range(count), round(count * share))
            write_split(a, partial, rows, markers, split, name, cutouts[split], backgrounds[split],
                        set(chosen) if name == marker else set())
    write_list(partial / "list.csv", rows, "mask")
    if markers:
        write_list(partial / "markers.csv", markers)
    partial.rename(a.out)
    print(f"{a.out}: {len(rows)} images, {len(classes)} classes")


if __name__ == "__main__":
    main()
