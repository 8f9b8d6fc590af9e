"""Right before fast: every case is compared with the reference before its time counts, and again after the last round.

The reference is `python_ref` itself, without operators or backends. It runs in float64 on the kernel's inputs, over
three crops of the output. A wrong number raises, and a run with a wrong number writes no results.
"""

import math

import torch

import python_ref
from python_ref import geometry

RELATIVE = 1e-5  # of the largest |reference|, float32
KINKS = 1e-3  # relative L2 norm of gradients: past a ReLU's or L1's kink a value moves more than rounding moves it
LEVELS, EQUAL = 1, 0.999  # uint8: no value further off, this share equal
NOISE = 2.0  # a half type's error may be this many times that of the same maths in eager torch of the same type
PUBLISHED = 1e-4  # absolute, of a peer: the published way's float32 coordinates alone cost 3e-5 at 320 LR pixels


class WrongResult(AssertionError):
    """A benchmarked function gave wrong numbers."""


def crops(size):
    """Windows (y0, x0, rows, cols): both corners and an odd place between."""
    height, width = size
    rows, cols = min(16, height), min(33, width)
    return [(0, 0, rows, cols), (height - rows, width - cols, rows, cols),
            ((height - rows) * 4 // 9, (width - cols) * 5 // 9, rows, cols)]


def reference_window(
    family,
    spec,
    fields,  # (B, h, w, C)
    weights,  # (weight_count,)
    size,
    window,
    skip=None,  # (B, 3, h, w) or None
    dtype=torch.float64,
):
    """A window (y0, x0, rows, cols) of the output, rendered by `python_ref` in `dtype`: (B, 3, rows, cols).

    Only the LR rows and columns that the window reads are converted to `dtype`.
    """
    lr = tuple(fields.shape[1:3])
    ys, xs = (slice(max(0, math.floor((first + 0.5) * n_in / n_out - 0.5)),
                    min(n_in, math.floor((first + count - 0.5) * n_in / n_out - 0.5) + 2))
              for n_in, n_out, first, count in zip(lr, size, window[:2], window[2:]))
    queries = geometry.grid_queries(lr, size, ensemble=spec.ensemble, window=window, lr_origin=(ys.start, xs.start),
                                    dtype=dtype, device=fields.device)
    values = _rendered(family, spec, fields[:, ys, xs].to(dtype), weights.to(dtype), queries,
                       None if skip is None else skip[:, :, ys, xs].to(dtype))
    return values.permute(0, 3, 1, 2).to(dtype)


def reference_points(
    family,
    spec,
    fields,  # (B, h, w, C)
    weights,  # (weight_count,)
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip=None,  # (B, 3, h, w) or None
):
    """Query points rendered by `python_ref` in the tensors' dtype: (B, Q, 3). Differentiable; called as the renderers
    of `lmf_kernels.training.rendering` are."""
    queries = geometry.point_queries(coord, cell, fields.shape[1:3], ensemble=spec.ensemble)
    return _rendered(family, spec, fields, weights, queries, skip)


def _rendered(family, spec, fields, weights, queries, skip):
    return getattr(python_ref, family.name).render(fields, *family.matrices(spec, weights), queries, skip=skip)


def grid(case, out, fields, skip):
    """Compare a `cases.Render`'s output with the reference."""
    nhwc = case.options.get("layout") == "nhwc"
    for window in crops(case.size):
        given = (case.family, case.spec, fields, case.weights, case.size, window, skip)
        expected, what = reference_window(*given), f"{case.model} {case.size} window {window}"
        if case.options.get("epilogue") == "unit":
            expected = (expected * 0.5 + 0.5).clamp(0, 1)
        y, x, rows, cols = window
        part = out[:, y:y + rows, x:x + cols].permute(0, 3, 1, 2) if nhwc else out[:, :, y:y + rows, x:x + cols]
        if fields.dtype == torch.float32:
            compare(part, expected, what)
        else:
            compare_half(part, expected, reference_window(*given, dtype=fields.dtype), what)


def points(case, out, fields, coord, cell):
    """Compare a `cases.Points`'s output with the reference, on its first and last queries."""
    for part in (slice(0, 64), slice(-64, None)):
        expected = reference_points(case.family, case.spec, fields.double(), case.weights.double(),
                                    coord[:, part].double(), cell[:, part].double())
        compare(out[:, part], expected, f"{case.model} points")


def compare(out, expected, what):
    """Raise WrongResult unless `out` has the expected values (float64, unit range for uint8)."""
    if out.dtype == torch.uint8:
        off = (out.double() - (expected * 255).round()).abs()
        equal = (off == 0).double().mean().item()
        if not (off.max().item() <= LEVELS and equal >= EQUAL):
            raise WrongResult(f"{what}: {off.max().item():.0f} levels off, {equal:.4%} equal.")
        return
    close(out, expected, RELATIVE * expected.abs().max().item(), what)


def compare_half(out, expected, eager, what):
    """Raise WrongResult unless `out` is as near to the expected values as twice what eager torch is."""
    error, allowed = (t.double().sub(expected).square().mean().sqrt().item() for t in (out, eager))
    if not error <= NOISE * allowed:
        raise WrongResult(f"{what}: error {error:.2e}, allowed {NOISE * allowed:.2e}.")


def close(out, expected, tolerance, what):
    """Raise WrongResult where shapes differ or a value is further off than `tolerance`; NaN never passes."""
    if out.shape != expected.shape:
        raise WrongResult(f"{what}: shape {tuple(out.shape)}, expected {tuple(expected.shape)}.")
    off = (out.double() - expected.double()).abs().max().item()
    if not off <= tolerance:
        raise WrongResult(f"{what}: largest difference {off:.2e}, allowed {tolerance:.2e}.")


def gradients(found, expected, what, allowed=KINKS):
    """Raise WrongResult where a gradient is missing or differs by more than kinks explain."""
    for got, wanted in zip(found, expected, strict=True):
        off = (got.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-12)
        close(off, torch.zeros_like(off), allowed, f"{what} gradients")
