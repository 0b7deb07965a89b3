#!/bin/sh
# score.sh: how well every method finds the thing in the stamp scenes, and whether the score depends on what it shows. Remakes
# bench/results/methods-*.csv and docs/methods-scored.md. Scenes and head are made once (demo/scenes, demo/scenes-model);
# scores are kept in demo/scores, and an interrupted run continues. Ten minutes of two idle cores.
#
#   score.sh [IMAGES [CURVES [COSTLY]]]    test images for the three tables: 24, 6 and 3 unless given
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
netgaze=$root/build/release/netgaze
images=${1:-24} curves=${2:-6} costly=${3:-3}
scenes=$root/demo/scenes model=$root/demo/scenes-model out=$root/demo/scores results=$root/bench/results
[ -e "$root/demo/model/model.json" ] || "$root/scripts/demo.sh"
"$root/scripts/stamps.sh" "$scenes" --per-class 400 --seed 2
if [ ! -e "$model/netgaze.json" ]; then
    python=$root/build/bench/venv/bin/python
    if [ ! -e "$root/build/bench/venv/ready" ]; then
        python3 -m venv "$root/build/bench/venv"
        "$root/build/bench/venv/bin/pip" install --quiet -r "$root/bench/requirements.txt"
        touch "$root/build/bench/venv/ready"
    fi
    "$python" "$root/bench/stamps_head.py" "$root/demo/model" "$scenes/list.csv" "$model"
fi
mkdir -p "$out" "$results"

score() { "$netgaze" score "$model/model.keras" "$scenes/list.csv" --csv "$@"; }
# A table of one header from runs with their own parameters.
costly_table() {
    for run in "smoothgrad" "vargrad" "integratedgradients,xrai -p steps=20" "occlusion" "scorecam -p channels=100" \
        "lime,kernelshap -p samples=150" "rise -p samples=200" "guidedig -p steps=30" "extremalperturbation -p iterations=40"; do
        # shellcheck disable=SC2086  # a list of words
        score --figures location,drop --images "$costly" --tune 0 -o "$out/costly" --method $run
    done | awk 'NR == 1 || !/^method,/'
}

plain=gradcam++,layercam,ablationcam,eigencam,eigengradcam,kpcacam,fullgrad,finercam,fem,randomcam,saliency,inputxgradient,\
guidedbackprop,guidedgradcam,deconvnet,deeplift,dff,lrp,edges,centre
score --figures location,drop --images "$images" --tune 8 -o "$out/location" \
    --method "cam,gradcam,hirescam,gradcamelementwise,xgradcam,shapleycam,$plain" >"$results/methods-location.csv"
score --figures curves --steps 8 --images "$curves" --tune 0 -o "$out/curves" --method "gradcam,$plain" \
    >"$results/methods-curves.csv"
costly_table >"$results/methods-costly.csv"
python3 "$root/bench/methods_table.py" "$results" >"$root/docs/methods-scored.md"
