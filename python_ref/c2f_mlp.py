"""The render family of DIIF and DLTE (arXiv 2306.12321): a coarse MLP once a slice, a fine MLP once a pixel.

A slice (`slices`) is a row of an LR cell's output pixels, or all of them. The coarse MLP sees the latent codes around
one vertex of the cell and the slice's place: `[cell_y, cell_x, first_y, first_x, last_y, last_x]`, first and last as
seen from the vertex. The vectors of the cell's four vertices are blended bilinearly at each pixel, and the fine MLP
sees `[blend | rel_y | rel_x]`. Without the slice ensemble there is one vector a slice, seen from the cell's centre.

Fields (B, h + 1, w + 1, C), a row a vertex, or (B, h, w, C), a row a cell, without the slice ensemble:

    linear head : [base (width of the first coarse layer)]   that layer's matrix applied to the codes, plus its bias
    Fourier head: [coef (n) | freq (n)]
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import heads, skip as lr_skip, slices

CHUNK = 1 << 18  # pixels that the published form computes at a time


class SliceHead(NamedTuple):
    """Columns of the first coarse layer's matrix that meet the slice's place."""

    info: Tensor  # (width, 6), order cell, first, last, each (y, x)


# ---- the restructured form

def render(
    fields,  # (B, h + 1, w + 1, C), or (B, h, w, C) without the slice ensemble
    head,  # SliceHead or heads.FourierHead
    coarse,  # [(W (out, in), b (out,))]: from the second coarse layer on for SliceHead, else all
    fine,  # [(W (out, in), b (out,))]: all fine layers, the output's last
    queries,  # slices.Slices
    *,
    skip=None,  # (B, 3, h, w) or None
):
    """Render a grid: (B, rows, cols, 3).

    The first fine layer is linear in the blend, and the blending weights sum to 1: it runs on slice vectors, and
    what comes out is blended. A row has one y, so the blend along y comes before that layer. What is left at a pixel is
    affine in rel_x: `relu(mean + rel_x * half)`, mean and half the half sum and half difference of a row's two ends.
    """
    y, x = queries.y, queries.x
    mean, half = ends(fields, head, coarse, fine[0], queries)
    values = mean.index_select(2, x.owners) + x.rels[:, None] * half.index_select(2, x.owners)
    for weight, bias in fine[1:]:
        values = F.linear(torch.relu(values).to(weight.dtype), weight, bias)
    return values if skip is None else values + lr_skip.bilinear(skip, queries)


def ends(fields, head, coarse, first, queries):
    """(mean, half), each (B, rows, cells, width): the first fine layer at rel_x = 0 and its slope along rel_x."""
    y, x = queries.y, queries.x
    weight, bias = first
    code, rel_y, rel_x = weight[:, :-2], weight[:, -2], weight[:, -1]
    linear, ensemble = queries.slicing == "linear", queries.ensemble
    rows = y.owners if linear else torch.arange(y.count, device=fields.device)
    place_y = (y.rels, y.rels) if linear else (y.firsts, y.firsts + y.length)
    place_x = (x.firsts, x.firsts + x.length)
    vertices = (-1, 1) if ensemble else (0,)
    sides = []
    for index_x, vertex_x in enumerate(vertices):
        along_y = []
        for index_y, vertex_y in enumerate(vertices):
            low = x.low + index_x
            base = fields.index_select(1, y.low + rows + index_y)[:, :, low:low + x.count]
            vector = coarse_vectors(base, head, coarse, (y.cell, x.cell), [p - vertex_y for p in place_y],
                                    [p - vertex_x for p in place_x])
            along_y.append(vector if linear else F.linear(vector.to(code.dtype), code).index_select(1, y.owners))
        side = blend(*along_y, y.rels[:, None, None]) if ensemble else along_y[0]
        sides.append(F.linear(side.to(code.dtype), code) if linear else side)
    mean = (sides[0] + sides[1]) / 2 if ensemble else sides[0]
    half = (sides[1] - sides[0]) / 2 + rel_x if ensemble else rel_x.expand_as(mean)
    return mean + (bias + y.rels[:, None, None] * rel_y), half


def blend(
    lower,  # (..., n, m, C) at rel = -1
    upper,  # (..., n, m, C) at rel = 1
    rel,  # broadcastable
):
    """The value at rel between the values at -1 and 1."""
    return lower * ((1 - rel) / 2) + upper * ((1 + rel) / 2)


def coarse_vectors(
    base,  # (B, n, m, C): fields of n rows of slices, m slices a row
    head,  # SliceHead or heads.FourierHead
    coarse,  # [(W, b)]
    cell,  # (cell_y, cell_x) floats
    place_y,  # first_y, last_y, each (n,)
    place_x,  # first_x, last_x, each (m,)
):
    """Vectors of the slices as seen from a vertex: (B, n, m, width), after the last coarse layer's ReLU."""
    first_y, last_y = (value[:, None, None] for value in place_y)
    first_x, last_x = (value[:, None] for value in place_x)
    if isinstance(head, SliceHead):
        c = head.info
        along_y = first_y * c[:, 2] + last_y * c[:, 4] + cell[0] * c[:, 0]
        along_x = first_x * c[:, 3] + last_x * c[:, 5] + cell[1] * c[:, 1]
        values = torch.relu(base + along_y + along_x)
    else:
        coef, freq = base.chunk(2, dim=-1)
        p = freq[..., 0::2] * (cell[0] + first_y) + freq[..., 1::2] * (cell[1] + first_x)
        p = p + last_y * head.phase[:, 0] + last_x * head.phase[:, 1]
        values = coef * heads.waves(p)
    for weight, bias in coarse:
        values = torch.relu(F.linear(values.to(weight.dtype), weight, bias))
    return values


# ---- the published form

def concatenated(
    codes,  # (N, K)
    info,  # (N, 6)
):
    """The coarse MLP's input in DIIF."""
    return torch.cat([codes, info], dim=-1)


def fourier(
    phase,  # (n / 2, 2)
):
    """Makes the coarse MLP's input in DLTE from `codes = [coef (n) | freq (n)]`, info in its stored order."""

    def first_input(codes, info):
        coef, freq = codes.chunk(2, dim=-1)
        p = (freq.unflatten(-1, (-1, 2)) * (info[:, None, :2] + info[:, None, 2:4])).sum(dim=-1)
        return coef * heads.waves(p + F.linear(info[:, 4:], phase))

    return first_input


def render_published(
    first_input,  # `concatenated` or `fourier(phase)`
    codes,  # {(vertex_y, vertex_x): (B, K, h, w)}: the codes around each vertex of each cell; {(0, 0): ...} without
    coarse,  # [(W, b)]: all coarse layers
    fine,  # [(W, b)]: all fine layers, the output's last
    size,  # (H, W)
    *,
    slicing="linear",
    limit_cell=True,
    cell=None,  # (cell_y, cell_x) times (h, w) or None: the rule of `slices.grid_slices`
    skip=None,  # (B, 3, h, w) or None
    chunk=CHUNK,
):
    """Render the published way, (B, 3, H, W): every cell on as many pixels as the largest owns, then cropped.

    Slice after slice the codes are repeated and concatenated with the slice's place; pixel after pixel the four slice
    vectors are blended, concatenated with rel and taken through the fine MLP. Some rows of cells at a time.
    """
    batch, _, h, w = next(iter(codes.values())).shape
    kind = next(iter(codes.values()))
    counts = [slices.largest_count(*axis) for axis in zip((h, w), size)]
    steps = [2 * n_in / n_out for n_in, n_out in zip((h, w), size)]
    seen = [max(step, 0.5) if limit_cell else step for step in steps] if cell is None else cell
    rels, owned = zip(*(_cell_grid(n_in, n_out, count, kind)
                        for n_in, n_out, count in zip((h, w), size, counts)))  # (h, counts_y), (w, counts_x)
    at_once = max(1, chunk // (batch * w * counts[0] * counts[1]))
    parts = []
    for start in range(0, h, at_once):
        rows = slice(start, min(h, start + at_once))
        values = _published_rows(first_input, {v: part[:, :, rows] for v, part in codes.items()}, coarse, fine,
                                 rels[0][rows], rels[1], seen, slicing)
        values = values.transpose(2, 3).flatten(1, 2).flatten(2, 3)  # (B, rows * counts_y, w * counts_x, 3)
        kept_y, kept_x = (torch.nonzero(part.flatten())[:, 0] for part in (owned[0][rows], owned[1]))
        parts.append(values.index_select(1, kept_y).index_select(2, kept_x))
    pixels = torch.cat(parts, dim=1).permute(0, 3, 1, 2)
    if skip is None:
        return pixels
    return pixels + F.interpolate(skip, size, mode="bilinear", antialias=True, align_corners=False)


def _cell_grid(n_in, n_out, count, kind):
    """rel of `count` positions from each cell's first, (n_in, count), and whether the cell owns them."""
    cells = torch.arange(n_in + 1, device=kind.device)
    first = slices.first_position(cells, n_in, n_out)
    positions = first[:-1, None] + torch.arange(count, device=kind.device)
    return slices.rel(positions, cells[:-1, None], n_in, n_out).to(kind.dtype), positions < first[1:, None]


def _published_rows(first_input, codes, coarse, fine, rel_y, rel_x, seen, slicing):
    """(B, rows, w, counts_y, counts_x, 3) of some rows of cells."""
    (rows, count_y), (w, count_x) = rel_y.shape, rel_x.shape
    grid_y = rel_y[:, None, :].expand(rows, w, count_y)
    ends_y = (grid_y, grid_y) if slicing == "linear" else (grid_y[..., :1], grid_y[..., -1:])
    number = ends_y[0].shape[-1]  # slices a cell
    ends_x = (part[None, :, None].expand(rows, w, number) for part in (rel_x[:, 0], rel_x[:, -1]))
    first_x, last_x = ends_x
    place = torch.stack([torch.full_like(first_x, seen[0]), torch.full_like(first_x, seen[1]),
                         ends_y[0], first_x, ends_y[1], last_x], dim=-1)  # (rows, w, number, 6)
    offset_y, offset_x = rel_y[:, None, :, None], rel_x[None, :, None, :]
    blended = 0
    for (vertex_y, vertex_x), part in codes.items():
        batch = part.shape[0]
        info = place - place.new_tensor([0, 0, vertex_y, vertex_x, vertex_y, vertex_x])
        info = info.expand(batch, *info.shape).flatten(0, 3)
        repeated = part.permute(0, 2, 3, 1)[:, :, :, None].expand(-1, -1, -1, number, -1).flatten(0, 3)
        x = first_input(repeated, info)
        for weight, bias in coarse:
            x = F.linear(x, weight, bias).relu_()
        vectors = x.view(batch, rows, w, number, 1, -1)
        if (vertex_y, vertex_x) == (0, 0):
            blended = vectors.expand(batch, rows, w, count_y, count_x, vectors.shape[-1])
        else:  # the area of the rectangle to the opposite vertex
            area = ((offset_y + vertex_y) * (offset_x + vertex_x)).abs() / 4
            area = area.masked_fill((offset_y.abs() > 1 + 1e-9) | (offset_x.abs() > 1 + 1e-9), 0)  # beyond the cell
            blended = blended + vectors * area[..., None]
    rel = torch.stack(torch.broadcast_tensors(offset_y, offset_x), dim=-1)
    x = torch.cat([blended, rel.expand(*blended.shape[:-1], 2)], dim=-1)
    for weight, bias in fine[:-1]:
        x = F.linear(x, weight, bias).relu_()
    return F.linear(x, *fine[-1])
