"""The modulated render family: LM-LIIF, LM-LTE and LM-CiaoSR (LMF, arXiv 2404.16451, section 3.2)."""

import torch
from torch import Tensor

from ..families import MODULATED_MLP, RenderSpec
from .registry import render_grid, render_points


def modulated_mlp(
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
    """Render a grid of H x W pixels from modulated fields, in one pass over each cell's HR sub-grid.

    Layer l of a pixel's MLP is relu((W_l x) * (1 + s_l) + t_l) with the cell's own s and t (LMF, eq. 6); the four
    neighbouring cells' results are blended by the local ensemble, then the bilinear LR skip is added.

    fields, weights: `lmf_kernels.families.modulated_mlp` has their layout. size: (H, W) of the whole output, in pixels.
    skip: the normalised LR image, over the same window of the map as the fields.
    cell: (cell_y, cell_x), the size of an output pixel where the whole axis is 2; None: 2/out * max(out/in/4, 1).
    window: (y0, x0, rows, cols) of the output to render; None: all of it. A window's pixels equal the whole's bit for
    bit in the compiled kernels.
    lr_size, lr_origin: where the fields are a part of the LR map, the whole map's (h, w) and their corner's (y, x).
    epilogue: "none", or "unit" for clamp(v * 0.5 + 0.5, 0, 1). dtype: float32, or uint8 (needs "unit"): round half to
    even of 255 v. layout: "nchw" -> (B, 3, rows, cols), "nhwc" -> (B, rows, cols, 3).
    backend: "auto" or a name of `lmf_kernels.backends()`.

    Differentiable once in fields, weights and skip, in reverse mode, by recomputation: nothing per pixel is kept for a
    backward pass. torch.func.vmap falls back to a per-sample loop; derivatives through torch.func raise InputError.
    Under autocast everything is computed in float32. A corner whose weight is 0 may or may not be read: it matters only
    where a cell holds NaN or infinity.

    Raises InputError for arguments that do not fit together or derivatives through torch.func and forward mode,
    BackendError if a backend asked for by name cannot run the call.
    """
    return render_grid(MODULATED_MLP, fields, weights, spec, size, skip=skip, cell=cell, window=window, lr_size=lr_size,
                       lr_origin=lr_origin, epilogue=epilogue, dtype=dtype, layout=layout, backend=backend)


def modulated_mlp_points(
    fields: Tensor,  # (B, h, w, C) float
    weights: Tensor,  # (weight_count,) float
    spec: RenderSpec,
    coord: Tensor,  # (B, Q, 2) float, (y, x) in [-1, 1]
    cell: Tensor,  # (B, Q, 2) float, the size of each query's pixel in the same units
    *,
    skip: Tensor | None = None,  # (B, 3, h, w) float
    backend: str = "auto",
) -> Tensor:
    """Render Q free query points from modulated fields: (B, Q, 3). See `modulated_mlp`.

    Differentiable in all tensors; where coord or cell need a gradient, the backward pass is the slow reference.
    Raises InputError and BackendError as `modulated_mlp` does.
    """
    return render_points(MODULATED_MLP, fields, weights, spec, coord, cell, skip=skip, backend=backend)
