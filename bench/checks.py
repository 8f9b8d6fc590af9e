"""Right before fast: every case is compared with the reference before its time counts, and again after the last round.

The reference runs in float64 on what the kernel was given, over three crops of the output. A wrong number raises, and a
run with a wrong number writes no results.
"""

import torch

from lmf_kernels import ops

RELATIVE = 1e-5  # of the largest |reference|, float32
KINKS = 1e-3  # relative L2 norm of gradients: past a ReLU's or L1's kink a value moves more than rounding moves it
LEVELS, EQUAL = 1, 0.999  # uint8: no value further off, this share equal
PUBLISHED = 1e-4  # absolute, of a peer: the published way's float32 coordinates alone cost 3e-5 at 320 LR pixels


class WrongResult(AssertionError):
    """A benchmarked function gave wrong numbers."""


def crops(size):
    """Windows (y0, x0, rows, cols): both corners and an odd place between."""
    height, width = size
    rows, cols = min(16, height), min(33, width)
    return [(0, 0, rows, cols), (height - rows, width - cols, rows, cols),
            ((height - rows) * 4 // 9, (width - cols) * 5 // 9, rows, cols)]


def grid(case, out, fields, skip):
    """Compare a `cases.Render`'s output with the reference."""
    options = {**case.options, "dtype": torch.float64}
    double = [None if t is None else t.double() for t in (fields, skip)]
    nhwc = case.options.get("layout") == "nhwc"
    for window in crops(case.size):
        expected = ops.modulated_mlp(double[0], case.weights.double(), case.spec, case.size, skip=double[1],
                                     window=window, backend="reference", **options)
        y, x, rows, cols = window
        part = out[:, y:y + rows, x:x + cols] if nhwc else out[:, :, y:y + rows, x:x + cols]
        compare(part, expected, f"{case.model} {case.size} window {window}")


def points(case, out, fields, coord, cell):
    """Compare a `cases.Points`'s output with the reference, on its first and last queries."""
    for part in (slice(0, 64), slice(-64, None)):
        expected = ops.modulated_mlp_points(
            fields.double(), case.weights.double(), case.spec, coord[:, part].double(), cell[:, part].double(),
            backend="reference")
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
