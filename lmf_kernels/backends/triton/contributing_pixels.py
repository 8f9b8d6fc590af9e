"""Which output pixels a cell contributes to, in a fixed order. Used by the backward kernel.

On a grid they are a rectangle, which has a closed form. Points are sorted by cell instead.
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
    """The first output position with floor(u) >= k: ceil(((2 k + 1) n_out - n_in) / (2 n_in))."""
    num = tl.maximum((2 * k + 1) * n_out - n_in, 0)
    return (num + 2 * n_in - 1) // (2 * n_in)


@triton.jit
def contributing_range(
    cell,  # (rows,) int: a row or column of the LR map
    n_in,  # int scalar
    n_out,  # int scalar
    start,  # int scalar: the window's first position
    length,  # int scalar: number of positions in it
):
    """(first, count) of the window's positions that the cell contributes to along one axis: each (rows,).

    Beyond the outermost cell centres both corners of a position are the border cell. Such a position counts once, with
    the sum of both weights. The type of `cell` must hold (2 n_in + 1) n_out + 2 n_in.
    """
    n_in, n_out = n_in.to(cell.dtype), n_out.to(cell.dtype)
    start, length = start.to(cell.dtype), length.to(cell.dtype)
    low = tl.where(cell == 0, 0, first_position(cell - 1, n_in, n_out))
    high = tl.where(cell == n_in - 1, n_out, first_position(cell + 1, n_in, n_out))
    low = tl.maximum(low, start)
    return low, tl.maximum(tl.minimum(high, start + length) - low, 0)


@triton.jit
def grid_corner(
    position,  # (rows,) int: output rows or columns that `cell` contributes to
    cell,  # (rows,) int
    n_in,  # int scalar
    n_out,  # int scalar
):
    """(rel, weight, whether the cell is the nearest) of the position relative to the cell: each (rows,)."""
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
    """(cell y, cell x, rel y, rel x, skip weight, weight) of a query at a corner: each (rows,).

    skip weight: of the LR pixel in the skip. weight: of the network's value; without an ensemble it is 0 or 1.
    """
    query, corner = number // 4, number % 4
    axis_y = point_axis(tl.load(coord + 2 * query), lr_h)
    axis_x = point_axis(tl.load(coord + 2 * query + 1), lr_w)
    at_y, at_x, rel_y, rel_x, skip_weight = corner_of(corner, axis_y, axis_x)
    weight = skip_weight
    if not ENSEMBLE:
        nearest = ((corner // 2 == 1) == axis_y[6]) & ((corner % 2 == 1) == axis_x[6])
        weight = tl.where(nearest, 1.0, 0.0)
    return at_y, at_x, rel_y, rel_x, skip_weight, weight


@triton.jit(do_not_specialize=("lr_h", "lr_w", "queries", "total", "none"), do_not_specialize_on_alignment=("coord",))
def point_cells_kernel(
    coord,  # (B, Q, 2) float32
    cells,  # (4 * B * Q,) int64, output
    lr_h, lr_w,
    queries,  # Q
    total,  # 4 * B * Q
    none,  # stored where no cell contributes: the number of cells
    SKIP: tl.constexpr,  # corners that only the skip uses count too
    ENSEMBLE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Store the index, in the whole batch, of the cell at each corner of each query."""
    number = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = number < total
    number = tl.minimum(number, total - 1)
    at_y, at_x, _, _, skip_weight, weight = point_corner(coord, number, lr_h, lr_w, ENSEMBLE)
    contributes = weight != 0.0
    if SKIP:
        contributes = contributes | (skip_weight != 0.0)
    cell = ((number // 4 // queries) * lr_h + at_y) * lr_w + at_x
    tl.store(cells + number, tl.where(contributes, cell, none), mask=inside)
