"""What a run stood on: processor, versions, source, and how much of the machine others used meanwhile."""

import os
import platform
import re
import subprocess

import numpy
import torch

import lmf_kernels
from lmf_kernels import _cpu

from . import config

_FLAGS = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
          "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve", "sve2")


def processor():
    """The processor, as far as it says what it is."""
    info = _cpuinfo()
    flags = info.get("flags", info.get("Features", "")).split()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_family": info.get("cpu family"), "cpu_model": info.get("model"), "cache": info.get("cache size"),
        "architecture": platform.machine(), "system": platform.system(), "memory_gib": _memory_gib(),
        "cores": os.cpu_count(), "cores_usable": usable, "threads": config.THREADS,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "isas": [isa for isa, runs in _cpu.isas().items() if runs], "isa": _cpu.isa(),
    }


def slug():
    """The processor and the threads as a part of a file name."""
    text = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*", " ", processor()["cpu"].lower())
    return f"{re.sub(r'[^a-z0-9]+', '-', text).strip('-') or 'unknown'}-{config.THREADS}threads"


def versions():
    """Everything that a time depends on."""
    build = _cpu.build_info()
    return {"lmf_kernels": lmf_kernels.__version__, "torch": torch.__version__, "numpy": numpy.__version__,
            "python": platform.python_version(),
            **{fact: build[fact] for fact in ("compiler", "build_type", "isa_flags", "openmp")}}


def commit():
    """{"describe", "dirty"} of the source tree; without a git checkout the commit that BENCH_COMMIT names, or None.

    Results do not make it dirty.
    """
    def git(*arguments):
        return subprocess.run(["git", "-C", str(config.ROOT), *arguments], capture_output=True, text=True, check=True
                              ).stdout.strip()
    try:
        status = git("status", "--porcelain", "--", ".", ":!bench/results")
        return {"describe": git("describe", "--always", "--tags", "--abbrev=12"), "dirty": bool(status)}
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, no commit yet
        named = os.environ.get("BENCH_COMMIT")
        return {"describe": named, "dirty": False} if named else None


class Neighbours:
    """The share of the machine's processor time that went to others since this object was made.

    All busy time of all cores (time that a hypervisor took away included) minus that of this process and its finished
    children, over all time.
    """

    def __init__(self):
        self._start = _processor_time()

    def share(self):
        """From 0 to 1; None where the system does not say."""
        end = _processor_time()
        if self._start is None or end is None or end[0] == self._start[0]:
            return None
        total, busy, own = (b - a for a, b in zip(self._start, end))
        return min(max((busy - own) / total, 0.0), 1.0)


def _processor_time():
    """(all, busy, our own) seconds of processor time so far, summed over cores."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            # user, nice, system, idle, iowait, irq, softirq, steal
            ticks = [int(value) for value in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    own = os.times()
    second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) / second, (sum(ticks) - ticks[3] - ticks[4]) / second,
            own.user + own.system + own.children_user + own.children_system)


def _cpuinfo():
    """The first processor of /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            first = file.read().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory_gib():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None
