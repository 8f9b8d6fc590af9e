"""CMSR, controllable multi-scale rendering (LMF, arXiv 2404.16451, section 3.4): smooth cells are rendered at a lower
scale and resized.

The latent stage runs once, with the output's cell. `m`, the mean of |t| over all shift modulations of a cell, says how
much detail it has. A table gives decode scales with rising thresholds for an output scale S = sqrt(H W / (h w)); a cell
is rendered at the lowest decode scale whose threshold m does not exceed, and at H x W where there is none. Levels are
merged from coarse to fine: what is there, at first the LR image, is resized bilinearly to the level's size and
overwritten where this level renders. Pixel (Y, X) of a level of qh x qw pixels belongs to the cell (floor(Y h / qh),
floor(X w / qw)).

The authors clamp each level's coordinates to the outermost LR centres, so results differ from theirs in the border.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from . import geometry, mlp, modulated_mlp
from .decoding import latent_cell

LARGEST_TRAINED = 16  # output pixels per LR pixel up to which everything is rendered in full


class Level(NamedTuple):
    """scale: of the decoding. threshold: the largest m that it renders. size: (qh, qw). rel_cell: what the render MLP
    sees, (y, x)."""

    scale: float
    threshold: float
    size: tuple[int, int]
    rel_cell: tuple[float, float]


def levels(
    tables,  # {output scale: {decode scale: threshold}}, scales rising
    lr_size,  # (h, w)
    size,  # (H, W)
):
    """The levels of an output, coarse to fine; the last one renders H x W, and takes all cells that remain.

    A scale below 1 has no level, nor has one that no cell can have because its threshold is not above those of all
    coarser ones. A level is there whether or not a cell of this picture has it, so that what one cell has changes no
    pixel far from it. Up to x4, or where a side shrinks, the last level is the only one.
    """
    (h, w), (height, width) = lr_size, size
    full = math.sqrt(height * width / (h * w))
    cell = [geometry.upscale_cell(n, out) * n for n, out in zip(lr_size, size)]
    last = Level(full, math.inf, (height, width), tuple(cell))
    if height * width <= LARGEST_TRAINED * h * w or height < h or width < w:
        return [last]
    table = next((table for key, table in tables.items() if key >= full), list(tables.values())[-1])
    found, highest = [], 0.0
    for scale, threshold in table.items():
        if not 1 <= scale < full or threshold <= highest:
            continue
        qh, qw = math.floor(h * scale), math.floor(w * scale)
        extent = 2 * max(scale / geometry.TRAINED_SCALE, 1)
        found.append(Level(scale, threshold, (qh, qw), (extent / qh * h, extent / qw * w)))
        highest = threshold
    return [*found, last]


def intensity(
    mods,  # (B, C, h, w), the published modulations, shifts not folded
    sd,
    options,
):
    """m: the mean of |t| over all layers' shift modulations, (B, h, w)."""
    own = any(name.startswith("imnet.") for name in sd)  # LM-CiaoSR has the authors' other name
    layers = mlp.linear_layers(sd, "imnet" if own else "imnet_q")
    count = (len(layers) - 1) * layers[0][0].shape[0]
    start = count if options.mod_scale else 0
    return mods[:, start:start + count].abs().mean(dim=1)


def assign(
    m,  # (B, h, w)
    levels,
):
    """The index of each cell's level, (B, h, w) int64."""
    return torch.bucketize(m, m.new_tensor([level.threshold for level in levels[:-1]]))


def share(
    level_of,  # (B, h, w)
    levels,
):
    """The share of the full-rate queries that is rendered: a cell at scale s counts (s / S)^2."""
    full = levels[-1].scale
    return sum((level_of == i).sum().item() * (level.scale / full) ** 2
               for i, level in enumerate(levels)) / level_of.numel()


def decode(
    model,  # python_ref.lmliif, or another model of the modulated family
    features,  # (B, C, h, w)
    sd,
    *,
    image,  # (B, 3, h, w): the normalised LR image
    size,  # (H, W)
    tables,  # {output scale: {decode scale: threshold}}
    options,
    skip=None,  # (B, 3, h, w): the LR image again, for models that add it
):
    """Decode with CMSR: (picture (B, 3, H, W), share of the full-rate queries that was rendered)."""
    lr_size = tuple(features.shape[-2:])
    rel_cell = latent_cell(features, size, None)
    mods = model.latent_published(features, sd, rel_cell, options)
    mods = mods[0] if isinstance(mods, tuple) else mods
    fields, weights = model.latent(features, sd, rel_cell, options), model.render_weights(sd, options)
    steps = levels(tables, lr_size, size)
    level_of = assign(intensity(mods, sd, options), steps)
    picture = image
    for index, level in enumerate(steps):
        picture = F.interpolate(picture, size=level.size, mode="bilinear", align_corners=False)
        _render_cells(picture, fields, weights, level_of == index, level, lr_size, options, skip)
    return picture, share(level_of, steps)


def _render_cells(picture, fields, weights, active, level, lr_size, options, skip):
    """Overwrite the pixels of the active cells in `picture`, (B, 3, qh, qw). Only these are rendered."""
    queries = geometry.grid_queries(lr_size, level.size, ensemble=options.local_ensemble, rel_cell=level.rel_cell,
                                    dtype=fields.dtype, device=fields.device)
    rows, cols = (torch.arange(q, device=fields.device) * n // q for q, n in zip(level.size, lr_size))
    for b, cells in enumerate(active):
        y, x = cells[rows][:, cols].nonzero(as_tuple=True)
        if len(y) == 0:
            continue
        chosen = geometry.Queries(False, (1, len(y)), _taken(queries.y, y), _taken(queries.x, x))
        values = modulated_mlp.render(fields[b:b + 1], *weights, chosen, skip=None if skip is None else skip[b:b + 1])
        picture[b, :, y, x] = values[0].T


def _taken(axis, index):
    """Some positions of a grid's axis as the axis of a list of points, (1, Q)."""
    def take(tensors):
        return tuple(tensor.flatten()[index][None] for tensor in tensors)

    return geometry.Axis(take(axis.cells), take(axis.rels), take(axis.weights), take(axis.skip_cells),
                         take(axis.skip_weights), axis.rel_cell)
