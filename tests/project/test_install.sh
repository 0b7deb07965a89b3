#!/bin/sh
# test_install.sh BUILD CONSUMER: an installed netgaze is found by find_package and by pkg-config, and a small
# program built against it runs.
set -eu
build=$1 consumer=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
for linkage in shared static; do
    cmake -S "$consumer" -B "$work/$linkage" -DCMAKE_PREFIX_PATH="$work/prefix" -DLINKAGE=$linkage >"$work/log" 2>&1 ||
        { cat "$work/log"; exit 1; }
    cmake --build "$work/$linkage" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    "$work/$linkage/consumer"
done
pc=$(dirname "$(find "$work/prefix" -name netgaze.pc)")
# shellcheck disable=SC2046  # flags are words
cc -o "$work/by-pkg-config" "$consumer/consumer.c" \
    $(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$work/prefix" --cflags --libs netgaze)
LD_LIBRARY_PATH=$(dirname "$pc") "$work/by-pkg-config"
"$work/prefix/bin/netgaze" --version
