"""The render family of LMF (arXiv 2404.16451, section 3): a small MLP, modulated by each cell's own scales and shifts.

Layer l < d: `x = relu((W_l x + b_l) * (1 + scale_l) + shift_l)`; then `W_out x + b_out`, blended over the local
ensemble.

Fields (B, h, w, C), hidden = the common width, d = the number of modulated layers:

    linear head : [scale (d*hidden) | shift (d*hidden) | base (hidden)]
    Fourier head: [scale (d*hidden) | shift (d*hidden) | coef (n) | freq (n)]

`shift` has absorbed the layer's bias, `shift = published shift + b_l * (1 + scale_l)`, and `base` is the first layer's
matrix applied to the latent code, so that layers carry no bias and the first one costs two multiply-adds per channel
and pixel.
"""

import torch
import torch.nn.functional as F

from . import geometry, heads, published, skip as lr_skip


def render(
    fields,  # (B, h, w, C)
    head,  # heads.LinearHead or heads.FourierHead
    layers,  # [W_l (hidden, in)]: W_1 .. W_d-1 for the linear head, W_0 .. W_d-1 for the Fourier head
    out,  # (W (3, hidden), b (3,))
    queries,  # geometry.Queries
    *,
    skip=None,  # (B, 3, h, w) or None
):
    """Render every query: (B, rows, cols, 3) on a grid, (B, Q, 3) for points."""
    hidden = out[0].shape[1]
    linear_head = isinstance(head, heads.LinearHead)
    depth = len(layers) + 1 if linear_head else len(layers)
    tail = 2 * depth * hidden
    total = 0
    for ky, kx in queries.corners():

        def field(start, width):  # only what a layer needs: no tensor as wide as the fields exists per pixel
            return geometry.gather(fields[..., start:start + width], queries, ky, kx)

        if linear_head:
            x = heads.linear(field(tail, hidden), head, queries, ky, kx)
        else:
            width = (fields.shape[-1] - tail) // 2
            product = heads.fourier(field(tail, width), field(tail + width, width), head, queries, ky, kx)
            x = F.linear(product.to(layers[0].dtype), layers[0])
        for level in range(depth):
            if level > 0:
                x = F.linear(x.to(out[0].dtype), layers[level - 1 if linear_head else level])
            scale, shift = field(level * hidden, hidden), field((depth + level) * hidden, hidden)
            x = torch.relu(x * (1 + scale) + shift)
        total = total + queries.weight(ky, kx) * F.linear(x.to(out[0].dtype), *out)
    return total if skip is None else total + lr_skip.bilinear(skip, queries)


def render_published(
    first_input,  # heads.published_linear(...) or heads.published_fourier(...)
    mods,  # (B, C', h, w): the published modulations [scale (d*hidden) | shift (d*hidden) | ...]
    layers,  # [(W_l (out, in), b_l (out,))]: all layers of the official MLP, the output's last
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    *,
    ensemble=True,
    mod_scale=True,
    mod_shift=True,
    skip=None,  # (B, 3, h, w) or None
    chunk=published.CHUNK,
    reader=published.sampled,
):
    """Render the published way, (B, Q, 3): gather the code of every query and corner, concatenate, run layer by layer.

    All corners go through the MLP together, and a layer's modulations are gathered when it runs, as in the LMF code's
    `query_rgb_fast`; `chunk` queries at a time, maps read through `reader`. Without `mod_scale` the shifts come first
    in `mods`.
    """
    lr_size = mods.shape[-2:]
    depth, hidden = len(layers) - 1, layers[0][0].shape[0]
    parts = mods.split(hidden, dim=1)  # one part per layer and kind
    scales = [reader(part) for part in parts[:depth]] if mod_scale else None
    shift_start = depth if mod_scale else 0
    shifts = [reader(part) for part in parts[shift_start:shift_start + depth]] if mod_shift else None
    rel_scale = torch.tensor(lr_size, dtype=cell.dtype, device=cell.device)
    pixels = []
    for part, part_cell in published.chunks(coord, cell, chunk):
        corners = published.corners(part, lr_size, ensemble)
        position = published.join(corners)
        rel = torch.cat([corner.rel for corner in corners], dim=1)
        rel_cell = (part_cell * rel_scale).repeat(1, len(corners), 1)
        x = first_input(position, rel, rel_cell).flatten(0, 1)
        for level in range(depth):
            x = F.linear(x, *layers[level])
            if mod_scale:
                x = x.mul_(scales[level](position).reshape(x.shape) + 1)
            if mod_shift:
                x = x.add_(shifts[level](position).reshape(x.shape))
            x = x.relu_()
        values = F.linear(x, *layers[-1]).view(part.shape[0], len(corners), part.shape[1], layers[-1][0].shape[0])
        total = sum(values[:, k] * corner.weight for k, corner in enumerate(corners))
        pixels.append(total if skip is None else total + lr_skip.published(skip, part))
    return torch.cat(pixels, dim=1)
