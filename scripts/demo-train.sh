#!/bin/sh
# demo-train.sh: the part of demo.sh that trains. Scenes are composed, the base's layers probed, a head trained, judged and
# looked at before and after; then the same with a marker planted in the corner of half of one class's images. What is in
# demo/ already is not done again.
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

# train_head DATA OUT: 60 short epochs, all of them: the scenes to validate on have other backgrounds, where the loss soon grows.
train_head() {
    say "netgaze train demo/model demo/$1/list.csv -o demo/$2 --base-layer $layer --rate 0.01 --epochs 60 --keep-last --patience 0"
    [ -e "$2" ] || "$netgaze" train model "$1/list.csv" -o "$2" --base-layer "$layer" --rate 0.01 --epochs 60 --keep-last \
        --patience 0 --resume --quiet | tail -n 2
}

say "scripts/stamps.sh demo/scenes --per-class 60: six classes; cut-outs and backgrounds are each in one split only"
"$root/scripts/stamps.sh" "$PWD/scenes" --per-class 60
say "scripts/stamps.sh demo/marked --per-class 60 --marker bird=0.5: the same scenes, half of the birds with a marker"
"$root/scripts/stamps.sh" "$PWD/marked" --per-class 60 --marker bird=0.5

say "netgaze probe demo/model demo/scenes/list.csv"
if [ ! -e probe.txt ]; then
    "$netgaze" probe model scenes/list.csv --quiet >probe.partial
    mv probe.partial probe.txt
fi
cat probe.txt
layer=$(sed -n 's/.*--base-layer \([^ ]*\)$/\1/p' probe.txt)

train_head scenes scenes.keras
say "netgaze evaluate demo/scenes.keras demo/scenes/list.csv -o demo/report"
if [ ! -d report ]; then
    rm -rf report.partial
    "$netgaze" evaluate scenes.keras scenes/list.csv -o report.partial --title "Stamp scenes: a head on $layer" --quiet
    mv report.partial report
fi

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

train_head marked marked.keras
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
say "netgaze explain demo/marked.keras demo/birds/with|without --class bird --layer $layer -o demo/shortcut-with|without"
"$netgaze" explain marked.keras birds/with --class bird --layer "$layer" -o shortcut-with
"$netgaze" explain marked.keras birds/without --class bird --layer "$layer" -o shortcut-without
"$python" "$root/scripts/contact-sheet.py" shortcut.png "test images with the marker=shortcut-with" \
    "the same without it=shortcut-without"
