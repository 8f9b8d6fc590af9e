"""Where a query falls on the low-resolution (LR) map: one rule for every model, used everywhere.

Row `Y` of an output `H` rows high lies at `u = (Y + 1/2) * h / H - 1/2` in LR index units (half-pixel centres), a
free coordinate `y` in [-1, 1] at `u = ((y + 1) * h - 1) / 2`; columns alike. Per axis the local ensemble (LIIF, arXiv
2012.09161, section 3) reads the cells `floor(u)` and `floor(u) + 1`, clamped to the map, with weights `1 - f` and `f`,
`f = u - floor(u)` (u not clamped), and the network sees `rel = 2 * (u - cell)`. Without the ensemble the cell is
`floor(u + 1/2)`, clamped.

On a grid, u is a ratio of integers: everything that depends on a rounding direction is integer arithmetic, so that
every size is exact, and the two axes stay apart, so that no (H * W, 2) tensor exists.
"""

from typing import NamedTuple

import torch
from torch import Tensor

TRAINED_SCALE = 4  # the largest scale in the papers' training; rel_cell stops falling there (see upscale_cell)


class Axis(NamedTuple):
    """One axis of all queries. Tensors broadcast to the queries' shape; K = 2 with the local ensemble, 1 without."""

    cells: tuple[Tensor, ...]  # K int64: the cell of each corner, an index into the LR window that the fields hold
    rels: tuple[Tensor, ...]  # K float: 2 * (u - cell), the query seen from the cell's centre, in half cells
    weights: tuple[Tensor, ...]  # K float: the weight of each corner; they sum to 1
    skip_cells: tuple[Tensor, ...]  # 2 int64: the neighbours of a bilinear sample, whatever the ensemble
    skip_weights: tuple[Tensor, ...]  # 2 float
    rel_cell: Tensor  # float: the size of a query's pixel, in half cells (LIIF, section 3, cell decoding)


class Queries(NamedTuple):
    """All queries of one render. On a grid `y` is (rows, 1) and `x` is (1, cols); for points both are (B, Q)."""

    on_grid: bool
    shape: tuple[int, int]  # (rows, cols) on a grid, (B, Q) for points
    y: Axis
    x: Axis

    def corners(self):
        """(ky, kx) of every corner, in the order in which they are summed: (0,0), (0,1), (1,0), (1,1)."""
        return [(ky, kx) for ky in range(len(self.y.cells)) for kx in range(len(self.x.cells))]

    def weight(self, ky, kx):
        """Weight of corner (ky, kx), broadcastable to (*shape, channels)."""
        return (self.y.weights[ky] * self.x.weights[kx])[..., None]


def upscale_cell(n_in, n_out):
    """Cell for upscaling `n_in` pixels to `n_out` along one axis, in coordinate units (the whole axis is 2).

    `2 / n_out * max(n_out / n_in / 4, 1)`: the size of an output pixel, never below what training has seen (x4).
    """
    return 2 / n_out * torch.sym_max(n_out / n_in / TRAINED_SCALE, 1.0)  # max, also where torch traces sizes


def grid_queries(lr_size, size, *, ensemble=True, rel_cell=None, window=None, lr_origin=(0, 0),
                 dtype=torch.float32, device=None):
    """Queries of an output grid.

    lr_size: (h, w) of the whole LR map. size: (H, W) of the whole output. rel_cell: None for the upscale rule, else
    (rel_cell_y, rel_cell_x), that is cell * (h, w), as floats. window: (y0, x0, rows, cols), the part of the output to
    render; None for all. lr_origin: (y, x) of the first LR pixel that the fields hold. dtype: of the real numbers, at
    least float32. The fields must hold every cell that a query touches. Raises ValueError for sizes below 1 and for a
    window that leaves the output.
    """
    y0, x0, rows, cols = window if window is not None else (0, 0, *size)
    if min(*lr_size, *size) < 1:
        raise ValueError(f"LR size {tuple(lr_size)} to output size {tuple(size)}: every side must be 1 or more.")
    if min(y0, x0, rows, cols) < 0 or y0 + rows > size[0] or x0 + cols > size[1]:
        raise ValueError(f"window {tuple(window)} (y0, x0, rows, cols) must lie inside the output {tuple(size)}.")
    if rel_cell is None:
        rel_cell = [upscale_cell(n_in, n_out) * n_in for n_in, n_out in zip(lr_size, size)]
    dtype = torch.promote_types(dtype, torch.float32)
    y = _grid_axis(lr_size[0], size[0], y0, rows, ensemble, rel_cell[0], lr_origin[0], (rows, 1), dtype, device)
    x = _grid_axis(lr_size[1], size[1], x0, cols, ensemble, rel_cell[1], lr_origin[1], (1, cols), dtype, device)
    return Queries(True, (rows, cols), y, x)


def point_queries(coord, cell, lr_size, *, ensemble=True, lr_origin=(0, 0)):
    """Queries at free coordinates.

    coord: (B, Q, 2), (y, x) in [-1, 1] over the whole map. cell: (B, Q, 2) or broadcastable, the size of each query's
    pixel in the same units. lr_size, lr_origin: as in `grid_queries`. Differentiable in both. The numbers come out in
    the inputs' dtype, at least float32; between, float64, so that a float32 coordinate costs its own rounding only.
    """
    dtype = torch.promote_types(torch.promote_types(coord.dtype, cell.dtype), torch.float32)
    coord, cell = coord.to(dtype), cell.to(dtype)
    y, x = (_point_axis(coord[..., i], cell[..., i], lr_size[i], ensemble, lr_origin[i]) for i in (0, 1))
    return Queries(False, tuple(coord.shape[:2]), y, x)


def grid_coord(size, *, dtype=torch.float32, device=None):
    """Coordinates (1, H * W, 2) of an output grid's pixel centres, (y, x) in [-1, 1], row by row."""
    y, x = (((2 * torch.arange(n, device=device) + 1 - n).to(torch.float64) / n).to(dtype) for n in size)
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).view(1, -1, 2)


def grid_cell(lr_size, size, *, dtype=torch.float32, device=None):
    """Cells (1, H * W, 2) that go with `grid_coord` when an (h, w) map is upscaled to (H, W): the upscale rule."""
    cell = torch.tensor([upscale_cell(*axis) for axis in zip(lr_size, size)], dtype=dtype, device=device)
    return cell.expand(1, size[0] * size[1], 2)


def gather(
    maps,  # (B, h, w, C)
    queries,
    ky, kx,
):
    """Read the LR map at corner (ky, kx) of every query: (B, *queries.shape, C)."""
    return _take(maps, queries, queries.y.cells[ky], queries.x.cells[kx])


def gather_skip(
    maps,  # (B, h, w, C)
    queries,
    ky, kx,
):
    """Read the LR map at neighbour (ky, kx) of every bilinear sample: (B, *queries.shape, C)."""
    return _take(maps, queries, queries.y.skip_cells[ky], queries.x.skip_cells[kx])


def _take(maps, queries, rows, cols):
    if queries.on_grid:
        return maps.index_select(1, rows.flatten()).index_select(2, cols.flatten())
    batch = torch.arange(maps.shape[0], device=maps.device)[:, None]
    return maps[batch, rows, cols]


def _grid_axis(n_in, n_out, first, count, ensemble, rel_cell, origin, shape, dtype, device):
    numerator = (2 * torch.arange(first, first + count, device=device) + 1) * n_in - n_out  # u = numerator / (2 n_out)
    denominator = 2 * n_out
    low = torch.div(numerator, denominator, rounding_mode="floor")
    rest = numerator - low * denominator  # the fraction f of u, times the denominator

    def real(integers, divisor):  # one correctly rounded division
        return (integers.to(torch.float64) / divisor).to(dtype).view(shape)

    def clamp(index):
        return index.clamp(0, n_in - 1)

    neighbours = (low, low + 1)
    neighbour_weights = (real(denominator - rest, denominator), real(rest, denominator))
    if ensemble:
        chosen, weights = neighbours, neighbour_weights
    else:
        chosen = (torch.div(numerator + n_out, denominator, rounding_mode="floor"),)
        weights = (torch.ones(shape, dtype=dtype, device=device),)
    return Axis(
        cells=tuple(clamp(k).view(shape) - origin for k in chosen),
        rels=tuple(real(numerator - clamp(k) * denominator, n_out) for k in chosen),
        weights=weights,
        skip_cells=tuple(clamp(k).view(shape) - origin for k in neighbours),
        skip_weights=neighbour_weights,
        rel_cell=torch.full((), rel_cell, dtype=dtype, device=device),
    )


def _point_axis(coord, cell, n_in, ensemble, origin):
    u = ((coord.to(torch.float64) + 1) * n_in - 1) / 2
    low = u.detach().floor()
    fraction = u - low

    def clamp(index):  # a NaN coordinate has some cell, its rel stays NaN
        return index.nan_to_num(0).clamp(0, n_in - 1)

    neighbours, neighbour_weights = (low, low + 1), ((1 - fraction).to(coord.dtype), fraction.to(coord.dtype))
    if ensemble:
        chosen, weights = neighbours, neighbour_weights
    else:
        chosen, weights = ((u.detach() + 0.5).floor(),), (torch.ones_like(coord),)
    return Axis(
        cells=tuple(clamp(k).long() - origin for k in chosen),
        rels=tuple((2 * (u - clamp(k))).to(coord.dtype) for k in chosen),
        weights=weights,
        skip_cells=tuple(clamp(k).long() - origin for k in neighbours),
        skip_weights=neighbour_weights,
        rel_cell=cell * n_in,
    )
