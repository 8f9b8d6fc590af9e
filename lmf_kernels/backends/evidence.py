"""What has been measured on GPUs, and which kernel it speaks for.

`python -m bench.evidence --write` makes measured.json.
"""

import json
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

FILE = Path(__file__).with_name("measured.json")
SCHEMA = 3
TASKS = GRADIENTS, RENDER = "gradients", "render"
SELF_TEST = "self-test"  # of what kernels rely on, by a self-check alone


class Entry(NamedTuple):
    """One kernel on one case, whose numbers passed against the float64 reference in the run that timed it."""

    device: str  # the GPU's name
    capability: tuple[int, int]  # its compute capability (major, minor)
    backend: str
    task: str  # of TASKS
    family: str
    variant: str  # of the family: what `Family.variant` calls such members
    dtype: str  # of the fields: "float32", "float16" or "bfloat16"
    cells: int  # LR cells, batch included
    pixels: int  # output pixels or points, batch included
    gpixel_per_s: float  # of the render stage; task gradients: there and back
    commit: str  # of the sources that were measured

    def __str__(self):
        major, minor = self.capability
        what = f"{self.family} {self.task}, {self.variant}, {self.dtype}"
        return (f"{self.backend}: {what}, {self.gpixel_per_s:.3g} Gpixel/s from {self.cells} cells to {self.pixels} "
                f"pixels on {self.device} (compute capability {major}.{minor}), commit {self.commit}")


@cache
def entries():
    """Every Entry of measured.json."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    if stored["schema"] != SCHEMA:
        raise ValueError(f"{FILE} has schema {stored['schema']}, this version reads {SCHEMA}; "
                         "write it again with python -m bench.evidence.")
    return tuple(Entry(**{**entry, "capability": tuple(entry["capability"])}) for entry in stored["entries"])


@cache
def capability(device):
    """The compute capability (major, minor) of a CUDA device, None of any other."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def fitting(call, task):
    """The entries that speak of a task of a call: same compute capability, family, variant and dtype of the fields."""
    return _fitting(task, *_kind(call)) if entries() else ()  # without any, the driver need not be asked


def fastest(
    names,  # tuple of the backends that can run the call
    call,
    task,
):
    """The Entry of the fastest of `names` at a task, on the measured case nearest in size to the call; None: no case.

    Near is by ratio: of LR cells, and of pixels to a cell.
    """
    if not entries():
        return None
    batch, h, w, _ = call.fields.shape
    pixels = batch * (call.window[2] * call.window[3] if call.on_grid else call.coord.shape[1])
    return _fastest(names, (task, *_kind(call)), batch * h * w, pixels)


def absence(name, call, task):
    """Why "auto" does not take backend `name`, which could do the task, in words."""
    if not any(e.backend == name for e in entries()):
        return "it has never run on a GPU"
    return (f"it has no measurement of {call.family.name} {task}, {call.family.variant(call.spec)}, with "
            f"{_dtype_of(call)} fields on this kind of GPU")


def _dtype_of(call):
    return str(call.fields.dtype).removeprefix("torch.")


def _kind(call):
    return capability(call.fields.device), call.family.name, call.family.variant(call.spec), _dtype_of(call)


@cache
def _fitting(*kind):
    return tuple(e for e in entries() if (e.task, e.capability, e.family, e.variant, e.dtype) == kind)


@lru_cache(maxsize=1024)
def _fastest(names, kind, cells, pixels):
    def distance(entry):
        per_cell = math.log(entry.pixels / entry.cells) - math.log(pixels / cells)
        return abs(math.log(entry.cells / cells)) + abs(per_cell)

    known = [e for e in _fitting(*kind) if e.backend in names]
    nearest = min(map(distance, known), default=None)
    return max((e for e in known if distance(e) == nearest), key=lambda e: e.gpixel_per_s, default=None)
