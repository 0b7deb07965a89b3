#!/bin/sh
# Installs the peers into build/bench and compares with them (compare.py; arguments are passed on). PyTorch is Debian's, seen
# by an environment of its own that adds pytorch-grad-cam and captum. Needs the network the first time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/build/bench
mkdir -p "$work"
if [ ! -e "$work/venv/ready" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet -r "$root/bench/requirements.txt"
    touch "$work/venv/ready"
fi
if [ ! -e "$work/torch/ready" ]; then
    /usr/bin/python3 -m venv --system-site-packages "$work/torch"
    # without its dependencies: Debian has torch, torchvision and OpenCV
    "$work/torch/bin/pip" install --quiet --no-deps grad-cam==1.5.7 ttach captum==0.9.0
    touch "$work/torch/ready"
fi
if [ ! -e "$work/node_modules/ready" ]; then
    npm install --silent --no-fund --no-audit --prefix "$work" @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
    touch "$work/node_modules/ready"
fi
exec "$work/venv/bin/python" "$root/bench/compare.py" --torch-python "$work/torch/bin/python" "$@"
