"""LIIF (arXiv 2012.09161, section 3): one MLP maps a cell's latent code and a query's relative coordinate to a colour.

Per query and corner: `[unfold3x3(features) | rel | rel_cell] -> imnet -> RGB`, over the local ensemble. There is no
latent MLP: the latent stage of the published form is the unfold, that of the restructured form the first layer's part
of the code, a 3x3 convolution on the LR map (1.383 M -> 0.795 M multiply-adds per pixel for the published widths).
"""

import torch

from . import heads, mlp, plain_mlp, published
from .decoding import as_pixels, published_queries, queries_of
from .options import Options


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd=None,
    rel_cell=None,
    options=Options(),
):
    """The codes (B, 9C, h, w): the unfolded features. `sd` and `rel_cell` are taken for likeness with the others."""
    return mlp.unfold(features, options.feat_unfold)


def render_published(
    codes,  # (B, 9C, h, w) of latent_published
    sd,
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    options=Options(),
    *,
    chunk=published.CHUNK,
    reader=published.sampled,
):
    """Pixels (B, Q, 3) the published way. reader: `published.indexed` gathers faster than the papers' code does."""
    first_input = heads.published_linear(reader(codes), options.cell_decode)
    return plain_mlp.render_published(first_input, mlp.linear_layers(sd, "imnet"), codes.shape[-2:], coord, cell,
                                      ensemble=options.local_ensemble, chunk=chunk)


def decode_published(
    features,  # (B, C, h, w)
    sd,
    *,
    size=None,
    coord=None,  # (B, Q, 2)
    cell=None,
    options=Options(),
    chunk=published.CHUNK,
):
    """Both stages the published way; arguments and result as in `decode`."""
    queries = published_queries(features, size, coord, cell)
    codes = latent_published(features, options=options)
    return as_pixels(render_published(codes, sd, *queries, options, chunk=chunk), size)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell=None,
    options=Options(),
):
    """Fields (B, h, w, width) = `[base]` of `plain_mlp`. `rel_cell` plays no part: it meets the head in the render."""
    weight, bias = mlp.linear_layers(sd, "imnet")[0]
    return mlp.neighbourhood_linear(features, weight[:, :_code_width(weight, options)], bias)


def render_weights(sd, options=Options()):
    """(head, layers, out) for `plain_mlp.render`; out is None when the MLP has a single layer."""
    layers = mlp.linear_layers(sd, "imnet")
    first = layers[0][0]
    width = _code_width(first, options)
    rel = first[:, width:width + 2]
    cell = first[:, width + 2:] if options.cell_decode else torch.zeros_like(rel)
    return heads.LinearHead(rel, cell), layers[1:-1], layers[-1] if len(layers) > 1 else None


def decode(
    features,  # (B, C, h, w)
    sd,
    *,
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
    return as_pixels(plain_mlp.render(fields, *render_weights(sd, options), queries), size)


def _code_width(first, options):
    return first.shape[1] - (4 if options.cell_decode else 2)
