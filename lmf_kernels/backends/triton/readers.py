"""The way back from cells to pixels: who reads a cell, in a fixed order. csrc/cpu/readers.h in Triton.

On a grid a cell's readers are the pixels of a rectangle, which has a formula; points are sorted by the cells that
they read.
"""

import triton
import triton.language as tl

from .geometry import corner_of, grid_axis, point_axis


@triton.jit
def first_position(
    k,  # int
    n_in,  # int scalar: LR cells
    n_out,  # int scalar: output pixels of the whole picture
):
    """The first output position whose floor(u) is at least k: the rounded up ((2 k + 1) n_out - n_in) / (2 n_in)."""
    num = tl.maximum((2 * k + 1) * n_out - n_in, 0)
    return (num + 2 * n_in - 1) // (2 * n_in)


@triton.jit
def grid_readers(
    cell,  # (rows,) int: a row or column of the LR map
    n_in,  # int scalar
    n_out,  # int scalar
    start,  # int scalar: the window's first position
    length,  # int scalar: its positions
):
    """(first, count) of the window's positions that read the cell along one axis: each (rows,).

    Beyond the outermost centres both of a position's corners are the border cell: it reads that cell once here, with
    both weights. The type of `cell` must hold (2 n_in + 1) n_out + 2 n_in.
    """
    n_in, n_out = n_in.to(cell.dtype), n_out.to(cell.dtype)
    start, length = start.to(cell.dtype), length.to(cell.dtype)
    low = tl.where(cell == 0, 0, first_position(cell - 1, n_in, n_out))
    high = tl.where(cell == n_in - 1, n_out, first_position(cell + 1, n_in, n_out))
    low = tl.maximum(low, start)
    return low, tl.maximum(tl.minimum(high, start + length) - low, 0)


@triton.jit
def grid_corner(
    position,  # (rows,) int: output rows or columns that read `cell`
    cell,  # (rows,) int
    n_in,  # int scalar
    n_out,  # int scalar
):
    """(rel, weight, whether the cell is the nearest) of the position in the cell: each (rows,)."""
    cell0, cell1, rel0, rel1, weight0, weight1, second = grid_axis(position, n_in, n_out)
    is0, is1 = cell0 == cell, cell1 == cell
    weight = tl.where(is0, weight0, 0.0) + tl.where(is1, weight1, 0.0)
    return tl.where(is0, rel0, rel1), weight, (is1 & second) | (is0 & (second == 0))


@triton.jit
def point_corner(
    coord,  # (B * Q, 2) float32
    number,  # (rows,) int64: 4 * query + corner
    lr_h,  # int scalar
    lr_w,  # int scalar
    ENSEMBLE: tl.constexpr,
):
    """(cell y, cell x, rel y, rel x, weight, share) of a query at a corner: each (rows,).

    weight: of the LR pixel in the skip; share: of the network's value.
    """
    query, corner = number // 4, number % 4
    axis_y = point_axis(tl.load(coord + 2 * query), lr_h)
    axis_x = point_axis(tl.load(coord + 2 * query + 1), lr_w)
    at_y, at_x, rel_y, rel_x, weight = corner_of(corner, axis_y, axis_x)
    share = weight
    if not ENSEMBLE:
        nearest = ((corner // 2 == 1) == axis_y[6]) & ((corner % 2 == 1) == axis_x[6])
        share = tl.where(nearest, 1.0, 0.0)
    return at_y, at_x, rel_y, rel_x, weight, share


@triton.jit(do_not_specialize=("lr_h", "lr_w", "queries", "total", "none"), do_not_specialize_on_alignment=("coord",))
def point_cells_kernel(
    coord,  # (B, Q, 2) float32
    cells,  # (4 * B * Q,) int64, the result
    lr_h, lr_w,
    queries,  # Q
    total,  # 4 * B * Q
    none,  # the number of cells: what those get that read nothing
    SKIP: tl.constexpr,  # a corner that only the skip reads counts
    ENSEMBLE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The cell, counted through the batch, that each query reads at each corner."""
    number = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = number < total
    number = tl.minimum(number, total - 1)
    at_y, at_x, _, _, weight, share = point_corner(coord, number, lr_h, lr_w, ENSEMBLE)
    reads = share != 0.0
    if SKIP:
        reads = reads | (weight != 0.0)
    cell = ((number // 4 // queries) * lr_h + at_y) * lr_w + at_x
    tl.store(cells + number, tl.where(reads, cell, none), mask=inside)
