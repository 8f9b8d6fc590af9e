"""Rendering the queries of the authors' calls: as a grid where they are one, else as points."""

import torch

from python_ref.geometry import grid_coord

from .. import ops
from ..models.pack_cache import autocast_is_on

_CLOSE = 5e-7  # how far float32 arithmetic moves the coordinates of a grid: four spacings of float32 just below 1


def render(
    twin,
    fields,  # (B, h, w, C)
    features,  # (B, any, h, w): says which images, device and dtype the queries belong to
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2) or broadcastable to it, or None if the model ignores it
    skip=None,  # (B, 3, h, w)
):
    """Values (B, Q, 3), in the dtype of the features except under autocast.

    On a CPU the coordinates are compared with those of a grid, and a grid is rendered as one, which is twice as fast.
    On other devices reading them would wait for the device, so all queries are points.
    """
    coord, cell = twin.check_queries(features, coord, cell)
    if coord.shape[1] == 0:
        return features.new_zeros(coord.shape[0], 0, 3)
    weights, spec = twin.render_weights(), twin.render_spec
    size = grid_size(coord, cell)
    if size is None:
        values = ops.render_points(twin.family, fields, weights, spec, coord, cell, skip=skip, backend=twin.backend)
    else:
        dtype = torch.promote_types(fields.dtype, torch.float32)
        values = ops.render_grid(twin.family, fields, weights, spec, size, skip=skip, cell=tuple(cell[0, 0].tolist()),
                                 dtype=dtype, layout="nhwc", backend=twin.backend).flatten(1, 2)
    return values if autocast_is_on(features.device.type) else values.to(features.dtype)


def grid_size(
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
):
    """(H, W) if the queries are the pixel centres of a whole grid, row by row, with one cell; else None.

    None also where finding out would cost: on a device other than the CPU, while torch traces, or with gradients to
    the queries.
    """
    if (coord.device.type != "cpu" or type(coord) is not torch.Tensor or torch.compiler.is_compiling()
            or torch.is_grad_enabled() and (coord.requires_grad or cell.requires_grad)):
        return None
    count = coord.shape[1]
    width = int((coord[0, :, 0] == coord[0, 0, 0]).sum())
    if not width or count % width:
        return None
    size = (count // width, width)
    rows, cols = (grid_coord((n, 1), dtype=coord.dtype)[0, :, 0] for n in size)
    grid = coord.view(-1, *size, 2) if coord.is_contiguous() else coord.reshape(-1, *size, 2)
    if not (_near(grid[:, :, 0, 0], rows) and _near(grid[:, 0, :, 1], cols)):  # one column, one row: most end here
        return None
    if not (_near(grid[..., 0], rows[:, None]) and _near(grid[..., 1], cols)):
        return None
    return size if bool((cell == cell[:1, :1]).all()) else None


def _near(values, wanted):
    return bool(((values - wanted).abs() <= _CLOSE).all())
