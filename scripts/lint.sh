#!/bin/sh
# Formatting and static analysis of every C file under version control.
set -eu
cd "$(dirname "$0")/.."
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
cmake --preset dev -DNETGAZE_TESTS=OFF >/dev/null
# A process for each file: clang-tidy 14 falls over when it is given all.
git ls-files 'src/*.c' 'app/*.c' | xargs -n 1 -P "$(nproc)" clang-tidy -p build/dev --quiet
scripts/check-layers.py
