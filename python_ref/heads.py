"""How the first activation of a render MLP arises from the fields of a cell and a query's position in it.

Linear head (LIIF, LM-LIIF): the first layer is affine in `rel` and `rel_cell` once the cell is known, so the part of
its matrix that meets the latent code is applied on the LR map and arrives as `base`. Fourier head (LTE, arXiv
2111.08918, section 3; LM-LTE): amplitudes times cosines and sines of the query's position, a vector that the first
layer then meets.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class LinearHead(NamedTuple):
    """Columns of the first layer's matrix that meet the query. `cell` is zeros in a model without cell decoding."""

    rel: Tensor  # (hidden, 2), order (y, x)
    cell: Tensor  # (hidden, 2)


class FourierHead(NamedTuple):
    """The phase matrix, without bias. Zeros in a model without cell decoding."""

    phase: Tensor  # (width / 2, 2), order (y, x)


def linear(
    base,  # (B, *queries.shape, hidden)
    head,
    queries,
    ky, kx,
):
    """`base + W_rel rel + W_cell rel_cell` at corner (ky, kx): (B, *queries.shape, hidden)."""
    y, x = queries.y, queries.x
    along_y = y.rels[ky][..., None] * head.rel[:, 0] + y.rel_cell[..., None] * head.cell[:, 0]
    along_x = x.rels[kx][..., None] * head.rel[:, 1] + x.rel_cell[..., None] * head.cell[:, 1]
    return base + along_y + along_x


def fourier(
    coef,  # (B, *queries.shape, width)
    freq,  # (B, *queries.shape, width): pairs, (y, x) of every frequency
    head,
    queries,
    ky, kx,
):
    """`coef * [cos(pi q), sin(pi q)]`, `q_j = freq_2j rel_y + freq_2j+1 rel_x + (phase rel_cell)_j`: like coef."""
    y, x = queries.y, queries.x
    q = freq[..., 0::2] * y.rels[ky][..., None] + freq[..., 1::2] * x.rels[kx][..., None]
    q = q + y.rel_cell[..., None] * head.phase[:, 0] + x.rel_cell[..., None] * head.phase[:, 1]
    return coef * waves(q)


def waves(
    q,  # (..., width / 2)
):
    """`[cos(pi q), sin(pi q)]`: (..., width)."""
    return torch.cat([torch.cos(math.pi * q), torch.sin(math.pi * q)], dim=-1)


# The published way. Each maker takes readers, `published.sampled(map)` or `indexed(map)`, and returns a function
# (position, rel (B, N, 2), rel_cell (B, N, 2)) -> (B, N, width) that reads the maps and builds the MLP's input.

def published_linear(
    read_code,
    cell_decode=True,
):
    """Input `[code | rel | rel_cell]`; without cell decoding `[code | rel]`."""

    def first_input(position, rel, rel_cell):
        parts = [read_code(position), rel, rel_cell] if cell_decode else [read_code(position), rel]
        return torch.cat(parts, dim=-1)

    return first_input


def published_fourier(
    read_coef,
    read_freq,
    phase=None,  # (C / 2, 2); None without cell decoding
):
    """Input `coef * [cos(pi q), sin(pi q)]` with q as in `fourier`."""

    def first_input(position, rel, rel_cell):
        pairs = read_freq(position).unflatten(-1, (-1, 2))
        q = (pairs * rel[..., None, :]).sum(dim=-1)
        if phase is not None:
            q = q + torch.nn.functional.linear(rel_cell, phase)
        return read_coef(position) * waves(q)

    return first_input
