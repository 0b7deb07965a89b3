#!/usr/bin/env python3
"""netgaze and its peers on the same weights and the same photograph, one after another in turns, in one run.

    bench/peers.sh                    installs the peers into build/bench and runs this
    python bench/compare.py --repeat 15 --threads 1,2 [--long]

Every figure is a median; a ratio is the median of the ratios of neighbouring runs, so that whatever else the machine does
strikes both sides. With one thread it is the processor's time of the process, which others disturb less. Outputs are compared in the same run: a peer whose result differs is an error. Writes
bench/results/compare.csv (with CPU and versions) and the table in docs/performance.md. A lost ratio is shown as lost.
"""
import argparse
import csv
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BEGIN, END = "<!-- bench/compare.py: begin -->\n", "<!-- bench/compare.py: end -->\n"


class Worker:
    """A process that keeps its network and answers lines."""

    def __init__(self, title, command, env=None):
        self.title = title
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                        stderr=subprocess.DEVNULL)
        line = self.line()
        if not line.startswith("ready"):
            raise RuntimeError("%s does not start" % title)
        self.version = line[6:].strip()

    def line(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("%s has ended" % self.title)
            if line.startswith(("ready", "saved")) or line[0].isdigit():
                return line

    def run(self, task):
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return float(self.line())

    def result(self, task):
        path = tempfile.mktemp(suffix=".npy")
        self.process.stdin.write("save %s %s\n" % (task, path))
        self.process.stdin.flush()
        self.line()
        found = np.load(path)
        os.remove(path)
        return found

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, args):
        self.args = args
        self.rows, self.versions, self.failures = [], set(), []

    def worker(self, name, threads):
        a = self.args
        try:
            if name.startswith("netgaze"):
                return Worker(name, [a.worker, a.model, a.input, str(threads), *name.split()[1:]])
            python = a.torch_python if name == "torch" else a.python
            return Worker(name, [python, os.path.join(HERE, "peer.py"), name, a.work, a.input, str(threads), a.layer])
        except RuntimeError as e:
            print("left out: %s" % e, flush=True)
            return None

    def row(self, what, ours, theirs, peer, ratio, wanted, note=""):
        """ours, theirs: figures with their unit; ratio: how many times faster we are."""
        verdict = "" if wanted is None else "reached" if ratio >= wanted else "LOST"
        self.rows.append({"what": what, "netgaze": ours, "peer": peer, "theirs": theirs, "ratio": "%.2f" % ratio,
                          "wanted": "" if wanted is None else "%g" % wanted, "verdict": verdict, "note": note})
        print("%-46s %14s  %-34s %14s  %6.2f  %5s %s %s" % (what, ours, peer, theirs, ratio, self.rows[-1]["wanted"], verdict,
                                                          note), flush=True)

    def duel(self, what, ours, our_task, peer, peer_task, wanted, tolerance, repeat=None):
        """Neighbouring runs in turns; the outputs must agree to `tolerance` of the largest value (None: not comparable)."""
        if not ours or not peer:
            return
        try:
            self.turns(what, ours, our_task, peer, peer_task, wanted, tolerance, repeat)
        except RuntimeError as e:
            print("left out: %s: %s" % (what, e), flush=True)

    def turns(self, what, ours, our_task, peer, peer_task, wanted, tolerance, repeat):
        n = repeat or self.args.repeat
        mine, theirs = [], []
        for k in range(n + 1):  # the first is for warming up
            first = [(ours, our_task, mine), (peer, peer_task, theirs)]
            for worker, task, times in first if k % 2 else first[::-1]:
                times.append(worker.run(task))
        ratio = statistics.median(b / a for a, b in zip(mine[1:], theirs[1:]))
        note = ""
        if tolerance is not None:
            a, b = ours.result(our_task), peer.result(peer_task)
            distance = float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max()) if a.shape == b.shape else np.inf
            note = "differ by %.1e" % distance
            if not distance <= tolerance:
                self.failures.append("%s: %s and %s %s, allowed %g" % (what, ours.version, peer.version, note, tolerance))
        self.versions |= {ours.version, peer.version}
        self.row(what, "%.1f ms" % statistics.median(mine[1:]), "%.1f ms" % statistics.median(theirs[1:]), peer.version,
                 ratio, wanted, note)


def child(command, env=None):
    """Seconds from start to exit and peak memory in MB."""
    before = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - before
    if status:
        raise RuntimeError("%s: status %d" % (command[0], status))
    return seconds, usage.ru_maxrss / 1024


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


def batches(b):
    """Milliseconds an image by batch and threads, of netgaze alone."""
    a = b.args
    rows = []
    for threads in map(int, a.threads.split(",")):
        for batch in (1, 2, 4, 8, 16, 32):
            run = subprocess.run([a.netgaze, "bench", a.model, "-q", "--json", "--repeat", "3", "--threads", str(threads),
                                  "--batch", str(batch)], capture_output=True, text=True)
            found = json.loads(run.stdout.splitlines()[0])
            rows.append((threads, batch, found["forward"]["median_ms"] / batch, found["gradcam"]["median_ms"] / batch))
            print("%d threads, batch %2d: forward %.1f ms an image, Grad-CAM %.1f" % rows[-1], flush=True)
    with open(os.path.join(HERE, "results", "batches.csv"), "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["cpu", cpu_name(), "load", "%.1f" % os.getloadavg()[1]])
        out.writerow(["threads", "batch", "forward ms an image", "gradcam ms an image"])
        out.writerows(rows)


def scorecam(b):
    ours, peer = b.worker("netgaze", 2), b.worker("torch", 2)
    if ours and peer and b.args.long:
        b.duel("Score-CAM, all channels, 2 threads", ours, "scorecam", peer, "scorecam", 5, None, repeat=1)
    elif ours and peer:
        b.duel("Score-CAM, 64 live channels, 2 threads", ours, "scorecam:channels=64", peer, "scorecam:channels=64", 5, None,
               repeat=3)
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
    seconds = {}
    for n in (a.images // 10, a.images):
        for i in range(n):
            path = os.path.join(folder, "%05d.jpg" % i)
            if not os.path.exists(path):
                shutil.copy(os.path.join(a.photos, photos[i % len(photos)]), path)
        shutil.rmtree(out, ignore_errors=True)
        seconds[n], memory = child([a.netgaze, "explain", a.model, folder, "-o", out, "-q", "--outputs", "heatmap", "--threads",
                                    str(threads)], env)
    peer = b.worker("onnxruntime", threads)
    if peer:
        theirs = [peer.run("forward") for _ in range(max(20, a.repeat))]
        b.versions.add(peer.version)
        rate, peer_rate = a.images / seconds[a.images], 1e3 / statistics.median(theirs)
        b.row("explain of %d JPEGs, heatmaps written, %d threads" % (a.images, threads), "%.1f images/s" % rate,
              "%.1f images/s" % peer_rate, peer.version + " forward alone", rate / peer_rate, 1.5)
        peer.close()
    few, many = a.images // 10, a.images
    growth = (seconds[many] / seconds[few]) / (many / few)
    b.row("cost an image, %d against %d images" % (few, many), "%.3f" % growth, "1.05", "at most", 1.05 / growth, 1)


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), "unknown")


def write(b):
    os.makedirs(os.path.join(HERE, "results"), exist_ok=True)
    facts = json.loads(subprocess.run([b.args.netgaze, "doctor", "--json"], capture_output=True, text=True).stdout.splitlines()[0])
    with open(os.path.join(HERE, "results", "compare.csv"), "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["date", time.strftime("%Y-%m-%d", time.gmtime())])
        out.writerow(["cpu", cpu_name(), facts["features"], "%d cores" % os.cpu_count()])
        out.writerow(["versions", *sorted(b.versions), "onednn " + facts["onednn"]])
        out.writerow(["load", "%.1f" % os.getloadavg()[1]])
        table = csv.DictWriter(f, list(b.rows[0]))
        table.writeheader()
        table.writerows(b.rows)
    lines = ["Measured %s on %s (%s), %d cores, load %.1f, by `make bench`; medians of %d.\n\n" % (
        time.strftime("%Y-%m-%d", time.gmtime()), cpu_name(), facts["features"], os.cpu_count(), os.getloadavg()[1],
        b.args.repeat), "| what | netgaze | peer | its figure | ratio | asked | |\n", "| --- | --- | --- | --- | --- | --- | --- |\n"]
    for r in b.rows:
        lines.append("| %s | %s | %s | %s | %s | %s | %s |\n" % (
            r["what"], r["netgaze"], r["peer"], r["theirs"], r["ratio"], r["wanted"],
            " ".join(w for w in (r["verdict"], r["note"]) if w)))
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path) as f:
        text = f.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w") as f:
        f.write(before + BEGIN + "".join(lines) + END + after)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo, build = os.path.join(ROOT, "demo"), os.path.join(ROOT, "build")
    p.add_argument("--model", default=os.path.join(demo, "model"))
    p.add_argument("--photos", default=os.path.join(demo, "photos"))
    p.add_argument("--work", default=os.path.join(build, "bench"))
    p.add_argument("--netgaze", default=os.path.join(build, "release", "netgaze"))
    p.add_argument("--worker", default=os.path.join(build, "release", "bench-worker"))
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--torch-python", default="/usr/bin/python3")
    p.add_argument("--layer", default="mixed10")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--repeat", type=int, default=15)
    p.add_argument("--images", type=int, default=1000)
    p.add_argument("--only", default="single,short,scorecam,batches,starts,folders")
    p.add_argument("--long", action="store_true", help="Score-CAM of all channels: minutes for the peer")
    args = p.parse_args()
    os.environ["NETGAZE_CACHE"] = os.path.join(args.work, "cache")
    os.environ["NETGAZE_BENCH_MODEL"] = args.model  # for tfjs.js
    args.photo, args.input = os.path.join(args.photos, "dog.jpg"), os.path.join(args.work, "input.npy")
    from PIL import Image
    os.makedirs(args.work, exist_ok=True)
    photo = Image.open(args.photo).convert("RGB").resize((299, 299), Image.BILINEAR)
    np.save(args.input, (np.asarray(photo, np.float32) / 255)[None])
    if not os.path.exists(os.path.join(args.work, "model.onnx")):
        subprocess.run([args.python, os.path.join(HERE, "export.py"), args.model, args.work], check=True)
    if not os.path.exists(os.path.join(args.work, "model-int8.onnx")):
        subprocess.run([args.python, os.path.join(HERE, "quantize.py"), args.work, args.input], check=True)
    b = Bench(args)
    parts = args.only.split(",")
    for threads in map(int, args.threads.split(",")):
        if "single" in parts:
            single_images(b, threads)
        if "short" in parts:
            short(b, threads)
    if "scorecam" in parts:
        scorecam(b)
    if "batches" in parts:
        batches(b)
    if "starts" in parts:
        starts(b)
    if "folders" in parts:
        folders(b)
    write(b)
    subprocess.run([args.torch_python, os.path.join(HERE, "plot.py")])  # Debian's matplotlib
    for failure in b.failures:
        print("WRONG: " + failure, file=sys.stderr)
    return 1 if b.failures else 0


if __name__ == "__main__":
    sys.exit(main())
