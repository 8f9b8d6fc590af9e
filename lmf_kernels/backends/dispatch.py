"""Which backend runs a call: the one asked for, else the first that can. Of GPU kernels, the fastest one measured on
such a GPU, by us or by a self-check on this machine."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import BackendError, InputError
from ..selfcheck import lookup
from . import cpu, cuda, evidence, reference, triton
from .interface import Backend

BACKENDS = {backend.name: backend for backend in (cpu.backend, cuda.backend, triton.backend, reference.backend)}
ENVIRONMENT = "LMF_KERNELS_BACKEND"

_in_use = ContextVar("lmf_kernels_backend", default=None)
_warned = set()


def register_backend(backend: Backend) -> None:
    """Make a Backend (see `interface`) known under its name. "auto" tries it after the kernels and before the fallback.

    Raises:
        InputError: another backend has that name.
    """
    if backend.name == "auto" or BACKENDS.get(backend.name, backend) is not backend:
        raise InputError(f"There is a backend {backend.name!r} already: give the new one another name.")
    others = {name: other for name, other in BACKENDS.items() if name != backend.name}
    BACKENDS.clear()
    for other in sorted([*others.values(), backend], key=lambda each: each.is_fallback):  # stable
        BACKENDS[other.name] = other


def check_name(name):
    """Return `name` if it is "auto" or a backend, else raise InputError."""
    if name != "auto" and (not isinstance(name, str) or name not in BACKENDS):
        raise InputError(f"unknown backend {name!r}: use one of auto, {', '.join(BACKENDS)}.")
    return name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run everything inside the `with` block, in this thread or task, on backend `name`.

    A backend given to a model or a call directly takes precedence over it, and it over LMF_KERNELS_BACKEND.
    """
    token = _in_use.set(check_name(name))
    try:
        yield
    finally:
        _in_use.reset(token)


def requested(name="auto"):
    """The name that counts: the argument, else `use_backend`, else LMF_KERNELS_BACKEND, else "auto"."""
    if name != "auto":
        return check_name(name)
    inside = _in_use.get()
    if inside is not None:
        return inside
    return check_name(cpu.native.setting(ENVIRONMENT) or "auto")


def first_asked(name):
    """The Backend that is asked first, by a name that counts."""
    return BACKENDS[name] if name != "auto" else next(iter(BACKENDS.values()))


def refusal(backend, call, wanted=None):
    """Why a backend cannot run the call, or None. wanted: names of tensors, whose gradients it has to compute too."""
    available, detail = backend.status(call.family)
    if not available:
        return detail
    reason = backend.can_run(call)
    if reason is not None or wanted is None:
        return reason
    return backend.can_differentiate(call, wanted)


class Selection:
    """What "auto", or a name, comes to for one call.

    Attributes:
        backend: the Backend that runs, or None if there is none.
        refusals: {name: why it cannot run the call}, of those tried before it.
        skipped: {name: why "auto" leaves it alone}, of those that could run the call.
    """

    def __init__(self, backend, refusals=None, skipped=None):
        self.backend, self.refusals, self.skipped = backend, refusals or {}, skipped or {}


def select(call, name="auto", wanted=None, check=True):
    """The Selection for a call. Gives no warning and runs no kernel here; a self-check runs in a process of its own.

    wanted: names of the tensors whose gradients are asked for, in the order of `RenderCall.tensors`; None: the forward
    call. Gradients that the backend asked for cannot compute come from the fallback. check: whether a missing
    self-check may be made.
    """
    return _select(call, requested(name), wanted, check)


def _select(call, name, wanted=None, check=True):
    """`select` for a name that counts."""
    if name == "auto":
        return _automatic(call, wanted, check)
    if refusal(BACKENDS[name], call, wanted) is None:
        return Selection(BACKENDS[name])
    if wanted is None:
        return Selection(None)
    return Selection(next((backend for backend in BACKENDS.values()
                           if backend.is_fallback and refusal(backend, call, wanted) is None), None))


def _automatic(call, wanted, check):
    """The Selection of "auto"."""
    refusals, kernels, task = {}, [], evidence.RENDER if wanted is None else evidence.GRADIENTS
    found = None
    for name, backend in BACKENDS.items():
        reason = refusal(backend, call, wanted)
        if reason is not None:
            refusals[name] = reason
        elif backend.needs_evidence:
            kernels.append(name)
        else:
            found = backend
            break
    if not kernels:
        return Selection(found, refusals)
    best = evidence.fastest(tuple(kernels), call, task) or lookup.decide(tuple(kernels), call, task, check)
    if best.backend is not None:
        return Selection(BACKENDS[best.backend], refusals)
    return Selection(found, refusals, {kernel: _why_skipped(kernel, call, task, best) for kernel in kernels})


def _why_skipped(kernel, call, task, decision):
    """Why "auto" does not select a kernel that could run the call."""
    if kernel in decision.skipped and kernel not in decision.pending:
        return decision.skipped[kernel]
    absence = evidence.absence(kernel, call, task)
    return f"{absence}, and {decision.pending[kernel]}" if kernel in decision.pending else absence


def choose(call, name="auto"):
    """The Backend that will run the call.

    Raises BackendError with the reason when a backend asked for by name cannot run it, or none can.
    """
    name = requested(name)
    selection = _select(call, name)
    if selection.backend is None:
        _raise_refusal(call, name)
    _check_fallback(call, selection)
    return selection.backend


def choose_backward(call, wanted, name="auto"):
    """The Backend that will compute the call's gradients: that asked for, where it can, else the fallback. "auto"
    selects one for the backward pass by itself, whatever it selected for the forward call.

    wanted: names of the tensors whose gradients are asked for, in the order of `RenderCall.tensors`.
    Raises BackendError when a backend asked for by name cannot run the call.
    """
    if requested(name) != "auto":
        choose(call, name)
    selection = select(call, name, wanted)
    if selection.backend is None:
        raise BackendError(f"no backend computes gradients of {call.family.name}.")
    if requested(name) == "auto":
        _check_fallback(call, selection, evidence.GRADIENTS)
    return selection.backend


def _raise_refusal(call, name):
    able = [other for other, backend in BACKENDS.items() if refusal(backend, call) is None]
    if name == "auto":
        reasons = "; ".join(f"{other}: {refusal(backend, call)}" for other, backend in BACKENDS.items())
        raise BackendError(f"no backend can run this call ({reasons}).")
    advice = f"use auto or {' or '.join(able)}" if able else "no other backend can run it either"
    raise BackendError(f"backend {name!r} cannot run this call: {refusal(BACKENDS[name], call)}; {advice}.")


def _check_fallback(call, selection, task=evidence.RENDER):
    """Raise or warn where "auto" fell back and the user should know.

    A setting of the user's that a backend cannot follow must not be hidden by the slow fallback, and on a GPU the
    fallback is worth one warning.
    """
    if not selection.backend.is_fallback or not (selection.refusals or selection.skipped):
        return
    for name in selection.refusals:
        conflict = BACKENDS[name].conflict(call)
        if conflict:
            raise BackendError(conflict)
    family = call.family.name
    if call.fields.device.type == "cuda" and (task, family) not in _warned:
        _warned.add((task, family))
        what = "the backward pass of " * (task == evidence.GRADIENTS) + family
        reasons = "; ".join(f"{name}: {reason}" for name, reason in {**selection.refusals, **selection.skipped}.items())
        judged = {verdict.item.backend for verdict in lookup.verdicts_on(call, task)}
        advice = "".join(f', backend="{name}" runs it all the same' for name in selection.skipped if name not in judged)
        warnings.warn(f"{what} on a CUDA tensor runs on the slow PyTorch reference ({reasons}){advice}.",
                      stacklevel=2)


def describe() -> list[dict[str, Any]]:
    """One row per backend: {"name", "available", "detail", "families", "measured"}.

    measured: for backends that need evidence, how many measured cases "auto" knows of them; None for the others.
    """
    rows = []
    for name, backend in BACKENDS.items():
        available, detail = backend.availability()
        measured = sum(e.backend == name for e in evidence.entries()) if backend.needs_evidence else None
        rows.append({"name": name, "available": available, "detail": detail, "families": backend.families(),
                     "measured": measured})
    return rows


def explain(call, name="auto"):
    """What would run the call and why. Runs nothing.

    {"requested", "runs", "refusals": {backend: why it cannot}, "skipped": {backend: why "auto" leaves it alone},
    "source": what "auto" goes by among GPU kernels, None if no kernel could run the call, "evidence": what was measured
    on this kind of GPU with such fields, as text, fastest first, "selfcheck": what self-checks on it found, as text,
    "cells": how pixels of chosen cells are rendered, as CMSR does, "gradients": what computes those of the fields, the
    weights and the skip}.
    """
    refusals = {other: reason for other, backend in BACKENDS.items() if (reason := refusal(backend, call)) is not None}
    selection = select(call, name, check=False)
    known = sorted((e for task in evidence.TASKS for e in evidence.fitting(call, task)),
                   key=lambda e: (e.task, -e.gpixel_per_s))
    leaves = [tensor for tensor in call.tensors() if tensor not in ("coord", "cell")]
    backward = select(call, name, leaves, check=False).backend if selection.backend else None
    return {"requested": requested(name), "runs": selection.backend and selection.backend.name, "refusals": refusals,
            "skipped": selection.skipped, "source": _source(call, refusals) if requested(name) == "auto" else None,
            "evidence": [str(e) for e in known],
            "selfcheck": [str(v) for task in evidence.TASKS for v in lookup.verdicts_on(call, task)],
            "cells": _cells(call, selection.backend), "gradients": backward and backward.name}


def _cells(call, backend):
    """How `ops.render_cells` works on a backend, in words; None where it does not."""
    if backend is None or not call.on_grid:
        return None
    if backend.has_cell_mask(call.family):
        return "cell mask in the grid kernel"
    return None if call.family.no_points else "listed as query points"


def _source(call, refusals):
    """What "auto" goes by among the kernels that need evidence and could render the call, None without such kernels."""
    kernels = tuple(name for name, backend in BACKENDS.items() if backend.needs_evidence and name not in refusals)
    if not kernels:
        return None
    if evidence.fastest(kernels, call, evidence.RENDER) is not None:
        return evidence.FILE.name
    return lookup.decide(kernels, call, evidence.RENDER, start=False).source or "none yet"
