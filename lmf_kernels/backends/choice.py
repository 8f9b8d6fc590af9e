"""Which backend runs a call: the one asked for, else the first that can; of GPU kernels, the fastest one measured, on
such a GPU by us or on this one by a self-check."""

import os
import warnings
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import BackendError, InputError
from ..selfcheck import lookup
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


def _automatic(call, wanted=None, check=True):
    """What "auto" runs, {name: why it cannot} of those before it, {name: why it is left alone} of those that could.

    wanted: as in `refusal`. check: make the self-check that is missing.
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
    if not kernels:
        return name, refusals, {}
    best = evidence.fastest(tuple(kernels), call, task) or lookup.decide(tuple(kernels), call, task, check)
    if best.backend is not None:
        return best.backend, refusals, {}
    return name, refusals, {kernel: _why_not(kernel, call, task, best) for kernel in kernels}


def _why_not(kernel, call, task, decision):
    """Why "auto" leaves a kernel alone that could run the call."""
    if kernel in decision.passed_over and kernel not in decision.pending:
        return decision.passed_over[kernel]
    absence = evidence.absence(kernel, call, task)
    return f"{absence}, and {decision.pending[kernel]}" if kernel in decision.pending else absence


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
        _check_fallback(call, refusals, passed_over, evidence.GRADIENTS)
    return BACKENDS[found].families[call.family]


def backward_of(call, wanted, name="auto", check=True):
    """The name of the backend that `choose_backward` would take. check: make the self-check that is missing; nothing
    else is run, and nothing said."""
    return _settled(call, name, wanted, check)[0]


def forward_of(call, name="auto"):
    """The name of the backend that `choose` would take, None where it would raise. As `backward_of`."""
    return _settled(call, name)[0]


def _settled(call, name, wanted=None, check=True):
    """As `_automatic`, for any name: where the backend asked for cannot, gradients are the reference's and a forward
    call is nobody's, None."""
    asked = requested(name)
    if asked == "auto":
        return _automatic(call, wanted, check)
    if refusal(asked, call, wanted) is None:
        return asked, {}, {}
    return None if wanted is None else "reference", {}, {}


def _check_fallback(call, refusals, passed_over, task=evidence.RENDER):
    """The slow reference is no answer to who named an instruction set, and on a GPU it is worth one warning."""
    device = call.fields.device.type
    complaint = cpu.wrong_override() if device == "cpu" else None
    if complaint and call.family in cpu.families:
        raise BackendError(complaint)
    if device == "cuda" and (task, call.family) not in _warned:
        _warned.add((task, call.family))
        what = "the backward pass of " * (task == evidence.GRADIENTS) + call.family
        told = "; ".join([f"{name}: {reason}" for name, reason in {**refusals, **passed_over}.items()])
        judged = {verdict.item.backend for verdict in lookup.verdicts_on(call, task)}
        advice = "".join(f', backend="{name}" runs it all the same' for name in passed_over if name not in judged)
        warnings.warn(f"{what} on a CUDA tensor runs on the slow PyTorch reference ({told}){advice}.", stacklevel=2)


def describe():
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
    "source": what "auto" goes by among GPU kernels, None where no kernel could run the call, "evidence": what was
    measured on this kind of GPU with such fields, in words, fastest first, "selfcheck": what self-checks on it found,
    in words, "gradients": what makes those of the fields, the weights and the skip}.
    """
    refusals = {n: reason for n in BACKENDS if (reason := refusal(n, call)) is not None}
    runs, _, passed_over = _settled(call, name, check=False)
    known = sorted((e for task in evidence.TASKS for e in evidence.fitting(call, task)),
                   key=lambda e: (e.task, -e.gpixel_per_s))
    leaves = [tensor for tensor in call.tensors() if tensor not in ("coord", "cell")]
    return {"requested": requested(name), "runs": runs, "refusals": refusals, "passed_over": passed_over,
            "source": _source(call, refusals) if requested(name) == "auto" else None,
            "evidence": [str(e) for e in known],
            "selfcheck": [str(v) for task in evidence.TASKS for v in lookup.verdicts_on(call, task)],
            "gradients": runs and backward_of(call, leaves, name, check=False)}


def _source(call, refusals):
    """What "auto" goes by among the GPU kernels that could render the call, None without such kernels."""
    kernels = tuple(n for n in MEASURED if n in BACKENDS and n not in refusals)
    if not kernels:
        return None
    if evidence.fastest(kernels, call, evidence.RENDER) is not None:
        return evidence.FILE.name
    return lookup.decide(kernels, call, evidence.RENDER, start=False).source or "none yet"
