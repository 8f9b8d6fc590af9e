"""The backend interface of `modulated_kernel.py`."""

import math
from contextlib import nullcontext

import torch

from . import availability, configurations, modulated_backward, modulated_columns
from .arguments import COMPILED_WITH, INT32, extent, network
from ..native_call import before_epilogue, dense, refuse_common

WIDEST = 64  # from here on some architectures spill a tile's activations
PROGRAMS = 2 ** 31 - 1  # of one launch


def can_run(call):
    """None, or the reason why this kernel cannot run the call."""
    device = call.fields.device
    if device.type != ("cpu" if availability.interpreting() else "cuda"):
        where = "on CPU tensors, in the interpreter" if availability.interpreting() else "on a GPU"
        return f"tensors are on {device}, the kernel runs {where}"
    return refuse_common(call, halves=True) or refuse_shape(call.spec) or _refuse_device(call)


def can_differentiate(call, wanted):
    """None, or the reason why the backward kernel cannot compute the gradients named in `wanted`."""
    return modulated_backward.refuse(call, wanted)


def gradients(
    call,
    grad,  # like the call's output
    wanted,
):
    """Gradients of the tensors named in `wanted`, in their order and dtypes. See `modulated_backward`."""
    return modulated_backward.gradients(call, before_epilogue(call, grad, run), wanted)


def refuse_shape(spec):
    """The reason why the kernel does not support this render MLP, or None."""
    width = max(spec.widths[0], spec.in_dim)
    if width > WIDEST:
        return f"a layer is {width} wide, the kernel takes widths up to {WIDEST}"
    return None


def _refuse_device(call):
    device = call.fields.device
    if device.type != "cuda" or torch.version.hip:
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "the kernel needs a GPU of compute capability 8.0 or newer"
    return availability.refuse_ieee(device) if call.fields.dtype == torch.float32 else None


def run(call):
    """Render into a new tensor, on the current stream of the fields' device. Nothing else is allocated.

    float32 fields are computed in IEEE float32, half fields on tensor cores with float32 accumulation.
    """
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    launch(call, out, configuration_of(call, availability.architecture(call.fields.device)))
    return out


def configuration_of(call, architecture):
    """The configuration for a call: COLUMNS where that kernel renders it and no measured file says otherwise, else the
    table's, except for float32 layers wider than 32, where it would spill."""
    element = str(call.fields.dtype).removeprefix("torch.")
    by_columns = modulated_columns.fits(call)
    if by_columns and element not in configurations.measured().get(architecture, {}):
        return configurations.COLUMNS
    if architecture != "interpreter" and call.fields.dtype == torch.float32:
        if max(call.spec.widths[0], call.spec.in_dim) > 32:
            return configurations.Configuration(4, 8, 8)
    return configurations.choose(architecture, element, scale(call), by_columns)


def scale(call):
    """The output scale by which the configuration is chosen; 1 for points, which seldom share cells."""
    if not call.on_grid:
        return 1.0
    (_, _, h, w), (height, width) = call.lr, call.size
    return math.sqrt(height * width / (h * w))


def launch(
    call,
    out,  # call.output_shape(), call.dtype
    configuration,
):
    """Start the kernel on the current stream: the one by columns for COLUMNS, else the one per pixel."""
    if configuration == configurations.COLUMNS:
        return modulated_columns.launch(call, out)
    from .modulated_kernel import modulated_mlp_kernel

    call = dense(call)
    fields, skip, to = call.fields, call.skip, extent(call, out)
    rows, cols = to.window[2:]
    tile_rows, tile_cols = tile(configuration, rows)
    tiles_x = -(-cols // tile_cols)
    tiles = tiles_x * -(-rows // tile_rows)
    total = tiles * fields.shape[0]
    use_int64 = not to.fits_int32() or max(total * tile_rows * tile_cols, 2 * cols) >= INT32
    device = fields.device
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        for first in range(0, total, PROGRAMS):
            modulated_mlp_kernel[(min(PROGRAMS, total - first),)](
                fields, skip, out, to.coord, to.cell, call.weights,
                *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *to.steps,
                *to.lr, *to.size, *to.window, tiles, tiles_x, first, *to.rel_cell,
                **constants(call, use_int64), TILE_ROWS=tile_rows, TILE_COLS=tile_cols,
                num_warps=configuration.warps, **COMPILED_WITH)


def tile(configuration, rows):
    """(rows, cols) of a tile. A window of one row, as for points, gets tiles of one row. Other windows all use the same
    shape, because each shape is compiled separately."""
    if rows == 1:
        return 1, configuration.rows * configuration.cols
    return configuration.rows, configuration.cols


def constants(call, use_int64):
    """The kernel's compile-time constants, except its tile. use_int64: positions need int64."""
    import triton.language as tl

    types = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    return {**network(call), "UNIT": call.epilogue == "unit", "TYPE": types[call.fields.dtype],
            "EMULATED": availability.interpreting(), "USE_INT64": use_int64}
