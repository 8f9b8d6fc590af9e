"""The backend interface of `modulated_backward_kernel.py`: gradients of fields, weights and skip.

Never run on a GPU so far.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch

from . import availability
from .arguments import COMPILED_WITH, INT32, extent, network
from ..native_call import dense, refuse_gradients

PROGRAMS = 1024  # maximum per launch; each has a row of the weights' gradient, so the bits depend on this number
FULL = 0.85  # at least this fraction of a tile's rows should have a pixel
ROUNDS = 16  # up to so many tiles of a cell are summed in float32, more in float64
WIDEST, DEEPEST = 32, 12  # activations of larger networks do not fit into registers


def refuse(call, wanted):
    """None, or the reason why the kernel cannot compute the gradients named in `wanted`."""
    spec = call.spec
    if max(spec.widths[0], spec.in_dim) > WIDEST or len(spec.widths) > DEEPEST:
        return f"its backward takes layers up to {WIDEST} wide and depths up to {DEEPEST}, not {spec}"
    return refuse_gradients(wanted) or availability.refuse_ieee(call.fields.device)


def gradients(
    call,
    grad,  # like the call's output
    wanted,
):
    """Gradients of the tensors named in `wanted`, in their order and dtypes.

    Computed in IEEE float32; sums over many tiles are float64. The same call always gives the same bits. With other
    tensors in `wanted`, or another alignment in memory, a compiled kernel may sum a tile's rows in another order. Does
    not synchronize. Needs memory for 1024 float64 copies of the weights, and about 200 bytes per point to sort the
    corners of points by cell.
    """
    plan = tile_plan(call)
    batch, h, w, channels = call.fields.shape
    tensors = call.tensors()
    shapes = {"fields": (batch, h, w, channels), "skip": (batch, 3, h, w)}
    sums = torch.float64 if plan.rounds > ROUNDS else torch.float32
    found = {name: call.fields.new_empty(shape, dtype=sums) for name, shape in shapes.items() if name in wanted}
    if "weights" in wanted:
        found["weights"] = call.fields.new_zeros((plan.programs, call.weights.numel()), dtype=torch.float64)
    launch(call, grad, plan, **{f"to_{name}": target for name, target in found.items()})
    if "weights" in wanted:
        found["weights"] = found["weights"].sum(0)
    return [found[name].to(tensors[name].dtype) for name in wanted]


def launch(
    call,
    grad,  # like the call's output
    plan,  # from tile_plan
    to_fields=None,  # (B, h, w, C) contiguous
    to_skip=None,  # (B, 3, h, w) contiguous
    to_weights=None,  # (plan.programs, weight_count) float64 zeros
):
    """Fill the given tensors on the current stream. to_fields and to_skip are float32 or float64. Each program adds to
    its own row of to_weights."""
    from .modulated_backward_kernel import modulated_backward_kernel

    call = dense(call)
    fields, weights, to = call.fields, call.weights, extent(call, grad)
    batch, h, w, _ = fields.shape
    cells, device = batch * h * w, fields.device
    use_int64 = not to.fits_int32() or max(to.window[2] * to.window[3], cells + plan.group) >= INT32
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        order, starts, contributions = (None, None, None) if call.on_grid else sort_by_cell(call, to.coord)
        modulated_backward_kernel[(plan.programs,)](
            fields, grad, to.coord, to.cell, weights, order, starts, contributions, to_fields, to_skip, to_weights,
            *fields.stride()[:3], *to.steps, cells, h, w, *to.lr, *to.size, *to.window, plan.groups, weights.numel(),
            *to.rel_cell, **network(call), USE_INT64=use_int64, GROUP=plan.group, PIXELS=plan.pixels,
            num_warps=plan.warps, **COMPILED_WITH)


def sort_by_cell(
    call,
    coord,  # (B, Q, 2) contiguous
):
    """(order (cells,), starts (cells + 1,), contributions (4 * B * Q,)), int64: see the kernel.

    The contributions of a cell are in the order of the call. Cells are ordered by falling number of contributions, so
    that all cells of a tile have a similar number.
    """
    from .contributing_pixels import point_cells_kernel

    batch, h, w, _ = call.fields.shape
    cells, total, block = batch * h * w, 4 * coord.shape[0] * coord.shape[1], 256
    cell_of = torch.empty(total, dtype=torch.int64, device=coord.device)
    point_cells_kernel[(-(-total // block),)](
        coord, cell_of, h, w, coord.shape[1], total, cells, call.skip is not None, call.spec.ensemble, block,
        **COMPILED_WITH)
    cell_of, contributions = torch.sort(cell_of, stable=True)
    starts = torch.searchsorted(cell_of, torch.arange(cells + 1, device=coord.device))
    order = torch.sort(starts[1:] - starts[:-1], stable=True, descending=True).indices
    return order, starts, contributions


class TilePlan(NamedTuple):
    """How a call is split into tiles."""

    group: int  # cells of a tile
    pixels: int  # contributing pixels of each cell in a tile
    warps: int
    groups: int  # number of groups of cells
    programs: int
    rounds: float  # approximate number of tiles per group


def tile_plan(call):
    """The TilePlan of a call, with tiles as full as possible."""
    size, warps = tile_size(call.spec)
    batch, h, w, _ = call.fields.shape
    if call.on_grid:
        _, _, lr_h, lr_w = call.lr
        per_cell = max(1, -(-2 * call.size[0] // lr_h)) * max(1, -(-2 * call.size[1] // lr_w))  # away from the borders
        pixels = next(n for n in _powers(size) if n == 1 or per_cell / (-(-per_cell // n) * n) >= FULL)
    else:
        per_cell = 4 * call.coord.shape[1] / (h * w)  # on average
        pixels = next(n for n in _powers(size) if n == 1 or 2 * n <= per_cell)
    group = size // pixels
    groups = -(-batch * h * w // group)
    return TilePlan(group, pixels, warps, groups, min(groups, PROGRAMS), per_cell / pixels)


def tile_size(spec):
    """(rows of a tile, warps) with which every layer's sums stay in registers (tests/test_triton_compiled.py)."""
    if availability.interpreting():
        return 256, 4  # its time depends on the number of programs, not rows
    if max(spec.widths[0], spec.in_dim) > 16:
        return 16, 8
    return (64 if spec.head == "linear" else 32), 8


def _powers(most):
    """Powers of two, from the largest <= `most` down to 1."""
    return [1 << n for n in range(most.bit_length() - 1, -1, -1)]
