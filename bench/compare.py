#!/usr/bin/env python3
"""netgaze and its peers on the same weights and the same photograph, one after another in turns, in one run.

    bench/peers.sh                    installs the peers into build/bench and runs this
    python bench/compare.py --repeat 15 --threads 1,2 [--long]

Every figure is a median; a ratio is the median of the ratios of neighbouring runs, so that whatever else the machine does
strikes both sides. With one thread it is the processor's time of the process, which others disturb less. Outputs are
compared in the same run: a peer whose result differs is an error. Writes bench/results/compare.csv (with CPU and
versions) and the table in docs/performance.md; parts that are not run keep their rows. A lost ratio is shown as lost.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys

import numpy as np

from duel import HERE, ROOT, Bench, child, write


def single_images(b, threads):
    suffix = ", %d thread%s" % (threads, "s" if threads > 1 else "")
    ours = b.worker("netgaze", threads)
    for name in ("onnxruntime", "openvino", "tfjs"):
        peer = b.worker(name, threads)
        asked = 1.7 if threads == 1 and name == "onnxruntime" else None
        b.duel("Grad-CAM against a forward alone" + suffix, ours, "gradcam", peer, "forward", asked, None)
        b.duel("forward" + suffix, ours, "forward", peer, "forward", None, 1e-4)
        if peer:
            peer.close()
    for name, wanted in (("torch", 5), ("keras", 5), ("tf_keras_vis", None)):
        peer = b.worker(name, threads)
        if peer and name != "tf_keras_vis":
            b.duel("forward" + suffix, ours, "forward", peer, "forward", None, 1e-4)
        b.duel("Grad-CAM" + suffix, ours, "gradcam", peer, "gradcam", wanted, 1e-3)
        if peer:
            peer.close()
    times = [(ours.run("forward"), ours.run("ablationcam")) for _ in range(b.args.repeat)]
    forwards = statistics.median(y / x for x, y in times)
    b.row("Ablation-CAM, in forwards (at most 1.2)" + suffix, "%.2f" % forwards, "1.2", "its own forward", 1.2 / forwards, 1)
    ours.close()


def short(b, threads):
    """Shorter numbers: their speed against float32 and against the peer's, their distance from float32."""
    suffix = ", %d thread%s" % (threads, "s" if threads > 1 else "")
    plain = b.worker("netgaze", threads)
    for precision in ("bf16", "int8"):
        ours = b.worker("netgaze " + precision, threads)
        b.duel("forward in %s against float32%s" % (precision, suffix), ours, "forward", plain, "forward", None, 1e9)
        peer = b.worker("onnxruntime_int8", threads) if precision == "int8" else None
        b.duel("forward in int8" + suffix, ours, "forward", peer, "forward", 1.5, 1e9)
        for w in (ours, peer):
            if w:
                w.close()
    plain.close()


def resized(b, side, count=1, photo=None):
    """A photograph as a batch of `count`: images that differ by noise."""
    from PIL import Image
    path = os.path.join(b.args.work, "input-%s-%d-%d.npy" % (photo or "photo", side, count))
    photo = os.path.join(b.args.photos, photo) if photo else b.args.photo
    photo = Image.open(photo).convert("RGB").resize((side, side), Image.BILINEAR)
    noise = 0.1 * np.random.default_rng(0).standard_normal((count, side, side, 3))
    noise[0] = 0
    np.save(path, np.clip(np.asarray(photo, np.float32) / 255 + noise, 0, 1).astype(np.float32))
    return path


def sizes(b):
    """Larger images, against ONNX Runtime with free sizes."""
    for side in (299, 448, 640, 768, 1024):
        b.alone("forward of %dx%d" % (side, side), "netgaze", "forward", "onnxruntime_any", "forward", 1, None, 1e-4,
                repeat=max(3, b.args.repeat // 3), models=os.path.join(b.args.work, "any"), input=resized(b, side))


def batches(b, threads):
    for count in (1, 2, 4, 8, 16, 32):
        b.alone("forward of a batch of %d" % count, "netgaze", "forward", "onnxruntime_any", "forward", threads, None, 1e-4,
                repeat=max(3, b.args.repeat // 5), input=resized(b, 299, count))


def training(b, threads):
    """Updates of everything behind mixed6; the losses of all of them are compared."""
    for peer in ("torch_step", "keras_step"):
        b.alone("fine-tuning step from mixed6 on, batch 16", "netgaze step", "step", peer, "step", threads, 1.5, 1e-3,
                repeat=max(3, b.args.repeat // 5), input=resized(b, 299, 16), layer="mixed6")


def head_of(b, threads, units, what, count=1024, width=2048):
    """Epochs of a new head on features that are kept, of the size of InceptionV3's; the losses of all of them are compared. The
    peers take the rows from memory, in the same order, from the same start."""
    path = os.path.join(b.args.work, "features.npy")
    np.save(path, np.random.default_rng(0).gamma(1, 0.4, (count, width)).astype(np.float32))
    ours = b.worker("netgaze head", threads, input=path, layer=units)
    for task in ("order", "start"):
        np.save(os.path.join(b.args.work, "features-%s.npy" % task), ours.result(task))
    ours.close()
    for peer, tolerance in (("torch_head", 1e-2), ("keras_head", 1e-3)):  # PyTorch adds Adam's epsilon elsewhere
        b.alone("epoch of a head%s on %d cached features, batch 32" % (what, count), "netgaze head", "epoch", peer, "epoch", threads,
                1.5, tolerance, input=path, layer=units)


def head(b, threads):
    head_of(b, threads, "6", "")
    head_of(b, threads, "256,6", " with 256 hidden units")


def scorecam(b, threads=2):
    """All channels of the layer, the dead ones in their natural share, on a photograph that leaves many alive and on one that
    leaves about half as many. The peer's forwards are counted on some channels drawn at random, or with --long on all of
    them: then the maps are compared too."""
    for name in ("dog.jpg", "giraffe.jpg"):
        on = resized(b, 299, photo=name)
        ours, peer = b.worker("netgaze", threads, input=on), b.worker("torch", threads, input=on)
        what = "Score-CAM of %s, all channels, %d threads" % (name, threads)
        if ours and peer and b.args.long:
            b.duel(what, ours, "scorecam:variant=pgc", peer, "scorecam", 5, 1e-3, repeat=1, warm=0)
        elif ours and peer:
            peer.run("channels")
            drawn, whole = b.args.channels, int(peer.result("channels"))
            b.duel("%s (the peer's: %d drawn of %d, scaled)" % (what, drawn, whole), ours, "scorecam:variant=pgc", peer,
                   "scorecam-of:%d" % drawn, 5, None, repeat=2, warm=0, scale=whole / drawn)
        for w in (ours, peer):
            if w:
                w.close()


def occlusion(b, threads):
    """Beside captum's, with windows of a quarter of the image's side and of an eighth."""
    ours, peer = b.worker("netgaze", threads), b.worker("torch", threads)
    for window, stride, repeat in ((75, 56, max(3, b.args.repeat // 3)), (37, 18, 2)):
        b.duel("Occlusion of %dx%d every %d pixels, %d thread%s (the peer's: captum)" %
               (window, window, stride, threads, "s" if threads > 1 else ""),
               ours, "occlusion:baseline=zero,window=%d,stride=%d" % (window, stride), peer,
               "occlusion-of:%dx%d" % (window, stride), None, 1e-3, repeat=repeat)
    for w in (ours, peer):
        if w:
            w.close()


def starts(b):
    a = b.args
    out = os.path.join(a.work, "out")
    explain = [a.netgaze, "explain", a.model, a.photo, "-o", out, "--force", "-q", "--outputs", "overlay", "--threads", "1"]
    env = {**os.environ, "NETGAZE_CACHE": os.path.join(a.work, "cache")}
    child(explain, env)  # fills the cache
    rounds = [(child(explain, env), child([a.python, "-c", "import tensorflow"]), child(explain, {**env, "NETGAZE_CACHE": "off"}))
              for _ in range(max(3, b.args.repeat // 3))]
    warm, peer, cold = ([r[i][0] for r in rounds] for i in range(3))
    b.row("process start to PNG written, with the cache", "%.0f ms" % (1e3 * statistics.median(warm)),
          "%.0f ms" % (1e3 * statistics.median(peer)), "python -c 'import tensorflow'",
          statistics.median(y / x for x, y in zip(warm, peer)), 10)
    b.row("the same without the cache", "%.0f ms" % (1e3 * statistics.median(cold)),
          "%.0f ms" % (1e3 * statistics.median(peer)), "python -c 'import tensorflow'",
          statistics.median(y / x for x, y in zip(cold, peer)), None)
    keras = "\n".join(["import sys; sys.argv = ['peer', 'keras', %r, %r, '1', %r]" % (a.work, a.input, a.layer),
                       "import io; sys.stdin = io.StringIO('gradcam\\n')",
                       "exec(open(%r).read())" % os.path.join(HERE, "peer.py")])
    memory = child([a.python, "-c", keras])[1]
    ours = max(r[0][1] for r in rounds)
    b.row("peak memory of one explanation", "%.0f MB" % ours, "%.0f MB" % memory, "Keras Grad-CAM", memory / ours, 4)


def folders(b, threads=2):
    """Photographs on disk to heatmaps on disk, against ONNX Runtime's forward alone on tensors in memory."""
    a = b.args
    folder, out = os.path.join(a.work, "folder"), os.path.join(a.work, "heatmaps")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    photos = sorted(p for p in os.listdir(a.photos) if p.endswith(".jpg"))
    env = {**os.environ, "NETGAZE_CACHE": os.path.join(a.work, "cache")}
    cost, theirs = {}, []
    peer = b.worker("onnxruntime", threads)
    forwards = lambda: [peer.run("forward") for _ in range(20)] if peer else []
    for n in (a.images // 10, a.images):
        theirs += forwards()  # before and behind ours, so that both meet the machine as it is
        for i in range(n):
            path = os.path.join(folder, "%05d.jpg" % i)
            if not os.path.exists(path):
                shutil.copy(os.path.join(a.photos, photos[i % len(photos)]), path)
        shutil.rmtree(out, ignore_errors=True)
        cost[n] = child([a.netgaze, "explain", a.model, folder, "-o", out, "-q", "--outputs", "heatmap", "--threads", str(threads)],
                        env)
    theirs += forwards()
    if peer:
        rate, peer_rate = a.images / cost[a.images][0], 1e3 / statistics.median(theirs)
        b.row("explain of %d JPEGs, heatmaps written, %d threads" % (a.images, threads), "%.1f images/s" % rate,
              "%.1f images/s" % peer_rate, peer.version + " forward alone", rate / peer_rate, 1.5)
        peer.close()
    few, many = a.images // 10, a.images
    growth_row(b, "processor's time an image, %d against %d images" % (few, many), cost[few][2] / few, cost[many][2] / many)


def growth_row(b, what, before, now):
    b.row(what, "%.3f" % (now / before), "1.05", "at most", 1.05 * before / now, 1)


def growth(b, few=1000, many=10000, threads=2):
    """Time and memory of ten times the images, with a small network; the images are links to the photographs."""
    a = b.args
    if not os.path.exists(os.path.join(a.small, "model.json")):
        print("left out: %s is not there; bench/memory.sh fetches it" % a.small)
        return
    folder, out = os.path.join(a.work, "many"), os.path.join(a.work, "many-heatmaps")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    photos = sorted(os.path.abspath(os.path.join(a.photos, p)) for p in os.listdir(a.photos) if p.endswith(".jpg"))
    cost = {}
    for n in (few, many):
        for i in range(n):
            path = os.path.join(folder, "%05d.jpg" % i)
            if not os.path.exists(path):
                os.symlink(photos[i % len(photos)], path)
        shutil.rmtree(out, ignore_errors=True)
        cost[n] = child([a.netgaze, "explain", a.small, folder, "-o", out, "-q", "--outputs", "heatmap", "--picture-format", "jpg",
                         "--threads", str(threads)])
        print("%d images: %.1f s, %.0f MB, %.1f s of processors" % (n, *cost[n]), flush=True)
    shutil.rmtree(out, ignore_errors=True)
    growth_row(b, "MobileNetV2: processor's time an image, %d against %d images" % (few, many), cost[few][2] / few,
               cost[many][2] / many)
    growth_row(b, "MobileNetV2: peak memory, %d against %d images" % (few, many), cost[few][1], cost[many][1])


def for_threads(part):
    def run(b):
        for threads in map(int, b.args.threads.split(",")):
            part(b, threads)
    return run


# By name, in the order of the table.
PARTS = {"single": for_threads(single_images), "starts": starts, "folders": folders, "scorecam": scorecam,
         "occlusion": for_threads(occlusion), "growth": growth, "training": for_threads(training),
         "head": for_threads(head), "short": for_threads(short), "sizes": sizes, "batches": for_threads(batches)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo, build = os.path.join(ROOT, "demo"), os.path.join(ROOT, "build")
    p.add_argument("--model", default=os.path.join(demo, "model"))
    p.add_argument("--photos", default=os.path.join(demo, "photos"))
    p.add_argument("--work", default=os.path.join(build, "bench"))
    p.add_argument("--netgaze", default=os.path.join(build, "release", "netgaze"))
    p.add_argument("--worker", default=os.path.join(build, "release", "bench-worker"))
    p.add_argument("--step", default=os.path.join(build, "release", "bench-step"))
    p.add_argument("--head", default=os.path.join(build, "release", "bench-head"))
    p.add_argument("--small", default=os.path.join(demo, "mobilenet"), help="a small network, for many images")
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--torch-python", default="/usr/bin/python3")
    p.add_argument("--layer", default="mixed10")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--repeat", type=int, default=15)
    p.add_argument("--images", type=int, default=1000)
    p.add_argument("--only", default=",".join(PARTS), help="parts; the rows of others stay as they are")
    p.add_argument("--channels", type=int, default=256, help="that the peer's Score-CAM is timed on")
    p.add_argument("--long", action="store_true", help="the peer's Score-CAM on all channels: minutes, and 4 GB")
    args = p.parse_args()
    os.environ["NETGAZE_CACHE"] = os.path.join(args.work, "cache")
    os.environ["NETGAZE_BENCH_MODEL"] = args.model  # for tfjs.js
    args.photo, args.input = os.path.join(args.photos, "dog.jpg"), os.path.join(args.work, "input.npy")
    from PIL import Image
    os.makedirs(args.work, exist_ok=True)
    photo = Image.open(args.photo).convert("RGB").resize((299, 299), Image.BILINEAR)
    np.save(args.input, (np.asarray(photo, np.float32) / 255)[None])
    if not os.path.exists(os.path.join(args.work, "model-any.onnx")):
        subprocess.run([args.python, os.path.join(HERE, "export.py"), args.model, args.work], check=True)
    if not os.path.exists(os.path.join(args.work, "model-int8.onnx")):
        subprocess.run([args.python, os.path.join(HERE, "quantize.py"), args.work, args.input], check=True)
    b = Bench(args)
    for part in args.only.split(","):
        b.part = part
        print("-- %s" % part, flush=True)
        PARTS[part](b)
        write(b, list(PARTS))
    subprocess.run([args.torch_python, os.path.join(HERE, "plot.py")])  # Debian's matplotlib
    for failure in b.failures:
        print("WRONG: " + failure, file=sys.stderr)
    return 1 if b.failures else 0


if __name__ == "__main__":
    sys.exit(main())
