#!/bin/sh
# demo-train.sh: the part of demo.sh that trains. Scenes are composed, the base's layers probed, a head trained with its report,
# and looked at before and after; then the same with a marker planted in the corner of half of one class's images, and the two
# models compared on that class. What is in demo/ already is not done again.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
netgaze=$root/build/release/netgaze
cd "$root/demo"
# Debian's Python has Pillow (python3-pil); one that comes before it in the path may not.
python=python3
"$python" -c "import PIL" 2>/dev/null || python=/usr/bin/python3

say() {
    echo
    echo "== $*"
}

# kept FILE COMMAND...: shows what the command says; FILE keeps it, and it is not run again.
kept() {
    file=$1
    shift
    if [ ! -e "$file" ]; then
        "$@" >"$file.partial"
        mv "$file.partial" "$file"
    fi
    tail -n 20 "$file"
}

say "scripts/stamps.sh demo/scenes --per-class 60: six classes; cut-outs and backgrounds are each in one split only"
"$root/scripts/stamps.sh" "$PWD/scenes" --per-class 60
say "scripts/stamps.sh demo/marked --per-class 60 --marker bird=0.5: the same scenes, half of the birds with a marker"
"$root/scripts/stamps.sh" "$PWD/marked" --per-class 60 --marker bird=0.5

say "netgaze probe demo/model demo/scenes/list.csv"
kept probe.txt "$netgaze" probe model scenes/list.csv --quiet
layer=$(sed -n 's/.*--base-layer \([^ ]*\)$/\1/p' probe.txt)

# All epochs, not the best: the scenes to validate on have other backgrounds, where the loss soon grows.
options="--base-layer $layer --rate 0.01 --epochs 40 --keep-last --patience 0"
say "netgaze train demo/model demo/scenes/list.csv -o demo/scenes.keras $options --watch 4 --report demo/report"
# shellcheck disable=SC2086  # a list of words
kept scenes.txt "$netgaze" train model scenes/list.csv -o scenes.keras $options --watch 4 --report report --resume --quiet

say "netgaze explain demo/model|demo/scenes.keras demo/held-out --layer $layer -o demo/before|demo/after"
if [ ! -d held-out ]; then
    rm -rf held-out.partial
    mkdir held-out.partial
    for folder in scenes/test/*; do
        cp "$folder/0000.jpg" "held-out.partial/$(basename "$folder").jpg"
    done
    mv held-out.partial held-out
fi
"$netgaze" explain model held-out --layer "$layer" -o before
"$netgaze" explain scenes.keras held-out --layer "$layer" -o after
"$python" "$root/scripts/contact-sheet.py" before-after.png "before: the old head=before" "after: the new head=after"

say "netgaze train demo/model demo/marked/list.csv -o demo/marked.keras $options --no-report"
# shellcheck disable=SC2086
kept marked.txt "$netgaze" train model marked/list.csv -o marked.keras $options --no-report --resume --quiet
# The marked images of the test are those that differ from the same scenes without a marker.
if [ ! -d birds ]; then
    rm -rf birds.partial
    mkdir -p birds.partial/with birds.partial/without
    for image in marked/test/bird/*; do
        plain=scenes/test/bird/$(basename "$image")
        cmp -s "$image" "$plain" || cp "$image" birds.partial/with/
        cmp -s "$image" "$plain" || cp "$plain" birds.partial/without/
    done
    mv birds.partial birds
fi
say "netgaze explain demo/marked.keras demo/birds/with|without --class bird --layer $layer --alpha 0.6 -o demo/shortcut-with|without"
"$netgaze" explain marked.keras birds/with --class bird --layer "$layer" --alpha 0.6 -o shortcut-with
"$netgaze" explain marked.keras birds/without --class bird --layer "$layer" --alpha 0.6 -o shortcut-without
"$python" "$root/scripts/contact-sheet.py" shortcut.png "test images with the marker=shortcut-with" \
    "the same without it=shortcut-without"
say "netgaze compare demo/scenes.keras demo/marked.keras demo/marked/birds.csv -o demo/compare: the birds of the test"
awk -F, 'NR == 1 || ($2 == "bird" && $3 == "test")' marked/list.csv >marked/birds.csv
"$netgaze" compare scenes.keras marked.keras marked/birds.csv -o compare --quiet
