"""Which backend runs a call: the one asked for, else the first that can; of GPU kernels, the fastest one measured."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import BackendError, InputError
from . import cpu, cuda, evidence, reference, triton

BACKENDS = {b.name: b for b in (cpu, cuda, triton, reference)}  # in the order in which "auto" tries them
MEASURED = ("cuda", "triton")  # "auto" takes these by evidence alone
ENVIRONMENT = "LMF_KERNELS_BACKEND"

_in_use = ContextVar("lmf_kernels_backend", default=None)
_warned = set()


def check_name(name):
    """Return `name` if it is "auto" or a backend, else raise InputError."""
    if name != "auto" and (not isinstance(name, str) or name not in BACKENDS):
        raise InputError(f"unknown backend {name!r}: use one of auto, {', '.join(BACKENDS)}.")
    return name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
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


def refusal(name, call, wanted=None):
    """Why backend `name` cannot run the call, or None. wanted: names of tensors, whose gradients it shall make."""
    backend = BACKENDS[name]
    available, detail = backend.status()
    if not available:
        return detail
    family = backend.families.get(call.family)
    if family is None:
        return f"it has no {call.family} kernel yet"
    reason = family.can_run(call)
    if reason is not None or wanted is None or name == "reference":
        return reason
    can_differentiate = getattr(family, "can_differentiate", None)  # a backend may have forward kernels alone
    return "it has no backward kernel" if can_differentiate is None else can_differentiate(call, wanted)


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
    found, refusals, passed_over = _automatic(call)
    if found == "reference":
        _check_fallback(call, refusals, passed_over)
    return BACKENDS[found].families[call.family]


def _automatic(call, wanted=None):
    """What "auto" runs, {name: why it cannot} of those before it, {name: why it is left alone} of those that could.

    wanted: as in `refusal`.
    """
    refusals, kernels, task = {}, [], evidence.RENDER if wanted is None else evidence.GRADIENTS
    for name in BACKENDS:  # the last, the reference, runs everything
        reason = refusal(name, call, wanted)
        if reason is not None:
            refusals[name] = reason
        elif name not in MEASURED:
            break
        else:
            kernels.append(name)
    best = evidence.fastest(tuple(kernels), call, task) if kernels else None
    if best is not None:
        return best.backend, refusals, {}
    return name, refusals, {kernel: evidence.absence(kernel, call, task) for kernel in kernels}


def choose_backward(call, wanted, name="auto"):
    """The family module that will make the call's gradients: that of the backend asked for, where it can, else the
    reference's. "auto" looks for one by itself, whatever it took for the forward call.

    wanted: names of the tensors whose gradients are asked for, in the order of `RenderCall.tensors`.
    Raises BackendError where a backend asked for by name cannot run the call.
    """
    if requested(name) != "auto":
        choose(call, name)
    found, refusals, passed_over = _settled(call, name, wanted)
    if found == "reference" and requested(name) == "auto":
        _check_fallback(call, refusals, passed_over, "the backward pass of ")
    return BACKENDS[found].families[call.family]


def backward_of(call, wanted, name="auto"):
    """The name of the backend that `choose_backward` would take. Says and runs nothing."""
    return _settled(call, name, wanted)[0]


def forward_of(call, name="auto"):
    """The name of the backend that `choose` would take, None where it would raise. Says and runs nothing."""
    return _settled(call, name)[0]


def _settled(call, name, wanted=None):
    """As `_automatic`, for any name: where the backend asked for cannot, gradients are the reference's and a forward
    call is nobody's, None."""
    asked = requested(name)
    if asked == "auto":
        return _automatic(call, wanted)
    if refusal(asked, call, wanted) is None:
        return asked, {}, {}
    return None if wanted is None else "reference", {}, {}


def _check_fallback(call, refusals, passed_over, what=""):
    """The slow reference is no answer to who named an instruction set, and on a GPU it is worth one warning."""
    device = call.fields.device.type
    complaint = cpu.wrong_override() if device == "cpu" else None
    if complaint and call.family in cpu.families:
        raise BackendError(complaint)
    if device == "cuda" and (what, call.family) not in _warned:
        _warned.add((what, call.family))
        told = "; ".join([f"{name}: {reason}" for name, reason in {**refusals, **passed_over}.items()])
        advice = "".join(f', backend="{name}" runs it all the same' for name in passed_over)
        warnings.warn(f"{what}{call.family} on a CUDA tensor runs on the slow PyTorch reference ({told}){advice}.",
                      stacklevel=2)


def describe() -> list[dict[str, Any]]:
    """One row a backend: {"name", "available", "detail", "families", "measured"}.

    measured: for the GPU kernels, how many cases on GPUs speak for them in "auto"; None for the others.
    """
    rows = []
    for name, backend in BACKENDS.items():
        available, detail = backend.status()
        measured = sum(e.backend == name for e in evidence.entries()) if name in MEASURED else None
        rows.append({"name": name, "available": available, "detail": detail, "families": sorted(backend.families),
                     "measured": measured})
    return rows


def explain(call, name="auto"):
    """What would run the call and why. Runs nothing.

    {"requested", "runs", "refusals": {backend: why it cannot}, "passed_over": {backend: why "auto" leaves it alone},
    "evidence": what was measured on this kind of GPU with such fields, in words, fastest first, "gradients": what makes
    those of the fields, the weights and the skip}.
    """
    refusals = {n: reason for n in BACKENDS if (reason := refusal(n, call)) is not None}
    runs, _, passed_over = _settled(call, name)
    known = sorted((e for task in evidence.TASKS for e in evidence.fitting(call, task)),
                   key=lambda e: (e.task, -e.gpixel_per_s))
    leaves = [tensor for tensor in call.tensors() if tensor not in ("coord", "cell")]
    return {"requested": requested(name), "runs": runs, "refusals": refusals, "passed_over": passed_over,
            "evidence": [str(e) for e in known], "gradients": runs and backward_of(call, leaves, name)}
