"""How the papers' code places its queries: coordinate tensors, nearest-neighbour corners, weights by area.

Kept as published (`query_rgb` of LIIF, arXiv 2012.09161, section 3; `query_rgb_fast` of LMF, arXiv 2404.16451), float
noise included: the corner of a query is the cell nearest to the query moved by half a cell, and each corner weighs the
area of the rectangle between the query and the diagonally opposite corner. `geometry` computes the same without the
noise.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TIE_SHIFT = 1e-6  # moves every corner off the exact border between two cells, and keeps it inside the map
AREA_GUARD = 1e-9  # keeps the areas' sum off zero
CHUNK = 3840 * 2160 // 2  # queries rendered at a time, as the LMF code does


class Position(NamedTuple):
    """The LR cell that each query reads, in two forms: published code samples a map at `coord`, faster code indexes."""

    coord: Tensor  # (B, N, 2): (y, x) in [-1, 1], inside the cell
    cells: Tensor  # (B, N) int64: index into the LR map flattened to (B * h * w, ...)


class Corner(NamedTuple):
    """One corner of every query."""

    position: Position
    rel: Tensor  # (B, Q, 2): (y, x) distance from the cell's centre, in half cells
    weight: Tensor  # (B, Q, 1)


def corners(
    coord,  # (B, Q, 2)
    lr_size,
    ensemble=True,
):
    """The corners of every query, in the published order: a list of 4 `Corner`, or 1 without the local ensemble."""
    h, w = lr_size
    moves = (-1, 1) if ensemble else (0,)
    rows = [_nearest(coord[..., 0], h, move) for move in moves]
    cols = [_nearest(coord[..., 1], w, move) for move in moves]
    image = torch.arange(coord.shape[0], device=coord.device)[:, None] * (h * w)
    positions = [(Position(torch.stack([y, x], dim=-1), image + row * w + col), torch.stack([rel_y, rel_x], dim=-1))
              for y, row, rel_y in rows for x, col, rel_x in cols]
    areas = [(rel[..., 0] * rel[..., 1]).abs() + AREA_GUARD for _, rel in positions]
    total = torch.stack(areas).sum(dim=0)
    opposite = areas[::-1]
    return [Corner(position, rel, (area / total)[..., None]) for (position, rel), area in zip(positions, opposite)]


def join(corners):
    """The positions of all corners in one, (B, K * Q), to take them through the MLP together."""
    return Position(*(torch.cat(parts, dim=1) for parts in zip(*(corner.position for corner in corners))))


def chunks(
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    size,
):
    """Split the queries into equal parts of at most `size`, as LMF's `batched_query_rgb` does."""
    count = coord.shape[1]
    parts = max(math.ceil(count / size), 1)
    step = max(math.ceil(count / parts), 1)
    return zip(coord.split(step, dim=1), cell.split(step, dim=1))


def sampled(
    maps,  # (B, C, h, w)
):
    """Reads a map as the published code does: a function Position -> (B, N, C) by nearest-neighbour `grid_sample`."""

    def read(position):
        grid = position.coord.flip(-1).unsqueeze(1)
        return F.grid_sample(maps, grid, mode="nearest", align_corners=False)[:, :, 0].permute(0, 2, 1)

    return read


def indexed(
    maps,  # (B, C, h, w)
):
    """The same read faster: the map becomes a table with one row per cell, and a gather copies whole rows."""
    table = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).contiguous()

    def read(position):
        return table.index_select(0, position.cells.flatten()).view(*position.cells.shape, table.shape[1])

    return read


def _nearest(coord, n_in, move):
    moved = coord if move == 0 else coord + (move / n_in + TIE_SHIFT)
    moved = moved.detach().clamp(-1 + TIE_SHIFT, 1 - TIE_SHIFT)
    cell = (((moved + 1) * n_in - 1) / 2).round().clamp(0, n_in - 1)
    centre = (2 * cell + 1) / n_in - 1
    return moved, cell.long(), (coord - centre) * n_in
