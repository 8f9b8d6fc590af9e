"""LM-CiaoSR (LMF, arXiv 2404.16451, section 3): attention over a cell's surroundings modulates a tiny render MLP.

Latent stage, per cell: the 9C unfolded features, read as a 3x3 grid of groups of C channels, give a key of 4C channels
for each v in (-1, -1), (-1, 1), (1, -1), (1, 1): the groups [0, 1] or [1, 2] on each axis. With n the non-local
features (`cross_scale`) and p = [-v / (h, w) | rel_cell]:

    k_v = key_v * imnet_k([key_v | p]),   value_v = [key_v | n] * imnet_v([key_v | n | p])
    code = sum over v of softmax_v(prenet_q(unfold) . k_v / softmax_scale) value_v
    hypernet_q(code) = [s (d*hidden) | t (d*hidden) | x (2 hidden)]

Render stage, per query and corner: `x_0 = [x | rel]`, then the modulated MLP `imnet_q`, plus the bilinear LR skip.
With `mod_input` off, `x_0 = [code | rel]`. Without the local ensemble (the published `local_size` 1) the only v is 0.

The published training path leaves the skip out and its evaluation adds it; here it is always there.
"""

import torch
import torch.nn.functional as F

from . import cross_scale, heads, mlp, modulated_mlp, published
from .decoding import as_pixels, latent_cell, published_queries, queries_of
from .options import Options


# ---- the published form

def latent_published(
    features,  # (B, C, h, w)
    sd,
    rel_cell,  # (2,) or (B, 2): (y, x)
    options=Options(),
):
    """(mods, code): the official modulations (B, C', h, w) and the render MLP's code (B, n, h, w)."""
    batch, channels, h, w = features.shape
    rich = mlp.unfold(features)
    groups = rich.view(batch, 3, 3, channels, h, w)
    beyond = _non_local(features, sd, options, cross_scale.attend_published)
    place = rel_cell.to(features).view(-1, 2, 1, 1).expand(batch, 2, h, w)
    keys, values = [], []
    for vy, vx in _corners(options):
        key = groups[:, _at(vx):_at(vx) + 2, _at(vy):_at(vy) + 2].reshape(batch, 4 * channels, h, w)
        value = torch.cat([key, beyond], dim=1)
        rel = features.new_tensor([-vy / h, -vx / w]).view(1, 2, 1, 1).expand(batch, 2, h, w)
        keys.append(key * _rows(torch.cat([key, rel, place], dim=1), sd, "imnet_k"))
        values.append(value * _rows(torch.cat([value, rel, place], dim=1), sd, "imnet_v"))
    keys, values = torch.stack(keys), torch.stack(values)  # (V, B, n, h, w)
    logits = (_rows(rich, sd, "prenet_q") * keys).sum(dim=2, keepdim=True)
    code = (torch.softmax(logits / options.softmax_scale, dim=0) * values).sum(dim=0)
    mods = _rows(code, sd, "hypernet_q")
    return mods, mods[:, _modulations(sd, options):] if options.mod_input else code


def render_published(
    latents,  # (mods, code) of latent_published
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
    mods, code = latents
    return modulated_mlp.render_published(
        heads.published_linear(reader(code), False), mods, mlp.linear_layers(sd, "imnet_q"), coord, cell,
        ensemble=options.local_ensemble, mod_scale=options.mod_scale, mod_shift=options.mod_shift, skip=skip,
        chunk=chunk, reader=reader)


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
    """Fields (B, h, w, (2d+1)*hidden) = `[s | t | base]` of `modulated_mlp`.

    Non-local features enter the values' first layer once for all v, and `[-v / (h, w) | rel_cell]` is a bias.
    """
    batch, channels, h, w = features.shape
    rich = mlp.unfold(features).permute(0, 2, 3, 1)
    groups = rich.reshape(batch, h, w, 3, 3, channels)
    beyond = _non_local(features, sd, options, cross_scale.attend).permute(0, 2, 3, 1)
    query = mlp.apply(rich, mlp.linear_layers(sd, "prenet_q"))
    to_keys, to_values = mlp.linear_layers(sd, "imnet_k"), mlp.linear_layers(sd, "imnet_v")
    wide = 4 * channels
    shared = F.linear(beyond, to_values[0][0][:, wide:-4])
    logits, values = [], []
    for vy, vx in _corners(options):
        key = groups[:, :, :, _at(vx):_at(vx) + 2, _at(vy):_at(vy) + 2].flatten(3)
        place = torch.cat([features.new_tensor([-vy / h, -vx / w]).expand(rel_cell.view(-1, 2).shape),
                           rel_cell.to(features).view(-1, 2)], dim=1)
        weight = _further(F.linear(key, to_keys[0][0][:, :wide]), place, to_keys)
        logits.append((query * key * weight).sum(dim=-1, keepdim=True))
        weight = _further(F.linear(key, to_values[0][0][:, :wide]) + shared, place, to_values)
        values.append(torch.cat([key, beyond], dim=-1) * weight)
    share = torch.softmax(torch.cat(logits, dim=-1) / options.softmax_scale, dim=-1)
    code = sum(share[..., i:i + 1] * value for i, value in enumerate(values))

    layers, render_layers = mlp.linear_layers(sd, "hypernet_q"), mlp.linear_layers(sd, "imnet_q")
    on_code = render_layers[0][0][:, :-2]
    layers[-1] = mlp.fold_modulations(layers[-1], render_layers, options, on_code if options.mod_input else None)
    fields = mlp.apply(code, layers)
    return fields if options.mod_input else torch.cat([fields, F.linear(code, on_code)], dim=-1)


def render_weights(sd, options=Options()):
    """(head, layers, out) for `modulated_mlp.render`."""
    layers = mlp.linear_layers(sd, "imnet_q")
    rel = layers[0][0][:, -2:]
    return heads.LinearHead(rel, torch.zeros_like(rel)), [weight for weight, _ in layers[1:-1]], layers[-1]


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
    upscale rule. For points the first query's cell decides; the render stage looks at none.
    """
    queries = queries_of(features, size, coord, cell, options)
    fields = latent(features, sd, latent_cell(features, size, cell), options)
    return as_pixels(modulated_mlp.render(fields, *render_weights(sd, options), queries, skip=skip), size)


# ---- both

def _corners(options):
    """The (y, x) of all v, in the published order."""
    return [(y, x) for y in (-1, 1) for x in (-1, 1)] if options.local_ensemble else [(0, 0)]


def _at(v):
    """The first of an axis' two groups. The published code takes the first group axis by v_x, the second by v_y."""
    return int(v > 0)


def _non_local(features, sd, options, attend):
    """The non-local features, (B, C * scales, h, w), of no channels without scales."""
    if not options.multi_scale:
        return features[:, :0]
    return cross_scale.non_local(features, sd, options.multi_scale, attend)


def _modulations(sd, options):
    """Number of modulation channels."""
    layers = mlp.linear_layers(sd, "imnet_q")
    return (len(layers) - 1) * layers[0][0].shape[0] * options.modulation_count


def _rows(
    maps,  # (B, n, h, w)
    sd,
    prefix,
):
    """An MLP on every cell: (B, out, h, w)."""
    return mlp.apply(maps.permute(0, 2, 3, 1), mlp.linear_layers(sd, prefix)).permute(0, 3, 1, 2)


def _further(
    first,  # (B, h, w, out): what the first layer makes of keys and values
    place,  # (1 or B, 4)
    layers,
):
    """The rest of a first layer, its columns on place and its bias, and the layers after it: (B, h, w, out)."""
    (weight, bias), *rest = layers
    first = first + F.linear(place, weight[:, -4:], bias)[:, None, None]
    return mlp.apply(torch.relu(first), rest) if rest else first
