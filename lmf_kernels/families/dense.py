"""The common part of the families' dense forms: rendering of query points arranged for a fast backward pass.

All corners of all queries go through the network together, after one gather of whole rows of cell parameters. Gathering
what each layer needs, corner by corner, as the reference does, costs about four times as much, nearly all of it in the
many scattered additions of the backward pass.
"""

from typing import NamedTuple

import numpy as np
import torch
from python_ref import geometry, heads, skip as lr_skip
from torch import Tensor


class Offsets(NamedTuple):
    """Where each gathered query lies in its cell: vectors (N,), in half cells."""

    rel_y: Tensor
    rel_x: Tensor
    cell_y: Tensor
    cell_x: Tensor


def render(
    network,  # (cell parameters (N, C), Offsets) -> (N, channels)
    ensemble,
    fields,  # (B, h, w, C)
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip,  # (B, channels, h, w) or None
):
    """The values of all query points, blended over the local ensemble, with the skip added: (B, Q, channels)."""
    lr_size = fields.shape[1:3]
    queries = geometry.point_queries(coord, cell, lr_size, ensemble=ensemble)
    corners = queries.corners()
    batch = torch.arange(fields.shape[0], device=fields.device)[:, None]
    rows = torch.cat([((batch * lr_size[0] + queries.y.cells[ky]) * lr_size[1] + queries.x.cells[kx]).flatten()
                      for ky, kx in corners])
    parameters = fields.flatten(0, 2).index_select(0, rows)  # (corners * B * Q, C)
    rel_y, rel_x = (torch.cat([axis.rels[k].flatten() for k in chosen]) for axis, chosen in
                    zip((queries.y, queries.x), zip(*corners)))
    offsets = Offsets(rel_y, rel_x, *(axis.rel_cell.flatten().repeat(len(corners)) for axis in (queries.y, queries.x)))
    values = network(parameters, offsets).view(len(corners), *coord.shape[:2], -1)
    weights = torch.stack([queries.y.weights[ky] * queries.x.weights[kx] for ky, kx in corners])
    values = (values * weights[..., None]).sum(dim=0)
    return values if skip is None else values + lr_skip.bilinear(skip, queries)


def first_activation(
    head,  # python_ref.heads.LinearHead or FourierHead
    parts,  # (base (N, width),), or (coef (N, in_dim), freq (N, in_dim))
    offsets,  # Offsets, each (N,)
):
    """What the head gives: (N, width), or (N, in_dim)."""
    if isinstance(head, heads.LinearHead):
        return torch.addmm(*parts, torch.stack(offsets, dim=1), torch.cat((head.rel, head.cell), dim=1).t())
    coef, freq = parts
    pairs = freq.unflatten(1, (-1, 2))
    q = pairs[..., 0] * offsets.rel_y[:, None] + pairs[..., 1] * offsets.rel_x[:, None]
    q = q + torch.stack((offsets.cell_y, offsets.cell_x), dim=1) @ head.phase.t()
    return coef * heads.waves(q)


def random_pixels(rng, n_in, n_out, count):
    """`count` pixels of an HR patch n_out wide, without repetition if it has as many: sorted indices."""
    total = n_out * n_out
    if count <= total:
        # Sorted: neighbours in the list read neighbouring cells, which is kinder to the caches.
        return np.sort(rng.choice(total, count, replace=False, shuffle=False))
    return np.sort(rng.integers(total, size=count))
