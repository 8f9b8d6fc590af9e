"""The coarse-to-fine render family: DIIF and DLTE (arXiv 2306.12321)."""

import torch
from torch import Tensor

from ..families import C2F_MLP, C2FSpec
from .registry import render_grid


def c2f_mlp(
    fields: Tensor,  # (B, h + 1, w + 1, C) float, a row a vertex; (B, h, w, C) without the slice ensemble
    weights: Tensor,  # (weight_count,) float
    spec: C2FSpec,
    size: tuple[int, int],
    *,
    lr_size: tuple[int, int] | None = None,
    skip: Tensor | None = None,  # (B, 3, h, w) float
    cell: tuple[float, float] | None = None,
    window: tuple[int, int, int, int] | None = None,
    lr_origin: tuple[int, int] = (0, 0),
    epilogue: str = "none",
    dtype: torch.dtype = torch.float32,
    layout: str = "nchw",
    backend: str = "auto",
) -> Tensor:
    """Render a grid of H x W pixels: a coarse MLP once a slice, a fine MLP once a pixel (arXiv 2306.12321).

    A cell's slices see the fields of its four vertices, and their vectors are blended at every pixel. Then the bilinear
    LR skip is added (DLTE). `lmf_kernels.families.c2f_mlp` has the layout of fields and weights.

    Args:
        lr_size: (h, w) of the whole LR picture; may be left out only without the slice ensemble, where fields lie on
            cells and hold all of them.
        cell: (cell_y, cell_x) that the coarse MLP sees; None: the size of an output pixel, with `spec.limit_cell` not
            below what training has seen at x4.
        lr_origin: first row and column of the map that the fields hold. `skip` holds the LR pixels around these rows
            and columns: pixels lr_origin - 1 and on, as far as the picture has them.

    The other arguments, the result, derivatives, torch.func, autocast and the exceptions are those of `modulated_mlp`.
    There is no points operator: a slice is made of an output grid's pixels.
    """
    return render_grid(C2F_MLP, fields, weights, spec, size, skip=skip, cell=cell, window=window, lr_size=lr_size,
                       lr_origin=lr_origin, epilogue=epilogue, dtype=dtype, layout=layout, backend=backend)
