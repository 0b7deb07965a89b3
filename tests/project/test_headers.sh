#!/bin/sh
# test_headers.sh CC CXX INCLUDE: every public header compiles alone as C99, C17 and C++17, without warnings.
set -eu
cc=$1 cxx=$2 include=$3
count=0
for header in "$include"/netgaze/*.h; do
    name=netgaze/$(basename "$header")
    for std in c99 c17; do
        printf '#include "%s"\n' "$name" | "$cc" -std=$std -pedantic-errors -Wall -Wextra -Werror -I"$include" \
            -x c -fsyntax-only -
        count=$((count + 1))
    done
    printf '#include "%s"\n' "$name" | "$cxx" -std=c++17 -pedantic-errors -Wall -Wextra -Werror -I"$include" \
        -x c++ -fsyntax-only -
    count=$((count + 1))
done
[ "$count" -gt 0 ]
echo "$count compilations"
