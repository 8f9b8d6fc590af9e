"""Rendering of query points for training, two ways: plain torch operators arranged for a fast backward pass, and the
family's operator where its backward is a kernel.

Where the operators' backward recomputes through the reference it is slow, as is right where nothing per pixel may be
kept. A training step has few pixels and takes its gradients at once, so here they are kept; and every query's four
corners go through the network together, after one gather of whole records. The reference's gather of each corner's
every layer costs about four times as much, nearly all of it in the backward's many scattered additions.
"""

import torch
import torch.nn.functional as F
from python_ref import geometry, heads, skip as lr_skip

from .. import ops
from ..backends.call import RenderCall
from ..backends.choice import backward_of, forward_of
from ..backends.reference.common import parts


def render_points(
    family,
    spec,
    fields,  # (B, h, w, C) float32
    weights,  # (weight_count,) float32
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip=None,  # (B, 3, h, w) or None
):
    """What `ops.<family>_points` gives, (B, Q, 3), for training. Differentiable in fields, weights and skip.

    The mathematics is that of `python_ref.modulated_mlp.render` and `python_ref.plain_mlp.render`.
    """
    lr_size = fields.shape[1:3]
    queries = geometry.point_queries(coord, cell, lr_size, ensemble=spec.ensemble)
    corners = queries.corners()
    batch = torch.arange(fields.shape[0], device=fields.device)[:, None]
    rows = torch.cat([((batch * lr_size[0] + queries.y.cells[ky]) * lr_size[1] + queries.x.cells[kx]).flatten()
                      for ky, kx in corners])
    records = fields.flatten(0, 2).index_select(0, rows)  # (corners * B * Q, C)
    head, layers, out = parts(family, spec, weights)
    y, x = (torch.cat([axis.rels[k].flatten() for k in chosen]) for axis, chosen in
            zip((queries.y, queries.x), zip(*corners)))
    place = _Place(y, x, *(axis.rel_cell.flatten().repeat(len(corners)) for axis in (queries.y, queries.x)))
    values = _modulated(records, spec, head, layers, out, place) if family == "modulated_mlp" else _plain(
        records, spec, head, layers, out, place)
    values = values.view(len(corners), *coord.shape[:2], -1)
    blend = torch.stack([queries.y.weights[ky] * queries.x.weights[kx] for ky, kx in corners])
    values = (values * blend[..., None]).sum(dim=0)
    return values if skip is None else values + lr_skip.bilinear(skip, queries)


def render_fused(
    family,
    spec,
    fields,  # (B, h, w, C) float32
    weights,  # (weight_count,) float32
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip=None,  # (B, 3, h, w) or None
):
    """As `render_points`, forward and backward in kernels where both run here, else `render_points` itself."""
    call = RenderCall(family, spec, fields, weights, skip, coord, cell, dtype=fields.dtype)
    leaves = [name for name, tensor in call.tensors().items() if tensor.requires_grad]
    if forward_of(call) in (None, "reference") or backward_of(call, leaves) == "reference":
        return render_points(family, spec, fields, weights, coord, cell, skip)
    render = ops.modulated_mlp_points if family == "modulated_mlp" else ops.plain_mlp_points
    return render(fields, weights, spec, coord, cell, skip=skip)


def _modulated(records, spec, head, layers, out, place):
    """(N, 3) of gathered records (N, C), each with its own FiLM."""
    width, depth = spec.widths[0], len(spec.widths)
    tail = [width] if spec.head == "linear" else [spec.in_dim] * 2
    parts_of = records.split([width] * (2 * depth) + tail, dim=1)  # one split: its backward is one concatenation
    scale, shift, first = parts_of[:depth], parts_of[depth:2 * depth], parts_of[2 * depth:]
    if spec.head == "linear":
        a, later = place.linear(first[0], head), layers
    else:
        a, later = F.linear(place.fourier(*first, head), layers[0]), layers[1:]
    for level in range(depth):
        if level:
            a = F.linear(a, later[level - 1])
        a = torch.addcmul(a + shift[level], a, scale[level]).relu_()
    return F.linear(a, *out)


def _plain(records, spec, head, layers, out, place):
    """(N, 3) of gathered records (N, C), one network for all."""
    if spec.head == "linear":
        a = place.linear(records, head)
        dense = [] if out is None else [*layers, out]
    else:
        a = place.fourier(*records.split(spec.in_dim, dim=1), head)
        a, dense = F.linear(a, *([*layers, out][0])), [*layers, out][1:]
    for weight, bias in dense:
        a = F.linear(a.relu(), weight, bias)
    return a


class _Place:
    """Where each gathered query lies in its cell: four vectors (N,)."""

    def __init__(self, rel_y, rel_x, cell_y, cell_x):
        self.rel_y, self.rel_x, self.cell_y, self.cell_x = rel_y, rel_x, cell_y, cell_x

    def linear(self, base, head):
        """The linear head: (N, width)."""
        place = torch.stack((self.rel_y, self.rel_x, self.cell_y, self.cell_x), dim=1)
        return torch.addmm(base, place, torch.cat((head.rel, head.cell), dim=1).t())

    def fourier(self, coef, freq, head):
        """The Fourier head: (N, in_dim)."""
        pairs = freq.unflatten(1, (-1, 2))
        q = pairs[..., 0] * self.rel_y[:, None] + pairs[..., 1] * self.rel_x[:, None]
        q = q + torch.stack((self.cell_y, self.cell_x), dim=1) @ head.phase.t()
        return coef * heads.waves(q)
