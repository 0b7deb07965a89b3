#!/bin/sh
# The comparison with Keras itself: makes a virtual environment with TensorFlow under build/parity, then runs
# scripts/parity.py. Needs the network the first time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/build/parity/venv
if [ ! -e "$venv/ready" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$root/scripts/parity-requirements.txt"
    touch "$venv/ready"
fi
exec "$venv/bin/python" "$root/scripts/parity.py" --netgaze "$root/build/release/netgaze" "$@"
