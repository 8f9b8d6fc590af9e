"""What `backend="auto"` asks: which kernel the self-checks speak for. A dictionary hit, but for the first time.

At the first need of a kernel without a verdict a check is made, which takes seconds; never inside a CUDA graph's
capture or while torch traces.
"""

import os
import threading
from typing import NamedTuple

import torch

from . import verdicts
from .verdicts import Item

SWITCH = "LMF_KERNELS_SELFCHECK"  # 0: no check is started; verdicts that are there count all the same
DEVICE_TYPES = {"cuda"}  # where kernels need a verdict; tests add "cpu" for their stand-ins


class Decision(NamedTuple):
    """What the verdicts make of some kernels."""

    backend: str | None  # the fastest of those that are right and faster than what would run without them
    source: str  # "self-check of 2030-05-01", or "" without a verdict
    skipped: dict  # {backend: why it is not taken} of the others
    pending: dict  # {backend: why it has no verdict} of those among them that have none


_decisions = {}  # those that stay
_checking = threading.RLock()  # one thread checks, the others wait for what it finds


def decide(
    names,  # tuple of the backends that could do it
    call,
    task,  # of backends.evidence.TASKS
    start=True,
):
    """The Decision about a call. start: make a missing verdict now, if this is a place for it."""
    key = names, task, call.family, call.family.variant(call.spec), call.fields.dtype, call.fields.device
    return _decisions.get(key) or _settle(key, call, start)


def _settle(key, call, start):
    names, task, device = key[0], key[1], call.fields.device
    if device.type not in DEVICE_TYPES:
        return Decision(None, "", {}, {})
    if not _can_ask(device):
        pending = dict.fromkeys(names, "this process has no GPU to check it on")
        return Decision(None, "", pending, pending)
    items = [_item(name, call, task) for name in names]
    with _checking:
        store = verdicts.store_of(device)
        missing = [item for item in items if item not in store.known]
        why = hindrance(call) or (None if start else "the first call that needs it makes its self-check")
        if missing and why is None:
            from .run import fill  # here: it is not needed once a verdict is there

            unresolved = fill(store, device, missing, names)
        else:
            unresolved = dict.fromkeys(missing, why)
        decision = _weigh(items, store.known, unresolved)
        if not missing or why is None:
            _decisions[key] = decision
    return decision


def _weigh(items, known, unresolved):
    found = [known[item] for item in items if item in known]
    best = min((v for v in found if v.good), key=lambda v: v.total, default=None)
    pending = {item.backend: why for item, why in unresolved.items()}
    skipped = {v.item.backend: v.sentence() for v in found if v is not best}
    dates = [best.date] if best else [v.date for v in found]
    source = f"self-check of {max(dates)}" if dates else ""
    return Decision(best and best.item.backend, source, {**skipped, **pending}, pending)


def verdicts_on(call, task):
    """The Verdicts on kernels at a task of such a call, as far as there are any. Starts nothing."""
    device = call.fields.device
    if device.type not in DEVICE_TYPES or not _can_ask(device):
        return []
    return [v for item, v in sorted(verdicts.store_of(device).known.items()) if item == _item(item.backend, call, task)]


def _can_ask(device):
    """Whether the device is there to be asked what it is: not for a tensor that stands for one while torch traces, nor
    in a forked process."""
    return device.type != "cuda" or torch.cuda.is_available() and not torch.cuda._is_in_bad_fork()


def _item(backend, call, task):
    dtype = str(call.fields.dtype).removeprefix("torch.")
    return Item(backend, task, call.family.name, call.family.variant(call.spec), dtype)


def hindrance(call):
    """Why no check can be started now, or None."""
    if os.environ.get(SWITCH) == "0":
        return f"its self-check is turned off ({SWITCH}=0)"
    if torch.compiler.is_compiling() or type(call.fields) not in (torch.Tensor, torch.nn.Parameter):
        return "a self-check cannot be made while torch traces"
    if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
        return "a self-check cannot be made inside a CUDA graph's capture"
    if torch.cuda._is_in_bad_fork():
        return "a self-check cannot be made in a forked process"
    return None
