"""`modulated_backward_kernel.py` behind the backend interface: gradients of fields, weights and skip.

Never run on a GPU so far.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch

from . import availability
from .arguments import COMPILED_WITH, INT32, dense, extent, network
from ..native_call import refuse_gradients

PROGRAMS = 1024  # of a launch, at most: each has a row of the weights' gradient, and the bits go by their number
FULL = 0.85  # of a tile's rows should have a reader
ROUNDS = 16  # as many tiles of a cell are added in float32, more in float64
WIDEST, DEEPEST = 32, 12  # beyond, what the layers saw does not fit the registers


def refuse(call, wanted):
    """None, or in words why the kernel cannot make the gradients named in `wanted`."""
    spec = call.spec
    if max(spec.widths[0], spec.in_dim) > WIDEST or len(spec.widths) > DEEPEST:
        return f"its backward takes layers up to {WIDEST} wide and depths up to {DEEPEST}, not {spec}"
    return refuse_gradients(wanted) or availability.refuse_ieee(call.fields.device)


def gradients(
    call,
    grad,  # like the call's output
    wanted,
):
    """Gradients of the tensors named in `wanted`, in their order and of their types.

    Computed in IEEE float32; sums over many tiles are float64. The same call gives the same bits every time; with
    other tensors in `wanted`, or at another alignment in memory, a compiled kernel may sum a tile's rows in another
    order. Nothing is waited for. Beside the gradients it takes what 1024 float64 copies of the weights do, and for
    points some 200 bytes each to sort their corners by cell.
    """
    cut = cut_of(call)
    batch, h, w, channels = call.fields.shape
    tensors = call.tensors()
    shapes = {"fields": (batch, h, w, channels), "skip": (batch, 3, h, w)}
    sums = torch.float64 if cut.rounds > ROUNDS else torch.float32
    found = {name: call.fields.new_empty(shape, dtype=sums) for name, shape in shapes.items() if name in wanted}
    if "weights" in wanted:
        found["weights"] = call.fields.new_zeros((cut.programs, call.weights.numel()), dtype=torch.float64)
    launch(call, grad, cut, **{f"to_{name}": target for name, target in found.items()})
    if "weights" in wanted:
        found["weights"] = found["weights"].sum(0)
    return [found[name].to(tensors[name].dtype) for name in wanted]


def launch(
    call,
    grad,  # like the call's output
    cut,
    to_fields=None,  # (B, h, w, C) contiguous
    to_skip=None,  # (B, 3, h, w) contiguous
    to_weights=None,  # (cut.programs, weight_count) float64 zeros
):
    """Fill what is given, on the current stream: fields and skip as float32 or float64, each program its own row of
    to_weights."""
    from .modulated_backward_kernel import modulated_backward_kernel

    call = dense(call)
    fields, weights, to = call.fields, call.weights, extent(call, grad)
    batch, h, w, _ = fields.shape
    cells, device = batch * h * w, fields.device
    wide = not to.fits_int32() or max(to.window[2] * to.window[3], cells + cut.group) >= INT32
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        order, starts, readers = (None, None, None) if call.on_grid else sorted_readers(call, to.coord)
        modulated_backward_kernel[(cut.programs,)](
            fields, grad, to.coord, to.cell, weights, order, starts, readers, to_fields, to_skip, to_weights,
            *fields.stride()[:3], *to.steps, cells, h, w, *to.lr, *to.size, *to.window, cut.groups, weights.numel(),
            *to.rel_cell, **network(call), WIDE=wide, GROUP=cut.group, READERS=cut.each, num_warps=cut.warps,
            **COMPILED_WITH)


def sorted_readers(
    call,
    coord,  # (B, Q, 2) contiguous
):
    """(order (cells,), starts (cells + 1,), readers (4 * B * Q,)), int64: see the kernel.

    Readers of a cell are in the order of the call; cells come by falling number of readers, so that those of a tile
    have about as many.
    """
    from .readers import point_cells_kernel

    batch, h, w, _ = call.fields.shape
    cells, total, block = batch * h * w, 4 * coord.shape[0] * coord.shape[1], 256
    read = torch.empty(total, dtype=torch.int64, device=coord.device)
    point_cells_kernel[(-(-total // block),)](
        coord, read, h, w, coord.shape[1], total, cells, call.skip is not None, call.spec.ensemble, block,
        **COMPILED_WITH)
    read, readers = torch.sort(read, stable=True)
    starts = torch.searchsorted(read, torch.arange(cells + 1, device=coord.device))
    order = torch.sort(starts[1:] - starts[:-1], stable=True, descending=True).indices
    return order, starts, readers


class Cut(NamedTuple):
    """How a call is cut into tiles."""

    group: int  # cells of a tile
    each: int  # readers of each
    warps: int
    groups: int  # of cells
    programs: int
    rounds: float  # tiles in a row that a group takes, about


def cut_of(call):
    """The Cut of a call: tiles as full as may be."""
    size, warps = tile_size(call.spec)
    batch, h, w, _ = call.fields.shape
    if call.on_grid:
        _, _, lr_h, lr_w = call.lr
        readers = max(1, -(-2 * call.size[0] // lr_h)) * max(1, -(-2 * call.size[1] // lr_w))  # inside the picture
        each = next(n for n in _powers(size) if n == 1 or readers / (-(-readers // n) * n) >= FULL)
    else:
        readers = 4 * call.coord.shape[1] / (h * w)  # in the mean
        each = next(n for n in _powers(size) if n == 1 or 2 * n <= readers)
    group = size // each
    groups = -(-batch * h * w // group)
    return Cut(group, each, warps, groups, min(groups, PROGRAMS), readers / each)


def tile_size(spec):
    """(rows of a tile, warps) with which every layer's sums stay in registers (tests/test_triton_compiled.py)."""
    if availability.interpreting():
        return 256, 4  # its time goes by programs, not rows
    if max(spec.widths[0], spec.in_dim) > 16:
        return 16, 8
    return (64 if spec.head == "linear" else 32), 8


def _powers(most):
    """Powers of two, from the largest that is not above `most` down to 1."""
    return [1 << n for n in range(most.bit_length() - 1, -1, -1)]
