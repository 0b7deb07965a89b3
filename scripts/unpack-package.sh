#!/bin/sh
# unpack-package.sh PACKAGE FOLDER: downloads a Debian package by name and unpacks it as FOLDER; it is not installed.
# Does nothing, and needs no network, when FOLDER is there.
set -eu
[ ! -d "$2" ] || exit 0
scripts=$(cd "$(dirname "$0")" && pwd)
echo "Fetching the Debian package $1"
rm -rf "$2.partial"
mkdir -p "$2.partial/deb"
(cd "$2.partial/deb" &&
    { apt-get download -qq "$1" || { "$scripts/update-package-index.sh" && apt-get download -qq "$1"; }; })
dpkg-deb -x "$2.partial/deb/$1"_*.deb "$2.partial/files"
mv "$2.partial/files" "$2"
rm -rf "$2.partial"
