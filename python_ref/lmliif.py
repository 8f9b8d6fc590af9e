"""LM-LIIF (LMF, arXiv 2404.16451, section 3): a latent MLP per LR cell modulates LIIF's render MLP, made tiny.

Latent stage, per cell: `[unfold3x3(features) | rel_cell] -> hypernet -> [s (d*hidden) | t (d*hidden) | code (hidden)]`.
Render stage, per query and corner: `x_0 = [code | rel | rel_cell]`, then the modulated MLP of `modulated_mlp`.
With `mod_input` off the code is the raw features; the other options leave out what they name.
"""

import torch
import torch.nn.functional as F

from . import heads, mlp, modulated_mlp, published
from .decoding import as_pixels, latent_cell, published_queries, queries_of
from .options import Options


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd,
    rel_cell,  # (2,) or (B, 2): (y, x)
    options=Options(),
):
    """The official modulations, (B, d*hidden*2 + hidden, h, w): unfold, concatenate, run the latent MLP."""
    codes = mlp.unfold(features, options.feat_unfold).permute(0, 2, 3, 1)
    if options.cell_decode:
        rel_cell = rel_cell.to(codes).view(-1, 1, 1, 2).expand(*codes.shape[:3], 2)
        codes = torch.cat([codes, rel_cell], dim=-1)
    return mlp.apply(codes, mlp.linear_layers(sd, "hypernet")).permute(0, 3, 1, 2)


def render_published(
    features,  # (B, C, h, w)
    mods,  # (B, C', h, w), of latent_published
    sd,
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    options=Options(),
    *,
    chunk=published.CHUNK,
    reader=published.sampled,
):
    """Pixels (B, Q, 3) the published way. reader: `published.indexed` gathers faster than the papers' code does."""
    layers = mlp.linear_layers(sd, "imnet")
    width = (len(layers) - 1) * layers[0][0].shape[0] * options.modulation_count
    code = mods[:, width:] if options.mod_input else features
    first_input = heads.published_linear(reader(code), options.cell_decode)
    return modulated_mlp.render_published(
        first_input, mods, layers, coord, cell, ensemble=options.local_ensemble, mod_scale=options.mod_scale,
        mod_shift=options.mod_shift, chunk=chunk, reader=reader)


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
    mods = latent_published(features, sd, latent_cell(features, size, cell), options)
    return as_pixels(render_published(features, mods, sd, *queries, options, chunk=chunk), size)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell,  # (2,) or (B, 2): (y, x)
    options=Options(),
):
    """Fields (B, h, w, (2d+1)*hidden) = `[s | t | base]` of `modulated_mlp`.

    The first latent layer is a convolution plus a constant (`rel_cell` is the same for all cells); the last one gives
    the fields directly (`mlp.fold_modulations`).
    """
    render_layers = mlp.linear_layers(sd, "imnet")
    layers = mlp.linear_layers(sd, "hypernet")
    code_matrix = _code_matrix(render_layers, options)
    layers[-1] = mlp.fold_modulations(layers[-1], render_layers, options, code_matrix if options.mod_input else None)

    weight, bias = layers[0]
    if options.cell_decode:
        bias = bias + F.linear(rel_cell.to(bias).view(-1, 2), weight[:, -2:])  # (1 or B, out)
        weight = weight[:, :-2]
    fields = mlp.neighbourhood_linear(features, weight) + bias.view(-1, 1, 1, weight.shape[0])
    if len(layers) > 1:
        fields = mlp.apply(torch.relu(fields), layers[1:])
    if not options.mod_input:
        fields = torch.cat([fields, mlp.neighbourhood_linear(features, code_matrix)], dim=-1)
    return fields


def render_weights(sd, options=Options()):
    """(head, layers, out) for `modulated_mlp.render`."""
    layers = mlp.linear_layers(sd, "imnet")
    first = layers[0][0]
    width = _code_matrix(layers, options).shape[1]
    rel = first[:, width:width + 2]
    cell = first[:, width + 2:] if options.cell_decode else torch.zeros_like(rel)
    return heads.LinearHead(rel, cell), [weight for weight, _ in layers[1:-1]], layers[-1]


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
    upscale rule. For points the latent stage takes the first query's cell, the render stage each query's own.
    """
    queries = queries_of(features, size, coord, cell, options)
    fields = latent(features, sd, latent_cell(features, size, cell), options)
    return as_pixels(modulated_mlp.render(fields, *render_weights(sd, options), queries), size)


def _code_matrix(render_layers, options):
    """Columns of the first render layer that meet the code."""
    first = render_layers[0][0]
    return first[:, :first.shape[1] - (4 if options.cell_decode else 2)]
