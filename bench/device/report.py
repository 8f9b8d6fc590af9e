"""The results file of a run: what its parts found, what it stood on, every ratio between its records."""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess

import torch

import lmf_kernels
import machine
from lmf_kernels.backends.cuda import native
from lmf_kernels.files import atomic_write

from .setting import FLOATS
from .trials import passed

SCHEMA = 1


def card(job):
    """facts["device"]: the GPU as torch and the driver name it. A part, for it touches the GPU."""
    found = {"name": "CPU", "capability": None}
    if job.setting.device.type == "cuda":
        told = torch.cuda.get_device_properties(job.setting.device)
        found = {"name": told.name, "capability": [told.major, told.minor], "memory_gib": told.total_memory / 2**30,
                 "multiprocessors": told.multi_processor_count, "l2_bytes": told.L2_cache_size,
                 "clocks": clocks(), "driver": driver()}
    job.fact("device", found)


def clocks():
    """What nvidia-smi reads: clocks, temperature, power; None where it cannot."""
    return _ask("clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw")


def driver():
    return _ask("driver_version")


def versions():
    """Everything that a time depends on."""
    built = native.module.build_info() if native.module else {}
    triton = None
    try:
        import triton as found
        triton = found.__version__
    except ImportError:
        pass
    return {**machine.versions(), "python": platform.python_version(), "cuda_of_torch": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "triton": triton, "nvcc": built.get("nvcc"),
            "architectures": built.get("architectures")}


def told_commit():
    """The commit that BENCH_COMMIT names, for a copy of the sources that is no git checkout; None without it."""
    told = os.environ.get("BENCH_COMMIT")
    return {"describe": told, "dirty": False} if told else None


class Report:
    """Everything that the parts of a run found, in one place."""

    def __init__(self, setting, started):
        self.setting, self.started = setting, started
        self.cases, self.facts, self.warnings, self.failures, self.parts = [], {}, [], [], {}

    def take(self, job, reason, seconds):
        """Add a part's findings. reason: why it failed, or None."""
        for entry in job.found():
            if "case" in entry:
                self.cases.append(entry["case"])
            elif "fact" in entry:
                self.facts[entry["fact"]] = entry["value"]
            elif "warning" in entry:
                self.warnings.append(entry["warning"])
            else:
                self.failures.append(f"{job.name}: {entry['failure']}")
        self.lost(job.name, reason, seconds)

    def lost(self, name, reason, seconds=0.0):
        """A part's end; reason: why it failed or never ran, or None."""
        self.parts[name] = {"seconds": round(seconds, 1), "failed": reason}
        if reason:
            self.failures.append(f"{name}: {reason}")

    def finish(self):
        """Fill in what takes more than one record: shares of the ceilings, ratios to peers, and on what it all ran."""
        device, commit = self.facts.get("device", {}), machine.commit() or told_commit()
        rates = self.facts.get("rates", {})
        peers = {tuple(case[key] for key in ("backend", "model", "lr", "scale", "dtype")): case["ns_per_pixel"]
                 for case in map(_hashable, self.cases) if case["kind"] == "peer"}
        for case in self.cases:
            case |= {"device": device.get("name"), "capability": device.get("capability"),
                     "commit": (commit or {}).get("describe")}
            if case["kind"] == "gradients":
                case["numerics_passed"] = passed(self.facts, case["backend"], case["dtype"], "gradients")
            if case["kind"] not in ("render", "peer"):
                continue
            case["numerics_passed"] = passed(self.facts, case["backend"], case["dtype"])
            case["share_of_matmul"] = _share(case["gflop_per_s"], rates.get("matmul_flop_per_s", {}).get(case["dtype"]))
            case["share_of_mma_sync"] = _share(case["gflop_per_s"],
                                               rates.get("mma_sync_flop_per_s", {}).get(case["dtype"]))
            case["share_of_copy"] = _share(case.get("gbyte_per_s"), rates.get("copy_bytes_per_s"))
            where = (case["model"], tuple(case["lr"]), case["scale"])
            case["times"] = {f"{way}/{dtype}": peers[way, *where, dtype] / case["ns_per_pixel"]
                             for way in ("published", "compiled-published", "reference") for dtype in FLOATS
                             if (way, *where, dtype) in peers}
        return {
            "schema": SCHEMA, "on": "gpu", "started": self.started, "finished": now(),
            "complete": not (self.failures or self.setting.dry or any("no time for" in w for w in self.warnings)),
            "quick": self.setting.dry, "warnings": self.warnings + self._remarks(), "failures": self.failures,
            "parts": self.parts, "machine": machine.processor(), "versions": versions(), "commit": commit,
            "facts": self.facts, "cases": self.cases}

    def _remarks(self):
        return ["a dry run on the CPU: the sizes are tiny and the times mean nothing"] if self.setting.dry else []


def write(stored, folder):
    """Write the results file and return its path."""
    name = re.sub(r"[^a-z0-9]+", "-", stored["facts"].get("device", {}).get("name", "unknown").lower()).strip("-")
    path = folder / f"{stored['started'][:10]}-{name}-gpu.json"
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(stored, file, indent=1)
        file.write("\n")
    return path


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _hashable(case):
    return {**case, "lr": tuple(case.get("lr", ()))}


def _share(giga, rate):
    return giga * 1e9 / rate if giga and rate else None


def _ask(what):
    if shutil.which("nvidia-smi") is None:
        return None
    done = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"], capture_output=True,
                          text=True)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
