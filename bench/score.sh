#!/bin/sh
# score.sh: how well every method finds the thing in the stamp scenes, and whether the score depends on what it shows. Remakes
# bench/results/methods-*.csv and docs/methods-scored.md from nothing: the demo's model and the scenes are fetched and composed,
# a head is trained on the scenes, and scored. What is there already is not done again (demo/score-*), and an interrupted run
# continues: also one with larger numbers. Some two hours of one idle core with the numbers below.
#
#   score.sh [IMAGES [CURVES [COSTLY]]]    test images for the three tables: 96, 48 and 24 unless given
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
netgaze=$root/build/release/netgaze
images=${1:-96} curves=${2:-48} costly=${3:-24}
scenes=$root/demo/score-scenes model=$root/demo/score-model.keras out=$root/demo/score results=$root/bench/results
[ -e "$root/demo/model/model.json" ] || "$root/scripts/demo.sh"
"$root/scripts/stamps.sh" "$scenes" --per-class 400 --seed 2
[ -e "$model" ] || "$netgaze" train "$root/demo/model" "$scenes/list.csv" -o "$model" --base-layer mixed7 --no-report --resume
mkdir -p "$out" "$results"

score() { "$netgaze" score "$model" "$scenes/list.csv" --csv --threads 1 "$@"; }
# A table of one header from runs with their own parameters.
costly_table() {
    for run in smoothgrad vargrad "integratedgradients,xrai -p steps=20" occlusion "scorecam -p channels=100" \
        "lime,kernelshap -p samples=150" "rise -p samples=200" "guidedig -p steps=30" "extremalperturbation -p iterations=40"; do
        # shellcheck disable=SC2086  # a list of words
        score --figures location,drop,curves,road --steps 8 --images "$costly" --tune 0 -o "$out/costly" --method $run
    done | awk 'NR == 1 || !/^method,/'
}

plain=gradcam++,layercam,ablationcam,eigencam,eigengradcam,kpcacam,fullgrad,finercam,fem,randomcam,saliency,inputxgradient,\
guidedbackprop,guidedgradcam,deconvnet,deeplift,dff,lrp,edges,centre
score --figures location,drop --images "$images" --tune 16 -o "$out/location" \
    --method "cam,gradcam,hirescam,gradcamelementwise,xgradcam,shapleycam,$plain" >"$results/methods-location.csv"
costly_table >"$results/methods-costly.csv"
score --figures curves,road --steps 8 --images "$curves" --tune 0 -o "$out/curves" --method "gradcam,$plain" \
    >"$results/methods-curves.csv"
python3 "$root/bench/methods_table.py" "$results" >"$root/docs/methods-scored.md"
