#!/bin/sh
# The comparison with Keras itself: makes a virtual environment with TensorFlow under build/parity, then runs
# scripts/parity.py, or with `save` as first argument scripts/parity_save.py (which needs node and npm for TensorFlow.js
# too). Needs the network the first time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/build/parity/venv
if [ ! -e "$venv/ready" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$root/scripts/parity-requirements.txt"
    touch "$venv/ready"
fi
if [ "${1:-}" = save ]; then
    shift
    tfjs=$root/build/parity/tfjs
    [ -d "$tfjs/node_modules/@tensorflow/tfjs" ] || npm install --silent --no-fund --prefix "$tfjs" @tensorflow/tfjs
    exec "$venv/bin/python" "$root/scripts/parity_save.py" --netgaze "$root/build/release/netgaze" --tfjs "$tfjs" "$@"
fi
exec "$venv/bin/python" "$root/scripts/parity.py" --netgaze "$root/build/release/netgaze" "$@"
