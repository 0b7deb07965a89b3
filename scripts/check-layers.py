#!/usr/bin/env python3
"""Keeps the architecture: which folder may include which, and where foreign headers may appear.

The same order as cmake/library.cmake; docs/ARCHITECTURE.md explains it. Prints every violation and
exits 1 if there is one.
"""
import pathlib
import re
import sys

ALLOWED = {
    "base": [],
    "tensor": ["base"],
    "image": ["base", "tensor"],
    "nn": ["base", "tensor"],
    "format": ["base", "tensor", "nn"],
    "exec/ref": ["base", "tensor", "nn", "exec"],
    "exec/onednn": ["base", "tensor", "nn", "exec"],
    "exec/native": ["base", "tensor", "nn", "exec"],
    "exec": ["base", "tensor", "nn"],
    "attr": ["base", "tensor", "nn", "exec"],
    "viz": ["base", "tensor", "image"],
    "metrics": ["base", "tensor", "nn", "exec", "attr"],
    "data": ["base", "tensor", "image", "nn"],
    "train": ["base", "tensor", "nn", "exec", "data"],
    "report": ["base", "tensor", "image", "nn", "viz", "metrics", "data"],
    "api": ["base", "tensor", "nn", "format", "exec", "attr", "image", "viz", "metrics", "data", "train",
            "report"],
}
# header prefix -> the only places that may include it
FOREIGN = {
    "vips/": ["src/image"],
    "libdeflate": ["src/image"],
    "hdf5": ["src/format"],
    "zip.h": ["src/format"],
    "jansson.h": ["src/format", "app"],
    "dnnl": ["src/exec/onednn"],
    "oneapi/": ["src/exec/onednn"],
    "omp.h": ["src/exec/onednn", "src/exec/native"],
    "xxhash.h": ["src/base"],
    "cmocka.h": ["tests"],
    "microhttpd": ["app"],
    "mpi.h": ["src/par"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(include: str):
    """The longest known folder that an include path begins with."""
    parts = include.split("/")[:-1]
    while parts:
        if "/".join(parts) in ALLOWED:
            return "/".join(parts)
        parts.pop()
    return None


def check(root: pathlib.Path):
    files = [p for top in ("src", "app", "tests", "fuzz", "bench", "examples") for p in (root / top).rglob("*.[ch]")]
    for path in sorted(files):
        relative = path.relative_to(root)
        place = str(relative.parent)
        for kind, include in INCLUDE.findall(path.read_text()):
            for header, places in FOREIGN.items():
                if include.startswith(header) and not any(place == p or place.startswith(p + "/") for p in places):
                    yield f"{relative}: <{include}> belongs in {' or '.join(places)} only"
            if kind != '"' or include.startswith("netgaze/"):
                continue
            target = folder_of(include)
            if relative.parts[0] == "src":
                own = str(relative.parent.relative_to("src"))
                if own not in ALLOWED:
                    yield f"{relative}: folder src/{own} is not in the list of {pathlib.Path(__file__).name}"
                elif target and target != own and target not in ALLOWED[own]:
                    yield f"{relative}: src/{own} may not include {include}"
            elif relative.parts[0] == "app" and target:
                yield f"{relative}: the program uses netgaze/netgaze.h only, not {include}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    problems = list(check(root))
    print("\n".join(problems) if problems else "layers: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
