"""`modulated_kernel.py` behind the backend interface."""

import math
from contextlib import nullcontext

import torch

from . import availability, configurations
from ..native_call import refuse_common

WIDEST = 64  # there some architectures begin to spill a tile's activations
PROGRAMS = 2 ** 31 - 1  # of one launch
IEEE_ON_SM_100 = (3, 9)  # 3.6.0 compiles the Fourier head's product to tcgen05 TF32 whatever input_precision says
INT32 = 2 ** 31  # what positions are computed from stays below it, or they are int64


def can_run(call):
    """None, or in words why this kernel cannot take the call."""
    device = call.fields.device
    if device.type != ("cpu" if availability.interpreting() else "cuda"):
        place = "on CPU tensors, in the interpreter" if availability.interpreting() else "on a GPU"
        return f"tensors are on {device}, the kernel runs {place}"
    return refuse_common(call, halves=True) or refuse_shape(call.spec) or _refuse_device(call)


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
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 0):
        return "the GPU is older than compute capability 8.0, which the kernel is made for"
    if call.fields.dtype == torch.float32 and capability[0] in (10, 11) and availability.release() < IEEE_ON_SM_100:
        return f"Triton {availability.version()} makes some float32 products in TF32 on this GPU; Triton 3.9 does not"
    return None


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

    fields = call.fields if call.fields.stride(3) == 1 else call.fields.contiguous()
    skip, weights = call.skip, call.weights.contiguous()
    if call.on_grid:
        coord = cell = None
        y0, x0, rows, cols = call.window
        lr_y0, lr_x0, lr_h, lr_w = call.lr
        b, c, y, x = (0, 1, 2, 3) if call.layout == "nchw" else (0, 3, 1, 2)
        steps = out.stride(b), out.stride(c), out.stride(y), out.stride(x)
    else:
        coord, cell = call.coord.contiguous(), call.cell.contiguous()
        y0, x0, rows, cols = 0, 0, 1, coord.shape[1]
        lr_y0, lr_x0, (lr_h, lr_w) = 0, 0, fields.shape[1:3]
        steps = out.stride(0), out.stride(2), 0, out.stride(1)
    tile_rows, tile_cols = tile(configuration, rows)
    tiles_x = -(-cols // tile_cols)
    tiles = tiles_x * -(-rows // tile_rows)
    total = tiles * fields.shape[0]
    height, width = call.size
    wide = max((2 * height + 1) * lr_h + height, (2 * width + 1) * lr_w + width, total * tile_rows * tile_cols,
               2 * cols) >= INT32
    device = fields.device
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        for first in range(0, total, PROGRAMS):
            modulated_mlp_kernel[(min(PROGRAMS, total - first),)](
                fields, skip, out, coord, cell, weights,
                *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *steps,
                lr_h, lr_w, lr_y0, lr_x0, height, width, y0, x0, rows, cols, tiles, tiles_x, first,
                *(call.rel_cell if call.on_grid else (0.0, 0.0)),
                **constants(call, wide), TILE_ROWS=tile_rows, TILE_COLS=tile_cols,
                num_warps=configuration.warps, **COMPILED_WITH)


# Products and sums are fused where the kernel says so and nowhere else: bits then do not depend on what else a
# compilation knows, such as a stride of 1.
COMPILED_WITH = {"num_stages": 1, "enable_fp_fusion": False}


def tile(configuration, rows):
    """(rows, cols) of a tile, flatter where the window has fewer rows than it: its pixels stay as many."""
    tall = min(configuration.rows, _power_of_two(rows))
    return tall, configuration.rows * configuration.cols // tall


def constants(call, wide):
    """What the kernel is compiled for, beside its tile. wide: positions need int64."""
    import triton.language as tl

    spec, emulated = call.spec, availability.interpreting()
    hidden, half = spec.widths[0], spec.in_dim // 2
    types = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    return {
        "GRID": call.on_grid, "FOURIER": spec.head == "fourier", "ENSEMBLE": spec.ensemble,
        "UNIT": call.finish == "unit", "DEPTH": len(spec.widths), "HIDDEN": hidden,
        "HIDDEN_PADDED": max(16, _power_of_two(hidden)), "HALF": half, "HALF_PADDED": max(8, _power_of_two(half)),
        "TYPE": types[call.fields.dtype], "EMULATED": emulated, "WIDE": wide,
    }


def _power_of_two(n):
    """The smallest power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()
