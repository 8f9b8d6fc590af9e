"""LTE (arXiv 2111.08918, section 3): dominant frequencies of the local texture, estimated per cell, feed one MLP.

Latent stage: `coef, freq = conv3x3(features)`. Per query and corner: `coef * [cos(pi q), sin(pi q)] -> imnet -> RGB`,
`q_j = freq_2j rel_y + freq_2j+1 rel_x + (phase rel_cell)_j`, over the local ensemble, plus the bilinear LR skip.
"""

import torch
import torch.nn.functional as F

from . import heads, mlp, plain_mlp, published
from .decoding import as_pixels, published_queries, queries_of
from .options import Options


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=Options(),
):
    """(coef, freq), each (B, n, h, w). `rel_cell` and `options` are taken for likeness with the others."""
    return tuple(F.conv2d(features, sd[f"{name}.weight"], sd[f"{name}.bias"], padding=1) for name in ("coef", "freq"))


def render_published(
    latents,  # (coef, freq) of latent_published
    sd,
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    options=Options(),
    *,
    skip,  # (B, 3, h, w): the normalised LR image; None leaves the skip out
    chunk=published.CHUNK,
    reader=published.sampled,
):
    """Pixels (B, Q, 3) the published way. reader: `published.indexed` gathers faster than the papers' code does."""
    coef, freq = latents
    first_input = heads.published_fourier(
        reader(coef), reader(freq), sd["phase.weight"] if options.cell_decode else None)
    return plain_mlp.render_published(first_input, mlp.linear_layers(sd, "imnet"), coef.shape[-2:], coord, cell,
                                      ensemble=options.local_ensemble, skip=skip, chunk=chunk)


def decode_published(
    features,  # (B, C, h, w)
    sd,
    *,
    skip,  # (B, 3, h, w)
    size=None,
    coord=None,  # (B, Q, 2)
    cell=None,
    options=Options(),
    chunk=published.CHUNK,
):
    """Both stages the published way; arguments and result as in `decode`."""
    queries = published_queries(features, size, coord, cell)
    latents = latent_published(features, sd)
    return as_pixels(render_published(latents, sd, *queries, options, skip=skip, chunk=chunk), size)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=Options(),
):
    """Fields (B, h, w, 2n) = `[coef | freq]` of `plain_mlp`: one convolution with both sets of weights."""
    weight = torch.cat([sd["coef.weight"], sd["freq.weight"]]).flatten(1)
    return mlp.neighbourhood_linear(features, weight, torch.cat([sd["coef.bias"], sd["freq.bias"]]))


def render_weights(sd, options=Options()):
    """(head, layers, out) for `plain_mlp.render`."""
    layers = mlp.linear_layers(sd, "imnet")
    phase = sd["phase.weight"]
    return heads.FourierHead(phase if options.cell_decode else torch.zeros_like(phase)), layers[:-1], layers[-1]


def decode(
    features,  # (B, C, h, w)
    sd,
    *,
    skip,  # (B, 3, h, w): the normalised LR image; None leaves the skip out
    size=None,
    coord=None,  # (B, Q, 2)
    cell=None,
    options=Options(),
):
    """Decode features: (B, 3, H, W) for size = (H, W), (B, Q, 3) for coord and cell (B, Q, 2).

    sd: the decoder's parameters under their official names. On a grid, `cell` may be (cell_y, cell_x) instead of the
    upscale rule.
    """
    queries = queries_of(features, size, coord, cell, options)
    fields = latent(features, sd, options=options)
    return as_pixels(plain_mlp.render(fields, *render_weights(sd, options), queries, skip=skip), size)
