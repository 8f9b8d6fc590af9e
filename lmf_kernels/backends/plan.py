"""What calls come to that differ in the addresses and contents of their tensors alone: found once, then looked up.

A video asks the same of every frame, tiles of every picture.
"""

from functools import lru_cache

import torch

from .call import validate
from .cpu import native
from .dispatch import choose, first_asked, requested

MOST = 1024  # plans that are kept


class Plan:
    """
    Attributes:
        shape: of the result; None before a call was found valid.
        run: render(call), where the backend is settled; else None.
        prepared: {backend: render(call)}, from `Backend.prepare`.
    """

    __slots__ = "shape", "run", "prepared"

    def __init__(self):
        self.shape, self.run, self.prepared = None, None, {}


def plan_of(call, name):
    """The Plan of a call for the backend `name`, which counts here and now. Raises InputError where the call's shapes,
    devices or options do not fit together."""
    facts = [None if t is None else (t.shape, t.stride(), t.dtype, t.device) for t in call[2:7]]
    plan = _plan(name, first_asked(name), native.setting("LMF_CPU_ISA"), *call[:2], *facts, *call[7:14])
    if plan.shape is None:
        plan.shape = validate(call)
    return plan


@lru_cache(MOST)
def _plan(*everything):  # on which shape and backend depend
    return Plan()


def render(call, name="auto"):
    """Run a call on the backend `name` that counts, and return its result.

    Raises InputError where it does not fit together, BackendError where the backend cannot run it.
    """
    name = requested(name)
    plan = plan_of(call, name)
    run = plan.run or _settle(plan, call, name)
    return run(call)


def _settle(plan, call, name):
    """What renders the call. It is kept in the plan where no backend was asked that may answer otherwise next time."""
    if 0 in plan.shape:
        return lambda call: torch.empty(plan.shape, dtype=call.dtype, device=call.fields.device)
    backend = choose(call, name)
    run = plan.prepared.get(backend) or backend.prepare(call)
    if run is None:
        return backend.run
    plan.prepared[backend] = run
    if name != "auto" or backend is first_asked(name) and not backend.needs_evidence:
        plan.run = run
    return run


def forget():
    """Forget all plans."""
    _plan.cache_clear()
