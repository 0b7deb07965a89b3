#!/usr/bin/env python3
"""The layer check must reject what it is for: each bad file below makes it fail, the good one does not."""
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check-layers.py"
CASES = [
    ("src/nn/a.c", '#include "tensor/tensor.h"\n', True),
    ("src/nn/a.c", '#include "exec/exec.h"\n', False),
    ("src/attr/a.c", '#include "image/text.h"\n', False),
    ("src/viz/a.c", "#include <vips/vips.h>\n", False),
    ("src/exec/a.c", "#include <oneapi/dnnl/dnnl.h>\n", False),
    ("src/format/a.c", "#include <jansson.h>\n", True),
    ("app/a.c", '#include "nn/graph.h"\n', False),
    ("app/a.c", '#include "netgaze/netgaze.h"\n', True),
    ("src/unknown/a.c", '#include "base/base.h"\n', False),
]

failures = 0
for place, text, accepted in CASES:
    with tempfile.TemporaryDirectory() as root:
        path = pathlib.Path(root) / place
        path.parent.mkdir(parents=True)
        path.write_text(text)
        code = subprocess.run([sys.executable, str(SCRIPT), root], capture_output=True).returncode
        if (code == 0) != accepted:
            print(f"{place} with {text.strip()}: exit {code}")
            failures += 1
print(f"{len(CASES) - failures} of {len(CASES)} cases as expected")
sys.exit(1 if failures else 0)
