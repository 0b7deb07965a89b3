#!/bin/sh
# Fuzzes the model reader from the committed fixtures for FUZZ_SECONDS (60); a crash leaves its input in build/fuzz.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/build/fuzz"
mkdir -p corpus
find "$root/tests/fixtures" -type f \( -name '*.h5' -o -name '*.keras' -o -name '*.json' \) -size -64k -exec cp -n {} corpus/ \;
exec ./fuzz/fuzz_model_file -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=4096 -timeout=20 corpus
