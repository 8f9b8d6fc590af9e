"""LM-LTE (LMF, arXiv 2404.16451, section 3): a latent MLP per LR cell modulates LTE's render MLP, made tiny.

Latent stage, per cell: `coef, freq = conv3x3(features)`; `hypernet(coef * [cos(pi p), sin(pi p)])` with
`p_j = freq_2j + freq_2j+1 + (phase rel_cell)_j` gives `[s | t | coef_c | freq_c]`, d*hidden wide each for s and t,
hidden wide each for the others.
Render stage, per query and corner: `x_0 = coef_c * [cos(pi q), sin(pi q)]` with
`q_j = freq_c,2j rel_y + freq_c,2j+1 rel_x + (imphase rel_cell)_j`, then the modulated MLP, plus the bilinear LR skip.
With `mod_input` off, x_0 uses the full coef, freq and phase; with `cell_decode` off, no phases.
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
    """(mods, coef, freq): the official modulations (B, C', h, w) and the maps (B, width, h, w) that they come from."""
    coef = F.conv2d(features, sd["coef.weight"], sd["coef.bias"], padding=1)
    freq = F.conv2d(features, sd["freq.weight"], sd["freq.bias"], padding=1)
    p = freq.permute(0, 2, 3, 1).unflatten(-1, (-1, 2)).sum(dim=-1)
    if options.cell_decode:
        p = p + F.linear(rel_cell.to(p), sd["phase.weight"]).view(-1, 1, 1, p.shape[-1])
    product = coef.permute(0, 2, 3, 1) * heads.waves(p)
    return mlp.apply(product, mlp.linear_layers(sd, "hypernet")).permute(0, 3, 1, 2), coef, freq


def render_published(
    latents,  # (mods, coef, freq) of latent_published
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
    mods, coef, freq = latents
    layers = mlp.linear_layers(sd, "imnet")
    if options.mod_input:
        hidden = layers[0][0].shape[0]
        width = (len(layers) - 1) * hidden * options.modulation_count
        coef, freq = mods[:, width:width + hidden], mods[:, width + hidden:]
    first_input = heads.published_fourier(
        reader(coef), reader(freq), _phase(sd, options) if options.cell_decode else None)
    return modulated_mlp.render_published(
        first_input, mods, layers, coord, cell, ensemble=options.local_ensemble, mod_scale=options.mod_scale,
        mod_shift=options.mod_shift, skip=skip, chunk=chunk, reader=reader)


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
    latents = latent_published(features, sd, latent_cell(features, size, cell), options)
    return as_pixels(render_published(latents, sd, *queries, options, skip=skip, chunk=chunk), size)


# ---- the restructured form

def latent(
    features,  # (B, C, h, w)
    sd,
    rel_cell,  # (2,) or (B, 2): (y, x)
    options=Options(),
):
    """Fields (B, h, w, 2*d*hidden + 2*n) = `[s | t | coef | freq]` of `modulated_mlp`.

    With `mod_input` the latent stage needs `freq` only as sums of pairs: summing the convolution's weights halves it.
    """
    coef = mlp.neighbourhood_linear(features, sd["coef.weight"].flatten(1), sd["coef.bias"])
    weight, bias = sd["freq.weight"].flatten(1), sd["freq.bias"]
    if options.mod_input:
        p = mlp.neighbourhood_linear(features, weight[0::2] + weight[1::2], bias[0::2] + bias[1::2])
    else:
        freq = mlp.neighbourhood_linear(features, weight, bias)
        p = freq[..., 0::2] + freq[..., 1::2]
    if options.cell_decode:
        p = p + F.linear(rel_cell.to(p), sd["phase.weight"]).view(-1, 1, 1, p.shape[-1])
    layers = mlp.linear_layers(sd, "hypernet")
    layers[-1] = mlp.fold_modulations(layers[-1], mlp.linear_layers(sd, "imnet"), options)
    fields = mlp.apply(coef * heads.waves(p), layers)
    return fields if options.mod_input else torch.cat([fields, coef, freq], dim=-1)


def render_weights(sd, options=Options()):
    """(head, layers, out) for `modulated_mlp.render`."""
    layers = mlp.linear_layers(sd, "imnet")
    phase = _phase(sd, options)
    phase = phase if options.cell_decode else torch.zeros_like(phase)
    return heads.FourierHead(phase), [weight for weight, _ in layers[:-1]], layers[-1]


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
    upscale rule. For points the latent stage takes the first query's cell, the render stage each query's own.
    """
    queries = queries_of(features, size, coord, cell, options)
    fields = latent(features, sd, latent_cell(features, size, cell), options)
    return as_pixels(modulated_mlp.render(fields, *render_weights(sd, options), queries, skip=skip), size)


def _phase(sd, options):
    return sd["imphase.weight"] if options.mod_input else sd["phase.weight"]
