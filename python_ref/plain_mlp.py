"""The render family of LIIF (arXiv 2012.09161) and LTE (arXiv 2111.08918): one MLP, the same for every cell.

`x = relu(W_l x + b_l)` through the hidden layers, then `W_out x + b_out`, over the corners of the local ensemble.

Fields (B, h, w, C):

    linear head : [base (width of the first layer)]   base = first layer's matrix applied to the latent code, plus bias
    Fourier head: [coef (n) | freq (n)]
"""

import torch
import torch.nn.functional as F

from . import geometry, heads, published, skip as lr_skip


def render(
    fields,  # (B, h, w, C)
    head,  # heads.LinearHead or heads.FourierHead
    layers,  # hidden [(W_l (out, in), b_l (out,))]: from l = 1 for the linear head, from l = 0 for the Fourier head
    out,  # (W (3, in), b (3,)); None for a linear head without hidden layers, whose base is the output already
    queries,  # geometry.Queries
    *,
    skip=None,  # (B, 3, h, w) or None
):
    """Render every query: (B, rows, cols, 3) on a grid, (B, Q, 3) for points."""
    total = 0
    for ky, kx in queries.corners():
        cell_fields = geometry.gather(fields, queries, ky, kx)
        if isinstance(head, heads.LinearHead):
            x = heads.linear(cell_fields, head, queries, ky, kx)
            x = x if out is None else torch.relu(x)
        else:
            coef, freq = cell_fields.chunk(2, dim=-1)
            x = heads.fourier(coef, freq, head, queries, ky, kx)
        for weight, bias in layers:
            x = torch.relu(F.linear(x.to(weight.dtype), weight, bias))
        if out is not None:
            x = F.linear(x.to(out[0].dtype), *out)
        total = total + queries.weight(ky, kx) * x
    return total if skip is None else total + lr_skip.bilinear(skip, queries)


def render_published(
    first_input,  # heads.published_linear(...) or heads.published_fourier(...)
    layers,  # [(W_l (out, in), b_l (out,))]: all layers of the official MLP, the output's last
    lr_size,  # (h, w)
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    *,
    ensemble=True,
    skip=None,  # (B, 3, h, w) or None
    chunk=published.CHUNK,
):
    """Render the published way, (B, Q, 3): corner by corner, gather the code of every query, concatenate, run the MLP.

    As in the `query_rgb` of LIIF and LTE. `chunk` queries at a time: the default is LMF's, the published evaluation of
    LIIF and LTE takes 30000. A chunk gathers codes (B, chunk, C): with LIIF's 576 channels that is most of the memory.
    """
    rel_scale = torch.tensor(lr_size, dtype=cell.dtype, device=cell.device)
    pixels = []
    for part, part_cell in published.chunks(coord, cell, chunk):
        rel_cell = part_cell * rel_scale
        total = 0
        for corner in published.corners(part, lr_size, ensemble):
            x = first_input(corner.position, corner.rel, rel_cell).flatten(0, 1)
            for weight, bias in layers[:-1]:
                x = F.linear(x, weight, bias).relu_()
            total = total + F.linear(x, *layers[-1]).view(*part.shape[:2], layers[-1][0].shape[0]) * corner.weight
        pixels.append(total if skip is None else total + lr_skip.published(skip, part))
    return torch.cat(pixels, dim=1)
