"""DIIF (arXiv 2306.12321), the C2F-MLP on encoder features; `c2f_mlp` has its two MLPs.

With the slice ensemble the coarse MLP sees the 4x4 features around a vertex, without it the 3x3 features around the
cell. Either way that part of its first layer is a convolution on the LR map, at the vertices or at the cells.
"""

import torch
import torch.nn.functional as F

from . import c2f_mlp, mlp, slices
from .options import SliceOptions

_INFO = 6  # inputs of the coarse MLP that describe the slice


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd=None,
    rel_cell=None,
    options=SliceOptions(),
):
    """{vertex: codes (B, 16 C, h, w)} out of a zero-padded 5x5 unfold; {(0, 0): (B, 9 C, h, w)} without ensemble."""
    if not options.slice_ensemble:
        return {(0, 0): mlp.unfold(features)}
    batch, channels, h, w = features.shape
    unfolded = F.unfold(features, 5, padding=2).view(batch, channels, 5, 5, h, w)
    return {(2 * y - 1, 2 * x - 1): unfolded[:, :, y:y + 4, x:x + 4].reshape(batch, channels * 16, h, w)
            for y in (0, 1) for x in (0, 1)}


def decode_published(
    features,  # (B, C, h, w)
    sd,
    *,
    size,
    cell=None,
    options=SliceOptions(),
    chunk=c2f_mlp.CHUNK,
):
    """Both stages the published way; arguments and result as in `decode`."""
    return c2f_mlp.render_published(
        c2f_mlp.concatenated, latent_published(features, options=options), mlp.linear_layers(sd, "imnet"),
        mlp.linear_layers(sd, "imnet", "tail"), size, slicing=options.slicing,
        cell=slices.seen_cell(cell, features), chunk=chunk)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=SliceOptions(),
):
    """Fields `[base]` of `c2f_mlp`. `rel_cell` plays no part: it meets the slices in the render."""
    weight, bias = mlp.linear_layers(sd, "imnet")[0]
    side = 4 if options.slice_ensemble else 3
    kernel = weight[:, :-_INFO].reshape(weight.shape[0], features.shape[1], side, side)
    return F.conv2d(features, kernel, bias, padding=side // 2).permute(0, 2, 3, 1)


def render_weights(sd, options=SliceOptions()):
    """(head, coarse, fine) for `c2f_mlp.render`."""
    first, *coarse = mlp.linear_layers(sd, "imnet")
    return c2f_mlp.SliceHead(first[0][:, -_INFO:]), coarse, mlp.linear_layers(sd, "imnet", "tail")


def decode(
    features,  # (B, C, h, w)
    sd,
    *,
    size,
    cell=None,
    options=SliceOptions(),
):
    """Decode features on a grid: (B, 3, H, W) for size = (H, W).

    sd: the decoder's parameters under their names. `cell` may be (cell_y, cell_x) instead of the upscale rule.
    """
    queries = slices.grid_slices(
        tuple(features.shape[-2:]), size, slicing=options.slicing, ensemble=options.slice_ensemble,
        cell=slices.seen_cell(cell, features), dtype=features.dtype, device=features.device)
    pixels = c2f_mlp.render(latent(features, sd, options=options), *render_weights(sd, options), queries)
    return pixels.permute(0, 3, 1, 2)
