"""Measures configurations on the current GPU and writes the fastest to a file that `configurations.measured` reads.

Never run on a GPU so far.
"""

import json

import torch

from . import availability, configurations, modulated_mlp
from .configurations import Configuration, Range
from ..call import RenderCall
from ...errors import BackendError
from ...files import atomic_write
from ...families import MODULATED_MLP, RenderSpec

SPECS = (RenderSpec("linear", 0, (16,) * 6), RenderSpec("fourier", 16, (16,) * 8))  # LM-LIIF and LM-LTE
ELEMENTS = (torch.float32, torch.float16, torch.bfloat16)
SCALES = ((1.5, 1), (3.0, 2), (6.0, 4), (None, 12))  # the upper end of a range, and the scale at which it is measured
LR = (180, 320)
CANDIDATES = [Configuration(rows, cols, warps) for rows, cols in ((4, 4), (4, 8), (8, 8), (4, 16), (1, 64), (8, 16))
              for warps in (1, 2, 4, 8)]


def tune(path, report, *, device=None, measure=None, lr=LR):
    """Write the fastest configuration per dtype and range of scales to `path`, a JSON file.

    report: called with a line of text per result. device: the GPU; None: torch's current one.
    measure(call, configuration) -> milliseconds; None: Triton's do_bench. lr: (h, w) of the fields measured on.

    Raises BackendError if there is no GPU, InputError if path cannot be written.
    """
    if device is None:
        device = _device()
    rows, architecture = {}, availability.architecture(device)
    for dtype in ELEMENTS:
        element = str(dtype).removeprefix("torch.")
        rows[element] = []
        for scale_to, scale in SCALES:
            calls = [_call(spec, dtype, scale, lr, device) for spec in SPECS]
            milliseconds, best = _fastest(calls, measure or _measure)
            rows[element] += [{**configurations.to_json([Range(scale_to, best)])[0], "milliseconds": milliseconds}]
            report(f"{architecture} {element} x{scale}: {best.rows} x {best.cols} pixels, {best.warps} warps, "
                f"{milliseconds:.4f} ms for LM-LIIF and LM-LTE together")
    about = {"triton": availability.version(), "torch": torch.__version__, "lr": list(lr)}
    with atomic_write(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump({**about, "configurations": {architecture: rows}}, file, indent=1)


def _device():
    usable, detail = availability.status()
    if not usable or availability.interpreting():
        raise BackendError(f"Tuning needs a GPU that Triton can use: {detail}.")
    return torch.device("cuda", torch.cuda.current_device())


def _call(spec, dtype, scale, lr, device):
    """A call that renders random fields."""
    fields = torch.randn(1, *lr, MODULATED_MLP.field_channels(spec), device=device).to(dtype)
    weights = torch.randn(MODULATED_MLP.weight_count(spec), device=device).to(dtype)
    size = tuple(n * scale for n in lr)
    return RenderCall(MODULATED_MLP, spec, fields, weights, size=size, window=(0, 0, *size), lr=(0, 0, *lr),
                      dtype=dtype)


def _fastest(calls, measure):
    """(total milliseconds, configuration). Skips configurations that need more resources than the GPU has."""
    from triton.runtime.errors import OutOfResources

    timed = []
    for candidate in CANDIDATES:
        try:
            timed.append((sum(measure(call, candidate) for call in calls), candidate))
        except OutOfResources:
            continue
    return min(timed)


def _measure(call, configuration):
    from triton.testing import do_bench

    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    return do_bench(lambda: modulated_mlp.launch(call, out, configuration), return_mode="median")
