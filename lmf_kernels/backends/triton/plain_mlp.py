"""The backend interface of `plain_kernel.py`. Never run on a GPU so far."""

import torch

from . import dense_launch
from .arguments import COMPILED_WITH, INT32, extent
from .dense_weights import pack
from .modulated_mlp import scale, tile
from .. import packed_weights
from ..native_call import dense
from ...families import PLAIN_MLP

FLAT = 3.0  # from this output scale on, a tile is flat


def can_run(call):
    """None, or the reason why this kernel cannot run the call."""
    return refuse_shape(call.spec) or dense_launch.refuse(call, widths(call.spec))


def refuse_shape(spec):
    """The reason why the kernel does not support this render MLP, or None."""
    if not spec.widths:
        return "the network has no hidden layer, the kernel is built for one or more"
    return dense_launch.refuse_widths(widths(spec))


def widths(spec):
    """Widths of the Fourier product, if there is one, and of all hidden layers."""
    return (spec.in_dim, *spec.widths)


def run(call):
    """Render into a new tensor, on the current stream of the fields' device.

    float32 fields are computed in IEEE float32, half fields on tensor cores with float32 accumulation. The
    packed weights, 128 KB per layer of 256 halves, are kept with the weights.
    """
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    launch(call, out, dense_launch.configuration(call, scale(call) > FLAT))
    return out


def kept(
    weights,  # of the call as it came
    call,  # from `dense`
):
    """The Packed weights of a call, made now or before."""
    element = call.fields.dtype
    return packed_weights.get(weights, (__name__, call.spec, element), lambda: packed(call.spec, call.weights, element))


def packed(
    spec,
    weights,  # (weight_count,) contiguous
    element,  # dtype of the fields
):
    """The dense_weights.Packed weights. The table begins with rel and cell, or with the phase."""
    pieces = PLAIN_MLP.unpack_weights(spec, weights)
    count = 1 if spec.head == "fourier" else 2
    layers = list(zip(pieces[count::2], pieces[count + 1::2]))
    width = dense_launch.padded_width(widths(spec), spec.head == "fourier")
    return pack(width, element, pieces[:count], layers, halves=spec.head == "fourier")


def launch(
    call,
    out,  # call.output_shape(), call.dtype
    configuration,
):
    """Start the kernel on the current stream."""
    from .plain_kernel import plain_mlp_kernel

    weights, call = call.weights, dense(call)
    fields, skip, to = call.fields, call.skip, extent(call, out)
    rows, cols = to.window[2:]
    tile_rows, tile_cols = tile(configuration, rows)
    tiles_x = -(-cols // tile_cols)
    tiles = tiles_x * -(-rows // tile_rows)
    total = tiles * fields.shape[0]
    use_int64 = not to.fits_int32() or max(total * tile_rows * tile_cols, 2 * cols) >= INT32
    with dense_launch.on_device(fields.device):
        matrices, table = kept(weights, call) if total else (None, None)
        for first, count in dense_launch.launches(total):
            plain_mlp_kernel[(count,)](
                fields, skip, out, to.coord, to.cell, matrices, table,
                *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *to.steps,
                *to.lr, *to.size, *to.window, tiles, tiles_x, first, 0, *to.rel_cell,
                **constants(call, use_int64), TILE_ROWS=tile_rows, TILE_COLS=tile_cols,
                num_warps=configuration.warps, **COMPILED_WITH)


def constants(call, use_int64):
    """The kernel's compile-time constants, except its tile. use_int64: positions need int64."""
    spec = call.spec
    fourier = spec.head == "fourier"
    width = dense_launch.padded_width(widths(spec), fourier)
    return {**dense_launch.constants(call, width, spec.in_dim if fourier else spec.widths[0]),
            "GRID": call.on_grid, "ENSEMBLE": spec.ensemble, "LAYERS": len(spec.widths) - (not fourier),
            "USE_INT64": use_int64}
