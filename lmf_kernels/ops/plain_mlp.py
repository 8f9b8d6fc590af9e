"""The plain render family: LIIF (arXiv 2012.09161) and LTE (arXiv 2111.08918), one MLP for all cells."""

import torch
from torch import Tensor

from ..families import PLAIN_MLP, RenderSpec
from .registry import render_grid, render_points


def plain_mlp(
    fields: Tensor,  # (B, h, w, C) float
    weights: Tensor,  # (weight_count,) float
    spec: RenderSpec,
    size: tuple[int, int],
    *,
    skip: Tensor | None = None,  # (B, 3, h, w) float
    cell: tuple[float, float] | None = None,
    window: tuple[int, int, int, int] | None = None,
    lr_size: tuple[int, int] | None = None,
    lr_origin: tuple[int, int] = (0, 0),
    epilogue: str = "none",
    dtype: torch.dtype = torch.float32,
    layout: str = "nchw",
    backend: str = "auto",
) -> Tensor:
    """Render a grid of H x W pixels from plain fields: relu(W_l x + b_l), the same weights for every cell.

    The four neighbouring cells' results are blended by the local ensemble (LIIF, eq. 4), then the bilinear LR skip is
    added (LTE). Arguments and result are those of `modulated_mlp`; `lmf_kernels.families.plain_mlp` has the layout of
    the fields.

    Derivatives, torch.func, autocast and the exceptions are those of `modulated_mlp` too.
    """
    return render_grid(PLAIN_MLP, fields, weights, spec, size, skip=skip, cell=cell, window=window, lr_size=lr_size,
                       lr_origin=lr_origin, epilogue=epilogue, dtype=dtype, layout=layout, backend=backend)


def plain_mlp_points(
    fields: Tensor,  # (B, h, w, C) float
    weights: Tensor,  # (weight_count,) float
    spec: RenderSpec,
    coord: Tensor,  # (B, Q, 2) float, (y, x) in [-1, 1]
    cell: Tensor,  # (B, Q, 2) float, the size of each query's pixel in the same units
    *,
    skip: Tensor | None = None,  # (B, 3, h, w) float
    backend: str = "auto",
) -> Tensor:
    """Render Q free query points from plain fields: (B, Q, 3). See `modulated_mlp`.

    Differentiable in all tensors. Raises InputError and BackendError as `plain_mlp` does.
    """
    return render_points(PLAIN_MLP, fields, weights, spec, coord, cell, skip=skip, backend=backend)
