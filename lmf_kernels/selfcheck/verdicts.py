"""Verdicts of self-checks, and the file in the user's cache folder that keeps them.

A file holds what was found with one GPU model, driver, torch, Triton and build of lmf_kernels; where one of these
changes, another file counts.
"""

import hashlib
import json
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import InputError
from ..files import atomic_write

SCHEMA = 1
CACHE = "LMF_KERNELS_CACHE"  # names the folder to keep verdicts in, in place of ~/.cache/lmf_kernels
DRIVERS = {"/proc/driver/nvidia/version": r"\d+\.\d+(\.\d+)?", "/sys/module/amdgpu/version": ".+"}  # file: pattern
PACKAGE = Path(__file__).resolve().parents[1]


class Item(NamedTuple):
    """One kernel at one task: what a verdict is about."""

    backend: str
    task: str  # of backends.evidence.TASKS
    family: str
    variant: str  # of the family: what `Family.variant` calls such members
    dtype: str  # of the fields: "float32", "float16" or "bfloat16"

    @property
    def work(self):
        """What the kernel does, in words."""
        return f"{self.family} {self.task}, {self.variant}, {self.dtype}"

    def __str__(self):
        return f"{self.backend}, {self.work}"


class Verdict(NamedTuple):
    """What a self-check found."""

    item: Item
    good: bool  # right, and faster than what would run without it
    found: str  # in words: "right and 12.1 times as fast as plain PyTorch, x4 0.31 ms against 3.76 ms"
    checked: str  # UTC date and time, "2030-05-01 13:45"
    milliseconds: dict  # name of a timed case: [the kernel's, without it]

    @property
    def date(self):
        return self.checked[:10]

    @property
    def total(self):
        """Milliseconds that the kernel took for all timed cases."""
        return sum(kernel for kernel, _ in self.milliseconds.values())

    def sentence(self):
        """What was found, and when."""
        return f"{self.found} (self-check of {self.date})"

    def __str__(self):
        return f"{self.item}: {self.found} ({self.date})"

    def to_json(self):
        return {**self._asdict(), "item": self.item._asdict()}

    @classmethod
    def from_json(cls, stored):
        return cls(**{**stored, "item": Item(**stored["item"])})


class Store:
    """The verdicts that count for one kind of GPU: those of its file, and those made in this process."""

    def __init__(self, about):
        """about: from `key`."""
        self.about = about
        self.path = folder() / f"{_slug(about['gpu'])}-{_digest(json.dumps(about, sort_keys=True))[:16]}.json"
        self.known = {}  # Item: Verdict
        self.read()

    def read(self):
        """Take over what the file holds now. A missing file, or one of another schema, holds nothing."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["schema"] == SCHEMA and stored["key"] == self.about:
                self.known.update((v.item, v) for v in map(Verdict.from_json, stored["verdicts"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def add(self, verdicts):
        """Keep verdicts, in the file too. Returns why the file cannot be written, or None."""
        self.read()
        self.known.update((v.item, v) for v in verdicts)
        text = json.dumps({"schema": SCHEMA, "key": self.about,
                           "verdicts": [self.known[item].to_json() for item in sorted(self.known)]}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as part:
                Path(part).write_text(text + "\n", encoding="utf-8")
        except (OSError, InputError) as error:
            return str(error).rstrip(".")
        return None


def folder():
    """Where the files are."""
    own = os.environ.get(CACHE)
    if own:
        return Path(own) / "selfcheck"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "lmf_kernels" / "selfcheck"


@cache
def store_of(
    device,  # torch.device with an index
):
    """The Store of a device's kind. Devices of one kind share it."""
    return _store(json.dumps(key(device), sort_keys=True), folder())


@cache
def _store(about, folder):
    return Store(json.loads(about))


def key(device):
    """What verdicts depend on, as JSON keeps it."""
    from ..backends.triton import availability

    on_gpu = device.type == "cuda"
    return {
        "gpu": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "capability": list(torch.cuda.get_device_capability(device)) if on_gpu else None,
        "driver": driver() if on_gpu else None,
        "torch": torch.__version__,
        "triton": availability.version(),
        "build": build(),
    }


def driver():
    """The GPU driver's version; "unknown" where it cannot be read."""
    for file, pattern in DRIVERS.items():
        try:
            found = re.search(pattern, Path(file).read_text(encoding="utf-8"))
        except OSError:
            continue
        if found:
            return found[0].strip()
    ask = getattr(torch._C, "_cuda_getDriverVersion", None)  # the version of CUDA that the driver supports
    return f"CUDA {ask()}" if ask else "unknown"


@cache
def build():
    """A hash of what the kernels are made of: the compiled module, the Python sources of the backends and of this
    check, and the file that LMF_TRITON_CONFIGURATIONS names."""
    from ..backends.cuda import native
    from ..backends.triton import configurations

    files = [path for part in ("backends", "selfcheck") for path in sorted((PACKAGE / part).rglob("*.py"))]
    files += [Path(path) for path in (getattr(native.module, "__file__", None),
                                      os.environ.get(configurations.FILE)) if path]
    digest = hashlib.sha256()
    for path in files:
        try:
            data = path.read_bytes()
        except OSError:
            continue
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "gpu"
