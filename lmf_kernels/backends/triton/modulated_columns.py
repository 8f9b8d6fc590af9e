"""Launches `modulated_columns_kernel.py`, for grids in half types whose pixels share their cells."""

from contextlib import nullcontext
from typing import NamedTuple

import torch

from . import availability
from .arguments import COMPILED_WITH, extent, fits_int32
from ..native_call import dense

WIDTH, DEEPEST = 16, 8  # of a network with fragments in registers and its layers unrolled
LEAST_SCALE = 1  # rows of pixels for each LR row, from which it takes fewer instructions than the kernel per pixel
COLUMNS, INTERPRETED_COLUMNS = 8, 64  # of a program; the interpreter's time depends on the number of programs
MOST_TILES = 6
GRID_LIMIT = 65535  # programs along the grid's second and third axis
PROGRAMS = 4096  # enough for every GPU; with more, a program renders several rows of cells
COSTS = {"linear": (107, 71), "fourier": (283, 87)}  # instructions of a corner, and of a tile of it (fp16 on sm_90)


class Plan(NamedTuple):
    """How a window is divided."""

    tiles: int  # of two rows, that go through the network together
    first_pair: int  # the LR row before the window's first row
    pairs: int  # LR rows that have rows of the window after them
    band: int  # of these, how many a program renders


def fits(call):
    """Whether the kernel by columns renders the call. This depends on the whole picture and not on the window, so that
    a window has the bits of the whole."""
    spec = call.spec
    if not call.on_grid or not spec.ensemble or call.fields.dtype not in (torch.float16, torch.bfloat16):
        return False
    if torch.version.hip and not availability.interpreting():
        return False
    if set(spec.widths) != {WIDTH} or len(spec.widths) > DEEPEST or spec.head == "fourier" and spec.in_dim != WIDTH:
        return False
    _, _, h, w = call.lr
    if 0 in (h, w) or call.fields.shape[0] > GRID_LIMIT or h + 1 > GRID_LIMIT:
        return False
    return call.size[0] >= LEAST_SCALE * h and fits_int32((h, w), call.size)


def plan(call):
    """The Plan of a call that fits."""
    _, _, h, _ = call.lr
    height, (y0, _, rows, cols) = call.size[0], call.window
    tiles = tiles_of(height / h, call.spec.head)
    first, last = (((2 * row + 1) * h - height) // (2 * height) for row in (y0, y0 + rows - 1))
    pairs = last - first + 1
    columns = -(-cols // COLUMNS) * call.fields.shape[0]
    return Plan(tiles, first, pairs, max(1, min(4 // tiles, pairs * columns // PROGRAMS)))


def tiles_of(
    scale,  # output rows for each LR row
    head,
):
    """Tiles that go through the network together: those that cost least for the rows between two LR rows."""
    few = int(scale)
    share = scale - few  # of LR rows with a row more
    each, tile = COSTS[head]

    def cost(tiles):
        chunks = (1 - share) * -(-few // (2 * tiles)) + share * -(-(few + 1) // (2 * tiles))
        return chunks * (each + tile * tiles)

    return min(range(1, MOST_TILES + 1), key=cost)


def launch(
    call,
    out,  # call.output_shape(), call.dtype
):
    """Start the kernel on the current stream."""
    import triton.language as tl

    from .modulated_columns_kernel import modulated_columns_kernel

    call = aligned(dense(call))
    fields, skip, to = call.fields, call.skip, extent(call, out)
    parts = plan(call)
    (h, _, _, _), (height, width) = to.lr, to.size
    columns = INTERPRETED_COLUMNS if availability.interpreting() else COLUMNS
    grid = (-(-to.window[3] // columns), -(-parts.pairs // parts.band), fields.shape[0])
    device = fields.device
    with nullcontext() if device.type == "cpu" else torch.cuda.device(device):
        modulated_columns_kernel[grid](
            fields, skip, out, call.weights,
            *fields.stride()[:3], *((0, 0, 0, 0) if skip is None else skip.stride()), *to.steps,
            *to.lr, *to.size, *to.window, parts.first_pair, parts.pairs, parts.band, *to.rel_cell,
            1 / (2 * height), 1 / (2 * width), h / height,
            FOURIER=call.spec.head == "fourier", UNIT=call.epilogue == "unit", DEPTH=len(call.spec.widths),
            COLUMNS=columns, TILES=parts.tiles, UNROLLED=unrolled(parts.tiles, call.spec.head),
            TYPE=tl.float16 if fields.dtype == torch.float16 else tl.bfloat16, EMULATED=availability.interpreting(),
            num_warps=1, **COMPILED_WITH)


def unrolled(tiles, head):
    """Corners at a time. Two save addresses, and take registers: with two tiles some are spilled (sm_120)."""
    return 2 if tiles == 1 and head == "linear" else 1


def aligned(call):
    """The call with fields whose records begin at multiples of 32 bytes. Copies them if needed."""
    fields = call.fields
    if fields.data_ptr() % 32 == 0 and all(step % 16 == 0 for step in fields.stride()[:3]):
        return call
    return call._replace(fields=fields.clone(memory_format=torch.contiguous_format))
