"""Slices: the output pixels of one low-resolution (LR) cell that DIIF and DLTE compute together (arXiv 2306.12321).

A cell owns the output positions nearest to its centre, on each axis `ceil(j r - 1/2) .. ceil((j + 1) r - 1/2) - 1` with
r = out / in; an exact tie between two cells goes to the second. Inside a cell `rel`, the position seen from the cell's
centre in half cells, runs over [-1, 1] in steps of `2 / r`. Linear-order slicing makes one row of a cell a slice,
constant-order slicing the whole cell.

The published code evaluates every cell on as many positions as the largest cell owns, so the last coordinate of a
slice that the network sees is `first + (ceil(r) - 1) * 2 / r`, also where the cell owns fewer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .geometry import grid_queries


class SliceAxis(NamedTuple):
    """One axis of a window of the output: n positions, owned by m neighbouring cells."""

    low: int  # the first of the cells, an index into the part of the map that the fields hold
    owners: Tensor  # (n,) int64: each position's cell, counted from `low`
    rels: Tensor  # (n,) float: 2 * (u - cell)
    firsts: Tensor  # (m,) float: rel of the first position that each cell owns
    length: float  # rel of a slice's last position less that of its first
    cell: float  # size of an output pixel in half cells, as the network sees it
    skip_cells: tuple[Tensor, ...]  # 2 int64 and 2 float, the bilinear sample of the LR skip as in geometry.Axis
    skip_weights: tuple[Tensor, ...]

    @property
    def count(self):
        """Number of cells, m."""
        return self.firsts.shape[0]


class Slices(NamedTuple):
    """The slices of a window of an output grid, with the names that `skip.bilinear` reads."""

    on_grid: bool
    shape: tuple[int, int]  # (rows, cols)
    y: SliceAxis
    x: SliceAxis
    slicing: str = "linear"  # "linear": a row of a cell is a slice; "constant": the whole cell
    ensemble: bool = True  # slices are seen from the cell's four vertices, else from its centre


def grid_slices(lr_size, size, *, slicing="linear", ensemble=True, limit_cell=True, cell=None, window=None,
                lr_origin=(0, 0), dtype=torch.float32, device=None):
    """The slices of an output grid.

    lr_size: (h, w) of the whole LR picture. size: (H, W) of the whole output. slicing, ensemble: as in `Slices`.
    limit_cell: the cell that the network sees stops falling at 1/2, that is at x4, the largest scale in training (DIIF;
    DLTE has no such limit). cell: None for that rule, else (cell_y, cell_x) times (h, w), as floats. window: (y0, x0,
    rows, cols), the part of the output to render; None for all. lr_origin: (y, x) of the first row and column of the
    map that the fields hold; the LR skip begins one pixel before. dtype: of the real numbers, at least float32.
    """
    queries = grid_queries(lr_size, size, ensemble=False, window=window, dtype=dtype, device=device,
                           lr_origin=tuple(max(origin - 1, 0) for origin in lr_origin))
    y0, x0, rows, cols = window if window is not None else (0, 0, *size)
    axes = []
    for queried, n_in, n_out, first, count, origin, given in zip(
            (queries.y, queries.x), lr_size, size, (y0, x0), (rows, cols), lr_origin, cell or (None, None)):
        step = 2 * n_in / n_out
        seen = (max(step, 0.5) if limit_cell else step) if given is None else given
        axes.append(_axis(n_in, n_out, first, count, origin, step, seen, queried))
    return Slices(True, (rows, cols), *axes, slicing, ensemble)


def seen_cell(cell, features):
    """`cell` of a decode, (cell_y, cell_x) or None, as `grid_slices` takes it."""
    return None if cell is None else tuple(c * n for c, n in zip(cell, features.shape[-2:]))


def owner(position, n_in, n_out):
    """The cell that owns an output position, an integer or a tensor of integers."""
    return (2 * position + 1) * n_in // (2 * n_out)


def first_position(cell, n_in, n_out):
    """The first output position that a cell owns; that of cell n_in is n_out. Integers or tensors of integers."""
    return -((n_in - 2 * cell * n_out) // (2 * n_in))


def largest_count(n_in, n_out):
    """Number of positions that the largest cell owns: ceil(n_out / n_in)."""
    return -(-n_out // n_in)


def rel(position, cell, n_in, n_out):
    """2 * (u - cell) of an output position, correctly rounded, float64. Tensors of integers."""
    return ((2 * position + 1) * n_in - n_out - 2 * cell * n_out).to(torch.float64) / n_out


def slice_length(n_in, n_out):
    """Distance in half cells between the first and the last position of a slice as large as the largest."""
    return (largest_count(n_in, n_out) - 1) * 2 * n_in / n_out


def _axis(n_in, n_out, first, count, origin, step, seen, queried):
    positions = torch.arange(first, first + count, device=queried.rel_cell.device)
    low, high = (owner(position, n_in, n_out) for position in (first, first + max(count, 1) - 1))
    cells = torch.arange(low, high + 1, device=positions.device)
    owners = owner(positions, n_in, n_out)
    dtype = queried.rel_cell.dtype
    return SliceAxis(
        low=low - origin, owners=owners - low, rels=rel(positions, owners, n_in, n_out).to(dtype),
        firsts=rel(first_position(cells, n_in, n_out), cells, n_in, n_out).to(dtype),
        length=slice_length(n_in, n_out), cell=seen,
        skip_cells=queried.skip_cells, skip_weights=queried.skip_weights)
