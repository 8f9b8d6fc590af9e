"""DLTE (arXiv 2306.12321): the C2F-MLP on LTE's Fourier features, a slice a row, plus the bilinear LR skip.

Latent stage: `coef, freq = conv3x3(features)`. At a vertex, the 2x2 values of each make the amplitudes and frequencies
of a Fourier product over the slice's place: `coef * [cos(pi p), sin(pi p)]`, `p_j = freq_2j (cell_y + first_y) +
freq_2j+1 (cell_x + first_x) + (phase last)_j`, first and last as seen from the vertex. `c2f_mlp` has the rest. The cell
has no limit.

The published skip is antialiased, which makes a difference below x1 alone; the restructured form is plain bilinear.
"""

import torch
import torch.nn.functional as F

from . import c2f_mlp, heads, lte, mlp, slices


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=None,
):
    """{vertex: [coef | freq] (B, 8 n, h, w)} out of zero-padded 3x3 unfolds, n the channels of coef."""
    def around(values):  # {vertex: (B, 4 n, h, w)}
        batch, channels, h, w = values.shape
        unfolded = mlp.unfold(values).view(batch, channels, 3, 3, h, w)
        return {(2 * y - 1, 2 * x - 1): unfolded[:, :, y:y + 2, x:x + 2].reshape(batch, channels * 4, h, w)
                for y in (0, 1) for x in (0, 1)}

    coef, freq = map(around, lte.latent_published(features, sd))
    return {vertex: torch.cat([coef[vertex], freq[vertex]], dim=1) for vertex in coef}


def decode_published(
    features,  # (B, C, h, w)
    sd,
    *,
    skip,  # (B, 3, h, w)
    size,
    cell=None,
    options=None,
    chunk=c2f_mlp.CHUNK,
):
    """Both stages the published way; arguments and result as in `decode`."""
    return c2f_mlp.render_published(
        c2f_mlp.fourier(sd["imnet.phase.weight"]), latent_published(features, sd), mlp.linear_layers(sd, "imnet"),
        mlp.linear_layers(sd, "imnet", "tail"), size, limit_cell=False, cell=slices.seen_cell(cell, features),
        skip=skip, chunk=chunk)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=None,
):
    """Fields (B, h + 1, w + 1, 8 n) = `[coef | freq]` of `c2f_mlp`: the 2x2 values of each around every vertex."""
    return torch.cat([at_vertices(values) for values in lte.latent_published(features, sd)], dim=-1)


def at_vertices(
    values,  # (B, n, h, w)
):
    """The zero-padded 2x2 neighbourhoods of all vertices, channel-major: (B, h + 1, w + 1, 4 n)."""
    batch, channels, h, w = values.shape
    return F.unfold(values, 2, padding=1).view(batch, channels * 4, h + 1, w + 1).permute(0, 2, 3, 1)


def render_weights(sd, options=None):
    """(head, coarse, fine) for `c2f_mlp.render`."""
    return (heads.FourierHead(sd["imnet.phase.weight"]), mlp.linear_layers(sd, "imnet"),
            mlp.linear_layers(sd, "imnet", "tail"))


def decode(
    features,  # (B, C, h, w)
    sd,
    *,
    skip,  # (B, 3, h, w): the normalised LR image; None leaves the skip out
    size,
    cell=None,
    options=None,
):
    """Decode features on a grid: (B, 3, H, W) for size = (H, W).

    sd: the decoder's parameters under their official names. `cell` may be (cell_y, cell_x) instead of the step.
    """
    queries = slices.grid_slices(tuple(features.shape[-2:]), size, limit_cell=False,
                                 cell=slices.seen_cell(cell, features), dtype=features.dtype, device=features.device)
    pixels = c2f_mlp.render(latent(features, sd), *render_weights(sd), queries, skip=skip)
    return pixels.permute(0, 3, 1, 2)
