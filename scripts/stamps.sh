#!/bin/sh
# stamps.sh [OUT [OPTION...]]: scenes with exact masks, composed by compose-stamps.py (which takes the options) from
# photographs in Debian packages. OUT is demo/stamps unless given. Each package is fetched once and unpacked under demo/debs;
# nothing is done, and no network needed, when OUT is there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
debs=$root/demo/debs
out=${1:-$root/demo/stamps}
[ $# -eq 0 ] || shift
[ ! -d "$out" ] || exit 0
mkdir -p "$debs"
for package in tuxpaint-stamps-default plasma-workspace-wallpapers mate-backgrounds; do
    "$root/scripts/unpack-package.sh" $package "$debs/$package"
done

# Photographs without any thing of the six classes: no flowers, no birds.
backgrounds=$root/demo/backgrounds
if [ ! -d "$backgrounds" ]; then
    rm -rf "$backgrounds.partial"
    mkdir "$backgrounds.partial"
    for name in BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Grey Kite OneStandsOut Path summer_1am Volna; do
        # One size is a file, the others are links to it.
        find "$debs/plasma-workspace-wallpapers/usr/share/wallpapers/$name/contents/images" -type f -name '*.jpg' \
            -exec cp '{}' "$backgrounds.partial/$name.jpg" ';'
    done
    for name in Aqua Blinds Dune GreenMeadow LadyBird RainDrops Storm Wood; do
        cp "$debs/mate-backgrounds/usr/share/backgrounds/mate/nature/$name.jpg" "$backgrounds.partial/"
    done
    mv "$backgrounds.partial" "$backgrounds"
fi
# Debian's Python has Pillow (python3-pil); one that comes before it in the path may not.
python=python3
"$python" -c "import PIL" 2>/dev/null || python=/usr/bin/python3
"$python" "$root/scripts/compose-stamps.py" "$debs/tuxpaint-stamps-default/usr/share/tuxpaint/stamps" \
    "$root/scripts/stamps-classes.txt" "$backgrounds" "$out" "$@"
