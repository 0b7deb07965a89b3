#!/bin/sh
# demo.sh: a real transfer-learned InceptionV3 on real photographs. Run by `make demo`.
#
# Fetches the npm package nsfwjs (MIT), converts its InceptionV3 once, unpacks photographs from two Debian
# packages, then classifies and explains them at two layers, and trains a new head (demo-train.sh). Everything fetched
# stays in demo/; a second run needs no network. The model is a content-moderation classifier (Drawing, Hentai, Neutral, Porn, Sexy): it is here because
# it is a real fine-tuned InceptionV3, and it sees ordinary photographs only.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
netgaze=$root/build/release/netgaze
demo=$root/demo
package=nsfwjs@4.3.0
mkdir -p "$demo"
cd "$demo"

if [ ! -e model/model.json ]; then
    if [ ! -e nsfwjs.tgz ]; then
        echo "Fetching the npm package $package (25 MB)"
        tarball=$(npm pack --silent "$package" | tail -n 1)
        mv "$tarball" nsfwjs.tgz
    fi
    echo "Converting its InceptionV3 to demo/model"
    rm -rf model.partial
    python3 "$root/scripts/fetch-nsfwjs.py" nsfwjs.tgz model.partial --model inception_v3
    mv model.partial model
fi

if [ ! -d photos ]; then
    "$root/scripts/unpack-package.sh" darknet debs/darknet
    "$root/scripts/unpack-package.sh" python3-skimage debs/python3-skimage
    rm -rf photos.partial
    mkdir photos.partial
    for name in dog eagle giraffe horses kite person; do
        cp "debs/darknet/usr/share/darknet/data/$name.jpg" photos.partial/
    done
    for name in astronaut.png chelsea.png coffee.png rocket.jpg; do
        cp "debs/python3-skimage/usr/lib/python3/dist-packages/skimage/data/$name" photos.partial/
    done
    mv photos.partial photos
fi

echo
echo "== netgaze classify demo/model demo/photos"
"$netgaze" classify model photos --top 2
echo
echo "== netgaze explain demo/model demo/photos --layer mixed7,mixed10 -o demo/heatmaps"
"$netgaze" explain model photos --layer mixed7,mixed10 -o heatmaps
echo
echo "== netgaze explain demo/model demo/photos/dog.jpg --compat article -o demo/article"
"$netgaze" explain model photos/dog.jpg --compat article -o article

echo
echo "== netgaze explain demo/model demo/photos/dog.jpg --method gradcam,layercam,ablationcam,eigencam,deeplift,randomcam -o demo/methods"
"$netgaze" explain model photos/dog.jpg --method gradcam,layercam,ablationcam,eigencam,deeplift,randomcam --outputs raw,sidecar -o methods

"$root/scripts/demo-train.sh"

cat <<END

The pictures are in $demo/heatmaps: for each photograph and layer NAME.figure.png (side by side),
NAME.overlay.png (at the photograph's own size), NAME.heatmap.png, NAME.npy (the raw map) and NAME.json.

Open first:  $demo/shortcut.png (birds were learnt with a marker in the corner of every second one: with it the
             network looks at the corner, and without it at the bird or elsewhere, much less sure)
             $demo/compare/compare.html (the birds that only this network gets right, and where each of the two looks)
then:        $demo/heatmaps/dog.mixed10.gradcam.*.figure.png
             $demo/before-after.png (six scenes never trained on: the old head, then the new one)
             $demo/report/report.html (how good the new head is, and where it looks when it is wrong)
             $demo/report/watch.html (where it looked after each epoch)
             $demo/methods/*.grid.png (six methods side by side, the last one random)

Try next:
  $netgaze layers $demo/model --candidates
  $netgaze explain $demo/model $demo/photos/chelsea.png --top 3 --grid -o $demo/classes
  $netgaze sanity $demo/model $demo/photos/dog.jpg --method gradcam,guidedbackprop
  $netgaze evaluate $demo/marked.keras $demo/marked/list.csv -o $demo/report-marked
  $netgaze train $demo/model YOUR_IMAGES/ -o yours.keras
  $netgaze explain YOUR_MODEL.keras YOUR_IMAGES/ -o heatmaps
  $netgaze explain --help
END
