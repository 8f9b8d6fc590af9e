"""Two versions of lmf_kernels on this CPU in one run, their rounds in turn.

    git worktree add ../lmf-old v0.1 && pip install --no-deps --target ../lmf-old/site ../lmf-old    # the older version
    python -m bench.versions ../lmf-old/site                    # about five minutes; --quick: half a minute, tiny sizes
    python -m bench.versions ../lmf-old/site --threads 1 --only render

OLD is a folder that holds an installed lmf_kernels; the other version is the one that this Python imports. Each runs in
a process of its own. They take rounds in turn, and the median and the least of each are compared: what disturbs the
machine hits both. "bits" says whether both gave the same. Writes bench/out/versions.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

import torch

from lmf_kernels import _cpu

from . import config, results_file

CHILD = config.FOLDER / "children" / "version.py"
SCALES, PICTURE_SCALES = (12, 4, 3.7, 2, 1.5, 1), (2, 4)


class Version:
    """A process that times cases with one version."""

    def __init__(self, name, folder, threads):
        self.name = name
        folders = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        path = {"PYTHONPATH": os.pathsep.join(folders)} if folder else {}
        self.process = subprocess.Popen([sys.executable, CHILD, str(threads)], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, env={**os.environ, **path}, cwd=config.FOLDER)
        self.facts = json.loads(self.process.stdout.readline())

    def round(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def cases(quick):
    """Every case as bench/children/version.py takes it."""
    lr, tile = ((24, 32), (12, 12)) if quick else (config.LR, config.TILE)
    isas = [isa for isa, usable in _cpu.isas().items() if usable]
    base = {"dtype": "float32", "isa": None, "scale": None}
    for isa in isas:
        for scale in SCALES:
            yield {**base, "name": f"render x{scale} {isa}", "kind": "render", "scale": scale, "lr": lr, "isa": isa}
    yield {**base, "name": "render x4, 48x48 tile", "kind": "render", "scale": 4, "lr": tile}
    yield {**base, "name": "render x4, one pixel a call", "kind": "render", "scale": 1, "lr": (1, 1)}
    for isa in isas:
        yield {**base, "name": f"random points {isa}", "kind": "points", "lr": tile, "isa": isa}
    for dtype in ("bfloat16", "float16"):
        yield {**base, "name": f"render x4 {dtype}", "kind": "render", "scale": 4, "lr": lr, "dtype": dtype}
    for scale in PICTURE_SCALES:
        for dtype in ("float32", "bfloat16"):
            yield {**base, "name": f"picture x{scale} {dtype}", "kind": "pipeline", "scale": scale, "lr": lr,
                   "dtype": dtype}


def main():
    parser = argparse.ArgumentParser(description="Compare two versions of lmf_kernels on the CPU.")
    parser.add_argument("old", help="a folder that holds an installed lmf_kernels")
    parser.add_argument("--threads", type=int, default=config.THREADS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="a part of the names of the cases to run")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    options = parser.parse_args()
    versions = [Version("old", os.path.abspath(options.old), options.threads), Version("new", None, options.threads)]
    if versions[0].facts["file"] == versions[1].facts["file"]:
        sys.exit(f"Both versions are {versions[0].facts['file']}: name a folder that holds another lmf_kernels.")
    print("| case | old: median, least (ms) | new: median, least (ms) | times as fast: median, least | bits |\n"
          "|---|---|---|---|---|")
    rows = [compared(case, versions, 2 if options.quick else options.rounds)
            for case in cases(options.quick) if options.only in case["name"]]
    found = {"versions": {v.name: v.facts for v in versions}, "threads": options.threads, "torch": torch.__version__,
             "environment": results_file.environment(), "cases": rows}
    print(f"written: {results_file.write(found, config.FOLDER / 'out', 'versions')}")


def compared(case, versions, rounds):
    """The record of one case, which is printed."""
    record = {**case, "rounds": rounds}
    answers = {version.name: [version.round(case)] for version in versions}  # warms up
    for _ in range(rounds):
        for version in versions:
            answers[version.name].append(version.round(case))
    for name, given in answers.items():
        if "refused" in given[0]:
            record[name] = given[0]
            continue
        seconds = [answer["seconds"] for answer in given[1:]]
        record[name] = {"median": statistics.median(seconds), "least": min(seconds), "samples": seconds,
                        "digests": sorted({answer["digest"] for answer in given})}
    print(line(record), flush=True)
    return record


def line(record):
    def times(one):
        return "cannot" if "refused" in one else f"{one['median'] * 1e3:.4g}, {one['least'] * 1e3:.4g}"

    old, new = record["old"], record["new"]
    if "refused" in old or "refused" in new:
        return f"| {record['name']} | {times(old)} | {times(new)} | | |"
    ratios = ", ".join(f"{old[key] / new[key]:.2f}" for key in ("median", "least"))
    bits = "equal" if old["digests"] == new["digests"] else "differ"
    return f"| {record['name']} | {times(old)} | {times(new)} | {ratios} | {bits} |"


if __name__ == "__main__":
    main()
