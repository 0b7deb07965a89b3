#!/bin/sh
# test_symbols.sh LIBRARY HEADER: the shared library exports exactly the functions that the header declares.
set -eu
library=$1 header=$2
exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sed 's/@.*//' | grep -v '^_' | sort -u)
declared=$(tr '\n' ' ' <"$header" | grep -o 'NG_API[^;]*;' | grep -o 'ng_[a-z0-9_]* *(' | tr -d ' (' | sort -u)
if [ "$exported" != "$declared" ]; then
    echo "exported but not declared, or declared but not exported:"
    printf '%s\n' "$exported" >"${TMPDIR:-/tmp}/exported.$$"
    printf '%s\n' "$declared" | diff "${TMPDIR:-/tmp}/exported.$$" - || true
    rm -f "${TMPDIR:-/tmp}/exported.$$"
    exit 1
fi
echo "$(printf '%s\n' "$exported" | wc -l) functions"
