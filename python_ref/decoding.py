"""What the `decode` of every model does with its size or coordinates."""

import torch

from . import geometry


def queries_of(features, size, coord, cell, options):
    """`geometry.Queries` for a whole output `size`, or for `coord` and `cell` (B, Q, 2)."""
    _check(size, coord, cell)
    lr_size = tuple(features.shape[-2:])
    if size is None:
        return geometry.point_queries(coord, cell, lr_size, ensemble=options.local_ensemble)
    rel_cell = None if cell is None else [c * n for c, n in zip(cell, lr_size)]
    return geometry.grid_queries(lr_size, size, ensemble=options.local_ensemble, rel_cell=rel_cell,
                                 dtype=features.dtype, device=features.device)


def published_queries(features, size, coord, cell):
    """The same as (coord, cell), both (B, Q, 2)."""
    _check(size, coord, cell)
    if size is None:
        return coord, cell
    kind = {"dtype": features.dtype, "device": features.device}
    batch = features.shape[0]
    coord = geometry.grid_coord(size, **kind)
    if cell is None:
        cell = geometry.grid_cell(tuple(features.shape[-2:]), size, **kind)
    else:
        cell = torch.tensor(cell, **kind).expand(1, coord.shape[1], 2)
    return coord.expand(batch, -1, 2), cell.expand(batch, -1, 2)


def latent_cell(features, size, cell):
    """The latent stage's rel_cell: (2,) on a grid, (B, 2) for points, where the first query's cell decides."""
    lr_size = tuple(features.shape[-2:])
    if size is None:
        first = cell[:, 0] if cell.shape[1] > 0 else cell.new_zeros(1, 2)  # without queries any cell will do
        return first * cell.new_tensor(lr_size)
    if cell is None:
        cell = [geometry.upscale_cell(*axis) for axis in zip(lr_size, size)]
    return features.new_tensor([c * n for c, n in zip(cell, lr_size)])


def as_pixels(
    values,  # (B, H, W, 3) or (B, Q, 3)
    size,
):
    """(B, 3, H, W) when a size was asked for; points stay (B, Q, 3)."""
    return values if size is None else values.reshape(values.shape[0], *size, -1).permute(0, 3, 1, 2)


def _check(size, coord, cell):
    if size is None and (coord is None or cell is None):
        raise ValueError("decode was given neither a size nor coord with cell: give size=(H, W), or both of those.")
    if size is not None and coord is not None:
        raise ValueError("decode was given both size and coord: give size=(H, W) for a grid, coord for points.")
