"""The backend interface of `c2f_kernel.py`. Never run on a GPU so far."""

import torch
from python_ref import slices

from . import availability, dense_launch
from .arguments import COMPILED_WITH, INT32, extent
from .configurations import Configuration
from .dense_weights import pack
from .. import packed_weights
from ..native_call import dense
from ...families import C2F_MLP


def can_run(call):
    """None, or the reason why this kernel cannot run the call."""
    if call.mask is not None:
        return "it renders all cells, not those of a mask"
    return dense_launch.refuse(call, widths(call.spec))


def refuse_shape(spec):
    """The reason why the kernel does not support this network, or None."""
    return dense_launch.refuse_widths(widths(spec))


def widths(spec):
    """Widths of the Fourier product, if there is one, and of all hidden layers."""
    return (spec.in_dim, *spec.coarse, *spec.fine)


def run(call):
    """Render into a new tensor, on the current stream of the fields' device.

    float32 fields are computed in IEEE float32, half fields on tensor cores with float32 accumulation. The
    packed weights, 128 KB per layer of 256 halves, are kept with the weights.
    """
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    launch(call, out, configuration_of(call))
    return out


def configuration_of(call):
    """The Configuration of a program's tile: one row of slices. Chosen like `dense_launch.configuration`."""
    if availability.interpreting():
        return Configuration(1, 256, 4)
    return Configuration(1, 32, 8)


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
    """The dense_weights.Packed weights. The table begins with info, or the phase, and fine layer 0's rows on rel."""
    head, *rest = C2F_MLP.unpack_weights(spec, weights)
    layers = list(zip(rest[::2], rest[1::2]))
    number = coarse_layers(spec)
    matrix, bias = layers[number]
    layers[number] = matrix[:-2], bias
    fourier = spec.head == "fourier"
    width = dense_launch.padded_width(widths(spec), fourier)
    return pack(width, element, [head, matrix[-2:]], layers, halves=fourier)


def coarse_layers(spec):
    """Number of coarse layers after the head."""
    return len(spec.coarse) - (spec.head == "linear")


def launch(
    call,
    out,  # call.output_shape(), call.dtype
    configuration,
):
    """Start the kernel on the current stream."""
    from .c2f_kernel import c2f_mlp_kernel

    weights, call = call.weights, dense(call)
    fields, skip, to = call.fields, call.skip, extent(call, out)
    (lr_h, lr_w), (height, width), (_, x0, rows, cols) = to.lr[:2], to.size, to.window
    if not out.numel():
        return
    left = slices.owner(x0, lr_w, width)
    cells = slices.owner(x0 + cols - 1, lr_w, width) + 1 - left
    pixels = min(cols, slices.largest_count(lr_w, width))
    tile = configuration.rows * configuration.cols
    tiles = -(-rows * cells // tile)
    total = tiles * fields.shape[0]
    use_int64 = not to.fits_int32() or total * tile >= INT32
    lengths = slices.slice_length(lr_h, height), slices.slice_length(lr_w, width)
    with dense_launch.on_device(fields.device):
        matrices, table = kept(weights, call)
        for first, count in dense_launch.launches(total):
            c2f_mlp_kernel[(count,)](
                fields, skip, out, matrices, table,
                *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *to.steps,
                *to.lr, *to.size, *to.window, left, cells, pixels, tiles, first, 0,
                *C2F_MLP.seen_cell(call), *lengths,
                **constants(call, use_int64), TILE=tile, num_warps=configuration.warps, **COMPILED_WITH)


def constants(call, use_int64):
    """The kernel's compile-time constants, except its tile. use_int64: positions need int64."""
    spec = call.spec
    fourier = spec.head == "fourier"
    width = dense_launch.padded_width(widths(spec), fourier)
    return {**dense_launch.constants(call, width, spec.in_dim if fourier else spec.coarse[0]),
            "LINEAR_SLICES": spec.slicing == "linear", "SIDES": 1 + spec.slice_ensemble, "COARSE": coarse_layers(spec),
            "FINE": len(spec.fine) - 1, "USE_INT64": use_int64}
