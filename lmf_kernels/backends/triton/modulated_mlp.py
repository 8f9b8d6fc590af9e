"""`modulated_kernel.py` behind the backend interface."""

import math
from contextlib import nullcontext

import torch

from . import availability, configurations, modulated_backward
from .arguments import COMPILED_WITH, INT32, dense, extent, network
from ..native_call import before_epilogue, refuse_common

WIDEST = 64  # there some architectures begin to spill a tile's activations
PROGRAMS = 2 ** 31 - 1  # of one launch


def can_run(call):
    """None, or in words why this kernel cannot take the call."""
    device = call.fields.device
    if device.type != ("cpu" if availability.interpreting() else "cuda"):
        place = "on CPU tensors, in the interpreter" if availability.interpreting() else "on a GPU"
        return f"tensors are on {device}, the kernel runs {place}"
    return refuse_common(call, halves=True) or refuse_shape(call.spec) or _refuse_device(call)


def can_differentiate(call, wanted):
    """None, or in words why the backward kernel cannot make the gradients named in `wanted`."""
    return modulated_backward.refuse(call, wanted)


def gradients(
    call,
    grad,  # like the call's output
    wanted,
):
    """Gradients of the tensors named in `wanted`, in their order and of their types: see `modulated_backward`."""
    return modulated_backward.gradients(call, before_epilogue(call, grad, run), wanted)


def refuse_shape(spec):
    """Why the kernel is not made for this render MLP, or None."""
    wide = max(spec.widths[0], spec.in_dim)
    if wide > WIDEST:
        return f"a layer is {wide} wide, the kernel takes widths up to {WIDEST}"
    return None


def _refuse_device(call):
    device = call.fields.device
    if device.type != "cuda" or torch.version.hip:
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "the GPU is older than compute capability 8.0, which the kernel is made for"
    return availability.refuse_ieee(device) if call.fields.dtype == torch.float32 else None


def run(call):
    """Render into a fresh tensor, on the current stream of the fields' device; nothing else is allocated.

    float32 fields are computed in IEEE float32, half fields on tensor cores with float32 accumulation.
    """
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    launch(call, out, configuration_of(call, availability.architecture(call.fields.device)))
    return out


def configuration_of(call, architecture):
    """The table's configuration for the call; float32 layers above 32, where it would spill much, have their own."""
    if architecture != "interpreter" and call.fields.dtype == torch.float32:
        if max(call.spec.widths[0], call.spec.in_dim) > 32:
            return configurations.Configuration(4, 8, 8)
    return configurations.choose(architecture, str(call.fields.dtype).removeprefix("torch."), scale(call))


def scale(call):
    """The output scale that a configuration is chosen by; points have cells of their own and count as far apart."""
    if not call.on_grid:
        return 1.0
    (_, _, h, w), (height, width) = call.lr, call.size
    return math.sqrt(height * width / (h * w))


def launch(
    call,
    out,  # call.output_shape(), call.dtype
    configuration,
):
    """Start the kernel on the current stream."""
    from .modulated_kernel import modulated_mlp_kernel

    call = dense(call)
    fields, skip, to = call.fields, call.skip, extent(call, out)
    rows, cols = to.window[2:]
    tile_rows, tile_cols = tile(configuration, rows)
    tiles_x = -(-cols // tile_cols)
    tiles = tiles_x * -(-rows // tile_rows)
    total = tiles * fields.shape[0]
    wide = not to.fits_int32() or max(total * tile_rows * tile_cols, 2 * cols) >= INT32
    device = fields.device
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        for first in range(0, total, PROGRAMS):
            modulated_mlp_kernel[(min(PROGRAMS, total - first),)](
                fields, skip, out, to.coord, to.cell, call.weights,
                *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *to.steps,
                *to.lr, *to.size, *to.window, tiles, tiles_x, first, *to.rel_cell,
                **constants(call, wide), TILE_ROWS=tile_rows, TILE_COLS=tile_cols,
                num_warps=configuration.warps, **COMPILED_WITH)


def tile(configuration, rows):
    """(rows, cols) of a tile. A window of one row, as points are, is cut along it. Windows of a few rows keep the usual
    tile: every other shape would be one more kernel to compile."""
    if rows == 1:
        return 1, configuration.rows * configuration.cols
    return configuration.rows, configuration.cols


def constants(call, wide):
    """What the kernel is compiled for, beside its tile. wide: positions need int64."""
    import triton.language as tl

    types = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    return {**network(call), "UNIT": call.epilogue == "unit", "TYPE": types[call.fields.dtype],
            "EMULATED": availability.interpreting(), "WIDE": wide}
