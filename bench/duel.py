"""What bench/compare.py measures with: workers that answer lines, rows of figures, duels in turns, the files that come of it."""
import csv
import json
import os
import statistics
import subprocess
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
        self.part, self.rows, self.failures = "", [], []

    def worker(self, name, threads, input=None, model=None, layer=None):
        """netgaze's own ("netgaze", "netgaze int8", "netgaze step", "netgaze head") or a peer, on the photograph if not on another input."""
        a, input = self.args, input or self.args.input
        try:
            if name == "netgaze step":
                return Worker(name, [a.step, model or a.model, input, str(threads), layer])
            if name == "netgaze head":
                return Worker(name, [a.head, input, str(threads), layer])
            if name.startswith("netgaze"):
                return Worker(name, [a.worker, model or a.model, input, str(threads), *name.split()[1:]])
            python = a.torch_python if name.startswith("torch") else a.python
            return Worker(name, [python, os.path.join(HERE, "peer.py"), name, a.work, input, str(threads), layer or a.layer])
        except RuntimeError as e:
            print("left out: %s" % e, flush=True)
            return None

    def row(self, what, ours, theirs, peer, ratio, wanted, note=""):
        """ours, theirs: figures with their unit; ratio: how many times faster we are."""
        verdict = "" if wanted is None else "reached" if ratio >= wanted else "LOST"
        self.rows.append({"part": self.part, "date": time.strftime("%Y-%m-%d", time.gmtime()),
                          "load": "%.1f" % os.getloadavg()[1], "what": what, "netgaze": ours, "peer": peer, "theirs": theirs,
                          "ratio": "%.2f" % ratio,
                          "wanted": "" if wanted is None else "%g" % wanted, "verdict": verdict, "note": note})
        print("%-46s %14s  %-34s %14s  %6.2f  %5s %s %s" % (what, ours, peer, theirs, ratio, self.rows[-1]["wanted"], verdict,
                                                          note), flush=True)

    def duel(self, what, ours, our_task, peer, peer_task, wanted, tolerance, repeat=None, warm=1, scale=1):
        """Neighbouring runs in turns; the outputs must agree to `tolerance` of the largest value (None: not comparable). The
        peer's time is counted `scale` times."""
        if not ours or not peer:
            return
        try:
            self.turns(what, ours, our_task, peer, peer_task, wanted, tolerance, repeat or self.args.repeat, warm, scale)
        except RuntimeError as e:
            print("left out: %s: %s" % (what, e), flush=True)

    def alone(self, what, our_name, our_task, peer_name, peer_task, threads, wanted, tolerance, repeat=None, models=None, **on):
        """A duel of two workers that are started for it and end with it; models: netgaze's."""
        ours, peer = self.worker(our_name, threads, model=models, **on), self.worker(peer_name, threads, **on)
        self.duel("%s, %d thread%s" % (what, threads, "s" if threads > 1 else ""), ours, our_task, peer, peer_task, wanted,
                  tolerance, repeat)
        for w in (ours, peer):
            if w:
                w.close()

    def turns(self, what, ours, our_task, peer, peer_task, wanted, tolerance, repeat, warm, scale):
        mine, theirs = [], []
        for k in range(repeat + warm):
            first = [(ours, our_task, mine), (peer, peer_task, theirs)]
            for worker, task, times in first if k % 2 else first[::-1]:
                times.append(worker.run(task))
        mine, theirs = mine[warm:], [scale * t for t in theirs[warm:]]
        ratio = statistics.median(b / a for a, b in zip(mine, theirs))
        note = ""
        if tolerance is not None:
            a, b = ours.result(our_task), peer.result(peer_task)
            distance = float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max()) if a.shape == b.shape else np.inf
            note = "differ by %.1e" % distance
            if not distance <= tolerance:
                self.failures.append("%s: %s and %s %s, allowed %g" % (what, ours.version, peer.version, note, tolerance))
        self.row(what, "%.1f ms" % statistics.median(mine), "%.1f ms" % statistics.median(theirs), peer.version,
                 ratio, wanted, note)


def child(command, env=None):
    """Seconds from start to exit, peak memory in MB, seconds of processors."""
    before = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - before
    if status:
        raise RuntimeError("%s: status %d" % (command[0], status))
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def cpu_name():
    with open("/proc/cpuinfo") as f:
        return next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), "unknown")


FIELDS = ["part", "date", "load", "what", "netgaze", "peer", "theirs", "ratio", "wanted", "verdict", "note"]


def read_rows(path, machine):
    """The rows that were measured before on the same machine; of another machine: none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as f:
        lines = list(csv.reader(f))
    start = next((i for i, l in enumerate(lines) if l == FIELDS), None)
    if start is None or lines[0] != machine:
        return []
    return [dict(zip(FIELDS, l)) for l in lines[start + 1:]]


def merge(old, new, parts):
    """Parts in their order, those that were measured now instead of what was there."""
    measured = {r["part"] for r in new}
    rows = [r for r in old if r["part"] not in measured] + new
    return sorted(rows, key=lambda r: parts.index(r["part"]) if r["part"] in parts else len(parts))


def write(b, parts):
    """Rows of parts that were not run now stay as they are."""
    facts = json.loads(subprocess.run([b.args.netgaze, "doctor", "--json"], capture_output=True, text=True).stdout.splitlines()[0])
    machine = ["cpu", cpu_name(), facts["features"], "%d cores" % os.cpu_count(), "onednn " + facts["onednn"]]
    path = os.path.join(HERE, "results", "compare.csv")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    rows = merge(read_rows(path, machine), b.rows, parts)
    if not rows:
        return
    with open(path, "w", newline="") as f:
        csv.writer(f).writerow(machine)
        table = csv.DictWriter(f, FIELDS)
        table.writeheader()
        table.writerows(rows)
    write_page(machine, rows, os.path.join(ROOT, "docs", "performance.md"))


def write_page(machine, rows, path):
    dates, loads = sorted({r["date"] for r in rows}), sorted(float(r["load"]) for r in rows)
    lines = ["Measured %s on %s (%s), %s, load %.1f to %.1f, by `make bench`.\n\n" % (
        dates[0] if len(dates) == 1 else "%s to %s" % (dates[0], dates[-1]), machine[1], machine[2], machine[3], loads[0],
        loads[-1]), "| what | netgaze | peer | its figure | ratio | asked | |\n", "| --- | --- | --- | --- | --- | --- | --- |\n"]
    for r in rows:
        lines.append("| %s | %s | %s | %s | %s | %s | %s |\n" % (
            r["what"], r["netgaze"], r["peer"], r["theirs"], r["ratio"], r["wanted"],
            " ".join(w for w in (r["verdict"], r["note"]) if w)))
    with open(path) as f:
        text = f.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w") as f:
        f.write(before + BEGIN + "".join(lines) + END + after)
