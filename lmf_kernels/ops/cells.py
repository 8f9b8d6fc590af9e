"""The pixels of chosen LR cells, rendered into a picture that is there already."""

from typing import Any

import torch
from torch import Tensor

from .. import families
from ..backends import RenderCall, choose, validate
from ..errors import InputError
from .registry import render_points

POINTS_AT_ONCE = 1 << 17  # query points of one call where a backend has no cell mask
GPU_FACTOR = 16  # times that on a GPU


def render_cells(
    family: families.Family,
    fields: Tensor,  # (B, rows, cols, C) float
    weights: Tensor,  # (weight_count,) float
    spec: Any,
    size: tuple[int, int],
    mask: Tensor,  # (B, rows, cols) bool
    out: Tensor,  # (B, 3, y, x) or (B, y, x, 3): the window, written where a cell is active
    *,
    skip: Tensor | None = None,  # (B, 3, rows, cols) float
    cell: tuple[float, float] | None = None,
    window: tuple[int, int, int, int],
    lr_size: tuple[int, int],
    lr_origin: tuple[int, int] = (0, 0),
    epilogue: str = "none",
    layout: str = "nchw",
    backend: str = "auto",
) -> None:
    """Render the pixels of a window of an H x W grid that belong to the mask's cells, in place; no other is computed.

    Pixel (Y, X) belongs to the cell (floor(Y * h / H), floor(X * w / W)). The arguments are those of
    `ops.modulated_mlp`, checked less; fields, mask and skip are over the same window of the map. The output has at
    least as many rows and columns as the whole LR map. A backend with a cell mask skips the other cells in its grid
    kernel, and gives the same bits as a render of the whole grid. Elsewhere the pixels are listed, which waits for the
    device, and rendered as query points, as many at a time as POINTS_AT_ONCE. No derivatives. Not for torch.compile.

    Raises:
        InputError: the arguments do not fit together.
        BackendError: a backend asked for by name cannot run the call.
    """
    if torch.is_autocast_enabled(fields.device.type):
        fields, weights, skip = (t if t is None else t.float() for t in (fields, weights, skip))
    call = RenderCall(family, spec, fields, weights, skip, size=tuple(size), window=tuple(window),
                      lr=(*lr_origin, *lr_size), grid_cell=cell, epilogue=epilogue, dtype=out.dtype, layout=layout)
    validate(call)
    if tuple(out.shape) != call.output_shape() or mask.shape != fields.shape[:3]:
        raise InputError(f"out {tuple(out.shape)} and mask {tuple(mask.shape)} do not fit: pass "
                         f"{call.output_shape()} and {tuple(fields.shape[:3])}.")
    if size[0] < lr_size[0] or size[1] < lr_size[1]:
        raise InputError(f"Cells own pixels only where no side shrinks: {tuple(lr_size)} to {tuple(size)}.")
    chosen = choose(call, backend)
    if chosen.has_cell_mask(family):
        chosen.run(call._replace(mask=mask.to(torch.uint8).contiguous(), out=out))
    else:
        _render_as_points(call, mask, out, backend)


def _render_as_points(call, mask, out, backend):
    """The masked pixels through the points operator of a family, image by image."""
    axes = [_Axis(*numbers, mask.device) for numbers in zip(
        call.window[:2], call.window[2:], call.lr[2:], call.size, call.lr[:2], call.fields.shape[1:3])]
    at_once = POINTS_AT_ONCE * (1 if mask.device.type == "cpu" else GPU_FACTOR)
    cell = mask.new_tensor([rel / held for rel, held in zip(call.rel_cell, call.fields.shape[1:3])],
                           dtype=torch.float32)
    pixels = out.permute(0, 2, 3, 1) if call.layout == "nchw" else out
    for b, active in enumerate(mask):
        listed = active[axes[0].owners][:, axes[1].owners].nonzero()
        for y, x in (piece.unbind(1) for piece in listed.split(at_once)):
            coord = torch.stack((axes[0].coord[y], axes[1].coord[x]), dim=-1)[None]
            values = render_points(
                call.family, call.fields[b:b + 1], call.weights, call.spec, coord, cell.expand_as(coord),
                skip=None if call.skip is None else call.skip[b:b + 1], backend=backend)[0]
            if call.epilogue == "unit":
                values = (values * 0.5 + 0.5).clamp(0, 1)
            if call.dtype == torch.uint8:
                values = (values * 255).round()
            pixels[b].index_put_((y, x), values.to(out.dtype))


class _Axis:
    """One axis of a window: each position's owner in the held part of the map, and its coordinate over that part."""

    def __init__(self, start, count, n_in, n_out, first, held, device):
        position = torch.arange(start, start + count, device=device)
        self.owners = position * n_in // n_out - first
        u = ((2 * position + 1) * n_in - (2 * first + 1) * n_out).double() / (2 * n_out)  # in the held part
        self.coord = ((2 * u + 1) / held - 1).float()
