"""Which backend runs a call: the one asked for, else the first that can."""

import os
import warnings
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import BackendError, InputError
from . import cpu, reference, triton

BACKENDS = {b.name: b for b in (cpu, triton, reference)}  # in the order in which "auto" tries them
ENVIRONMENT = "LMF_KERNELS_BACKEND"

_in_use = ContextVar("lmf_kernels_backend", default=None)
_warned = set()


def check_name(name):
    """Return `name` if it is "auto" or a backend, else raise InputError."""
    if name != "auto" and (not isinstance(name, str) or name not in BACKENDS):
        raise InputError(f"unknown backend {name!r}: use one of auto, {', '.join(BACKENDS)}.")
    return name


@contextmanager
def use_backend(name):
    """Run everything inside the `with` block, in this thread or task, on backend `name`.

    A backend given to a model or a call directly goes before it; LMF_KERNELS_BACKEND comes after it.
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
    return check_name(os.environ.get(ENVIRONMENT) or "auto")


def refusal(name, call):
    """Why backend `name` cannot run the call, or None."""
    backend = BACKENDS[name]
    available, detail = backend.status()
    if not available:
        return detail
    family = backend.families.get(call.family)
    return f"it has no {call.family} kernel yet" if family is None else family.can_run(call)


def _unproven(name):
    """Why "auto" leaves a backend out although it could run, or None."""
    return None if getattr(BACKENDS[name], "proven", True) else f"nobody has measured it yet; backend={name!r} runs it"


def choose(call, name="auto"):
    """The family module that will run the call.

    Raises BackendError with the reason when a backend asked for by name cannot.
    """
    wanted = requested(name)
    if wanted != "auto":
        reason = refusal(wanted, call)
        if reason is not None:
            able = [n for n in BACKENDS if refusal(n, call) is None]
            raise BackendError(f"backend {wanted!r} cannot run this call: {reason}; "
                               f"use auto or {' or '.join(able)}.")
        return BACKENDS[wanted].families[call.family]
    reasons = []
    for candidate in BACKENDS:
        reason = refusal(candidate, call) or _unproven(candidate)
        if reason is None:
            if candidate == "reference":
                _check_fallback(call, reasons)
            return BACKENDS[candidate].families[call.family]
        reasons.append(f"{candidate}: {reason}")
    raise BackendError(f"no backend can run this call ({'; '.join(reasons)}).")


def _check_fallback(call, reasons):
    """The slow reference is no answer to who named an instruction set, and on a GPU it is worth one warning."""
    device = call.fields.device.type
    complaint = cpu.wrong_override()
    if complaint and device == "cpu" and call.family in cpu.families:
        raise BackendError(complaint)
    if device == "cuda" and call.family not in _warned:
        _warned.add(call.family)
        warnings.warn(f"{call.family} on a CUDA tensor runs on the slow PyTorch reference ({'; '.join(reasons)}).",
                      stacklevel=2)


def describe():
    """One row a backend: {"name", "available", "detail", "families"}."""
    rows = []
    for name, backend in BACKENDS.items():
        available, detail = backend.status()
        rows.append({"name": name, "available": available, "detail": detail, "families": sorted(backend.families)})
    return rows


def explain(call, name="auto"):
    """What would run the call and why: {"requested", "runs", "refusals": {backend: reason}}. Runs nothing."""
    wanted = requested(name)
    refusals = {n: refusal(n, call) or (_unproven(n) if wanted == "auto" else None) for n in BACKENDS}
    candidates = [wanted] if wanted != "auto" else list(BACKENDS)
    runs = next((n for n in candidates if refusals[n] is None), None)
    return {"requested": wanted, "runs": runs, "refusals": {n: r for n, r in refusals.items() if r is not None}}
