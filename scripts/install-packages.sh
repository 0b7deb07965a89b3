#!/bin/sh
# install-packages.sh GROUP...: installs what packages.txt lists for these groups and is not there yet.
# Does nothing, and needs no network, when everything is in place.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
missing=
for group in "$@"; do
    while read -r g package command; do
        [ "$g" = "$group" ] || continue
        if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
            continue
        fi
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done <"$root/packages.txt"
done
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "These Debian packages are needed; install them as root:$missing" >&2
        exit 4
    fi
    as_root=sudo
fi
echo "Installing:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
