"""The results of one run: what was measured, on what, and with what. One JSON file, written whole or not at all."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys

import numpy
import torch

import lmf_kernels
from lmf_kernels import _cpu
from lmf_kernels.files import atomic_write

import settings

SCHEMA = 1
_BUSY = 0.5  # load average at the start above which a warning is due
_UNSTEADY = 0.10  # a case whose peak falls this far below its best was disturbed
_FLAGS = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
          "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve", "sve2")


class Results:
    """Collects records while the run goes on; `finish` compares them with their peers."""

    def __init__(self):
        self.cases = []  # records of measure.timed
        self.facts = {}  # what is true or false or counted rather than timed
        self.complete = False  # every case of the folder was asked for
        self.skipped = 0
        self.load_at_start = _load()
        self.started = _now()

    def finish(self, skipped=0):
        """Fill in every ratio between records of this run."""
        self.skipped = skipped
        self.complete = self.complete and not settings.QUICK and not skipped
        rates = {record["name"]: record["ns_per_pixel"] for record in self.cases if "ns_per_pixel" in record}
        for record in self.cases:
            if record.get("kind") not in ("render", "points") or "ns_per_pixel" not in record:
                continue
            own = record["ns_per_pixel"]
            peers = {peer.split("/")[0]: ns / own for peer, ns in rates.items()
                     if peer.split("/")[1:] == [record["model"], record["scale"]]}
            record["times"] = {peer: ratio for peer, ratio in peers.items() if peer != record["name"].split("/")[0]}
            largest = rates.get("/".join(record["name"].split("/")[:2] + ["x12"] + record["name"].split("/")[3:]))
            if largest:
                record["per_pixel_of_x12"] = own / largest

    def warnings(self):
        """What a reader of the numbers should know, in words."""
        found = []
        if self.load_at_start is not None and self.load_at_start > _BUSY:
            found.append(f"the machine was busy at the start (load {self.load_at_start:.2f})")
        shaken = [r["name"] for r in self.cases
                  if r.get("peak_lowest_gflop_per_s", 1) < (1 - _UNSTEADY) * r.get("peak_gflop_per_s", 1)]
        if shaken:
            found.append(f"the multiply-add rate fell by more than {_UNSTEADY:.0%} during {', '.join(shaken)}")
        if self.skipped:
            found.append(f"{self.skipped} cases were skipped")
        if settings.QUICK:
            found.append("quick mode: the sizes are tiny and the times mean nothing")
        return found

    def as_dict(self):
        return {
            "schema": SCHEMA, "started": self.started, "finished": _now(), "complete": self.complete,
            "quick": settings.QUICK, "warnings": self.warnings(), "machine": machine(), "versions": versions(),
            "commit": commit(), "load_at_start": self.load_at_start, "facts": self.facts, "cases": self.cases,
        }


def write(found):
    """Write the file and return its path: bench/results for a complete run, bench/out for any other."""
    name = f"{found.started[:10]}-{_slug(machine()['cpu'])}-{settings.THREADS}threads-cpu.json"
    if settings.OUT:
        folder = settings.OUT
    else:
        folder = settings.FOLDER / ("results" if found.complete else "out")
    os.makedirs(folder, exist_ok=True)
    path = os.path.relpath(os.path.join(folder, name))
    with atomic_write(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(found.as_dict(), file, indent=1)
            file.write("\n")
    return path


def machine():
    """The processor, as far as it says what it is."""
    info = _cpuinfo()
    flags = info.get("flags", info.get("Features", "")).split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": info.get("cpu family"), "cpu_model": info.get("model"), "cache": info.get("cache size"),
        "architecture": platform.machine(), "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(), "cores_usable": _usable_cores(), "threads": settings.THREADS,
        "memory_gib": _memory_gib(), "flags": [flag for flag in _FLAGS if flag in flags],
        "isas": [isa for isa, usable in _cpu.isas().items() if usable], "isa": _cpu.isa(),
    }


def versions():
    """Everything that a time depends on."""
    return {"lmf_kernels": lmf_kernels.__version__, "torch": torch.__version__, "numpy": numpy.__version__,
            "python": platform.python_version(), "compiler": _cpu.compiler, "openmp": _cpu.openmp}


def commit():
    """{"describe", "dirty"} of the source tree; None where it is no git checkout. Results do not make it dirty."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(settings.ROOT), *arguments], capture_output=True, text=True, check=True
                              ).stdout.strip()
    try:
        status = git("status", "--porcelain", "--", ".", ":!bench/results")
        return {"describe": git("describe", "--always", "--tags", "--abbrev=12"), "dirty": bool(status)}
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, no commit yet
        return None


def run_child(script, *arguments):
    """Run one of this folder's scripts in a fresh process; its standard output is JSON."""
    done = subprocess.run([sys.executable, str(settings.FOLDER / script), *map(str, arguments)], text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _cpuinfo():
    """The first processor of /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            first = file.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory_gib():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _load():
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _slug(text):
    text = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "unknown"
