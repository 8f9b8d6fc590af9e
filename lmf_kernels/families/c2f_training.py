"""The differentiable form of the coarse-to-fine family for training, and the pixels that a training step draws for it.

Every slice that the queries touch goes through the coarse MLP once, all slices of all images together.
"""

import numpy as np
import torch
import torch.nn.functional as F
from python_ref import c2f_mlp, geometry, skip as lr_skip, slices


def render(
    spec,  # C2FSpec
    matrices,  # (head, coarse, fine) of `C2FMLP.matrices`
    fields,  # (B, h + 1, w + 1, C), or (B, h, w, C) without the slice ensemble
    coord,  # (B, Q, 2): pixels of a grid
    cell,  # (B, Q, 2): 2 / size of the grid; the same for all queries of an image
    skip,  # (B, 3, h, w) or None
):
    """The values of all query points: (B, Q, out_dim)."""
    head, coarse, fine = matrices
    linear, reach = spec.slicing == "linear", int(spec.slice_ensemble)
    batch, count = coord.shape[:2]
    lr = [side - reach for side in fields.shape[1:3]]
    place_y, place_x = (_Places(lr[axis], coord[..., axis], cell[:, 0, axis], spec.limit_cell) for axis in (0, 1))
    image = torch.arange(batch, device=coord.device)[:, None].expand(batch, count)
    rows = place_y.position if linear else place_y.cell
    key = (image * (int(rows.max()) + 1) + rows) * lr[1] + place_x.cell
    _, slice_of = torch.unique(key, return_inverse=True)
    slice_of = slice_of.flatten()
    # Some query of each slice: it has the slice's cell, and its place.
    any_query = slice_of.new_empty(int(slice_of.max()) + 1 if count else 0)
    any_query[slice_of] = torch.arange(slice_of.numel(), device=coord.device)

    def of_slices(values):
        return values.expand(batch, count).flatten()[any_query]

    first_y = of_slices(place_y.rel if linear else place_y.first)
    last_y = first_y if linear else first_y + of_slices(place_y.length)
    first_x = of_slices(place_x.first)
    last_x = first_x + of_slices(place_x.length)
    cell_y, cell_x = of_slices(place_y.seen), of_slices(place_x.seen)
    map_row = of_slices(image) * fields.shape[1] + of_slices(place_y.cell)
    vertices = [(y, x) for x in range(reach + 1) for y in range(reach + 1)]  # the two of one side together
    table = fields.flatten(0, 2)
    gathered = torch.cat([(map_row + y) * fields.shape[2] + of_slices(place_x.cell) + x for y, x in vertices])
    moves = [(2 * y - 1, 2 * x - 1) if reach else (0, 0) for y, x in vertices]
    info = torch.cat([torch.stack((cell_y, cell_x, first_y - y, first_x - x, last_y - y, last_x - x), dim=1)
                      for y, x in moves]).to(table.dtype)
    vectors = _coarse(head, coarse, table.index_select(0, gathered), info)

    weight, bias = fine[0]
    code, columns = weight[:, :-2], weight[:, -2:]
    rel_y, rel_x = (place.rel.flatten()[:, None] for place in (place_y, place_x))
    if not reach:
        mean, half = F.linear(vectors, code).index_select(0, slice_of), 0
    else:
        if linear:  # a slice has one y, so the blend along y comes before the layer
            lower, upper = vectors.unflatten(0, (2, 2, -1)).unbind(1)
            blended = c2f_mlp.blend(lower, upper, of_slices(place_y.rel)[:, None]).flatten(0, 1)
            sides = F.linear(blended, code).unflatten(0, (2, -1))
            mean, half = (part.index_select(0, slice_of) for part in ((sides[0] + sides[1]) / 2,
                                                                       (sides[1] - sides[0]) / 2))
        else:
            left, right = (c2f_mlp.blend(*(end.index_select(0, slice_of) for end in side), rel_y)
                           for side in F.linear(vectors, code).unflatten(0, (2, 2, -1)))
            mean, half = (left + right) / 2, (right - left) / 2
    values = mean + (bias + rel_y * columns[:, 0]) + rel_x * (half + columns[:, 1])
    for layer in fine[1:]:
        values = F.linear(values.relu(), *layer)
    values = values.view(batch, count, -1)
    if skip is None:
        return values
    return values + lr_skip.bilinear(skip, geometry.point_queries(coord, cell, lr))


def whole_slices(slicing, rng, n_in, n_out, count):
    """`count` pixels of an HR patch n_out wide in whole slices, but for the last one: sorted indices."""
    first = np.array([slices.first_position(cell, n_in, n_out) for cell in range(n_in + 1)])
    rows = np.arange(n_out + 1) if slicing == "linear" else first
    heights, widths = np.diff(rows), np.diff(first)
    sizes = (heights[:, None] * widths).flatten()
    total = n_out * n_out
    order = np.concatenate([rng.permutation(sizes.size) for _ in range(-(-count // total))])
    order = order[:int(np.searchsorted(np.cumsum(sizes[order]), count)) + 1]
    y, x = np.divmod(order, n_in)
    chosen = [((rows[i] + np.arange(heights[i]))[:, None] * n_out + first[j] + np.arange(widths[j])).ravel()
              for i, j in zip(y, x)]
    return np.sort(np.concatenate(chosen)[:count])


def _coarse(head, coarse, gathered, info):
    """The coarse MLP on rows of fields (N, C) and places of slices (N, 6): (N, width)."""
    if isinstance(head, c2f_mlp.SliceHead):
        values = torch.addmm(gathered, info, head.info.t()).relu()
    else:
        values = c2f_mlp.fourier(head.phase)(gathered, info)
    for weight, bias in coarse:
        values = F.linear(values, weight, bias).relu()
    return values


class _Places:
    """One axis of all queries: pixel, cell, and what the network sees of the cell's slices."""

    def __init__(
        self,
        n_in,
        coord,  # (B, Q)
        size,  # (B,): extent of a pixel
        limit_cell,
    ):
        n_out = (2 / size.double()).round().long()[:, None]
        self.position = (((coord.double() + 1) * n_out - 1) / 2).round().long()
        self.cell = slices.owner(self.position, n_in, n_out)
        self.rel = slices.rel(self.position, self.cell, n_in, n_out).to(coord.dtype)
        self.first = slices.rel(slices.first_position(self.cell, n_in, n_out), self.cell, n_in, n_out).to(coord.dtype)
        self.length = slices.slice_length(n_in, n_out).to(coord.dtype)  # (B, 1)
        seen = (2 * n_in / n_out).to(coord.dtype)
        self.seen = seen.clamp_min(0.5) if limit_cell else seen

