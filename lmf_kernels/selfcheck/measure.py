"""Judges one kernel: errors against the float64 reference, times against what would run without it.

The bounds are those of the tests: float32 within 1e-5 of the largest true value; half types, and bytes, no worse than
twice the error (root mean square) of the same maths in eager torch of the fields' type.
"""

import datetime
import time
import warnings
from contextlib import contextmanager
from functools import partial

import torch

from . import cases
from .verdicts import Item, Verdict
from ..backends import dispatch

RELATIVE = 1e-5  # float32: of the largest |true value|
TIMES_EAGER = 2  # half types and bytes: of eager torch's error
ROUNDS, WARM_UPS = 7, 2


class Refused(Exception):
    """The kernel takes none of the cases; the message says why."""


def items_of(backend):
    """Every Item that a self-check of a backend may be about."""
    return [Item(backend, *kind) for family in dispatch.BACKENDS[backend].families()
            for kind in cases.kinds(family)]


def self_tests(backend, device):
    """{Item: function that gives what is wrong, or None}: what is tried before a backend's kernels on a device."""
    tests = getattr(dispatch.BACKENDS[backend], "self_tests", None)
    return tests(device) if tests else {}


def judge(item, device):
    """The Verdict on an Item: a backend's kernel at a cases.Kind, or one of its self-tests.

    Raises Refused where the kernel does not take the cases, and whatever it raises.
    """
    backend, *kind = item
    kind = cases.Kind(*kind)
    self_test = self_tests(backend, device).get(item)
    if self_test:
        complaint = self_test()
        return verdict(item, complaint is None, complaint or "right")
    complaint = wrong_numbers(backend, kind, device)
    if complaint:
        return verdict(item, False, f"wrong numbers, {complaint}")
    times = {}
    for case in _accepted(backend, cases.timed(kind, device)):
        times[case.name] = _times(*_competitors(backend, case))
    faster = min(theirs / ours for ours, theirs in times.values())
    shown = ", ".join(f"{name} {_digits(ours)} ms against {_digits(theirs)} ms"
                      for name, (ours, theirs) in times.items())
    if faster <= 1:
        return verdict(item, False, f"right, but no faster than plain PyTorch, {shown}", times)
    return verdict(item, True, f"right and {_digits(faster)} times as fast as plain PyTorch, {shown}", times)


def verdict(item, good, found, milliseconds=None):
    """The Verdict of now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return Verdict(item, good, found, f"{now:%Y-%m-%d %H:%M}", milliseconds or {})


def wrong_numbers(backend, kind, device):
    """The first case at which a backend's numbers are wrong, and how, or None.

    Raises Refused where it does not take the cases.
    """
    kernel, reference = dispatch.BACKENDS[backend], _reference()
    for case in _accepted(backend, cases.numeric(kind, device)):
        with _poisoned():
            found = _results(kernel, case)
        complaint = compare(case, found, _results(reference, cases.precise(case)), lambda: _results(reference, case))
        if complaint:
            return f"{case.name}: {complaint}"
    return None


def _reference():
    """The backend that everything is compared with."""
    return next(backend for backend in dispatch.BACKENDS.values() if backend.is_fallback)


def _accepted(backend, all_cases):
    """The cases that the backend takes."""
    refusals = [dispatch.refusal(dispatch.BACKENDS[backend], case.call, case.wanted) for case in all_cases]
    if None not in refusals:
        raise Refused(refusals[0])
    return [case for case, refused in zip(all_cases, refusals) if refused is None]


def compare(
    case,
    found,  # [tensor] of the kernel
    true,  # [float64 tensor] of the reference, on the CPU
    eager,  # a function that gives the [tensor] of the reference in the fields' type
):
    """What is wrong with the numbers, or None."""
    as_bytes = case.call.dtype == torch.uint8
    exact = case.call.fields.dtype == torch.float32 and not as_bytes
    others = found if exact else eager()
    for name, got, expected, other in zip(case.wanted or ("the output",), found, true, others, strict=True):
        what = f"the gradient of {name}" if case.wanted else name
        if got.shape != expected.shape:
            return f"{what} has shape {tuple(got.shape)}, not {tuple(expected.shape)}"
        if as_bytes:
            expected = 255 * expected
        off = got.cpu().double() - expected
        if not off.isfinite().all():
            return f"{what} is not finite or left unwritten in places"
        if exact:
            error, allowed, kind = off.abs().max(), RELATIVE * expected.abs().max(), "largest"
        else:
            error, allowed, kind = _rms(off), TIMES_EAGER * _rms(other.cpu().double() - expected), "rms"
        if not error <= allowed:
            return f"{what} has a {kind} error of {error:.2g}, {allowed:.2g} is allowed"
    return None


def _results(backend, case):
    """[output], or the gradients that the case asks for."""
    if case.wanted is None:
        return [backend.run(case.call)]
    return backend.gradients(case.call, case.grad, case.wanted)


def _digits(number):
    """Three digits, without an exponent."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def _rms(difference):
    return difference.square().mean().sqrt()


@contextmanager
def _poisoned():
    """Fresh tensors are filled with NaN (integers with their largest value), so that a pixel left unwritten shows."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _competitors(backend, case):
    """(the kernel's work, the same work without it, the device): two functions without arguments.

    Without a kernel that is the reference; gradients of points in float32, as in training, are those of
    the family's dense form, which keeps the activations, so that the forward pass counts as well.
    """
    kernel, reference = dispatch.BACKENDS[backend], _reference()
    if case.wanted is None or case.call.on_grid or case.call.fields.dtype != torch.float32:
        return partial(_results, kernel, case), partial(_results, reference, case), case.call.fields.device

    def there_and_back():
        kernel.run(case.call)
        _results(kernel, case)

    return there_and_back, partial(_trained, case), case.call.fields.device


def _trained(case):
    """The gradients of points that training takes without a kernel."""
    leaves = [case.call.tensors()[name].detach().requires_grad_() for name in cases.LEAVES]
    fields, weights, skip = leaves
    with torch.enable_grad():
        out = case.call.family.dense(case.call.spec, fields, weights, case.call.coord, case.call.cell, skip)
    return torch.autograd.grad(out, leaves, case.grad)


def _times(ours, theirs, device):
    """[the kernel's, the others'] milliseconds, measured in turn so that both meet the same clocks. The least of some
    rounds: what else runs on the machine only ever adds."""
    for run in (ours, theirs):
        for _ in range(WARM_UPS):
            run()
    samples = [[_milliseconds(run, device) for run in (ours, theirs)] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*samples)]


def _milliseconds(run, device):
    """Of one call: between CUDA events on a GPU, by the clock on a CPU."""
    if device.type != "cuda":
        started = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - started)
    with torch.cuda.device(device):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        run()
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after)
