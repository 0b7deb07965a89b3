#!/bin/sh
# 10,000 explanations in one process: resident memory must stay flat after the first hundred. Uses the demo's small
# MobileNetV2, so that it takes minutes.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if [ ! -e demo/mobilenet/model.json ]; then
    mkdir -p demo
    [ -e demo/nsfwjs.tgz ] || (cd demo && mv "$(npm pack --silent nsfwjs@4.3.0 | tail -n 1)" nsfwjs.tgz)
    python3 scripts/fetch-nsfwjs.py demo/nsfwjs.tgz demo/mobilenet.partial --model mobilenet_v2
    mv demo/mobilenet.partial demo/mobilenet
fi
mkdir -p bench/results
build/release/bench-memory demo/mobilenet 10000 >bench/results/memory.csv
cat bench/results/memory.csv
