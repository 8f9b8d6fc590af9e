"""Cross-scale non-local attention, the part of CiaoSR (arXiv 2212.04362, section 3.3) that LM-CiaoSR's latent stage has.

Every cell attends to all cells of a map that is s times coarser, by the likeness of their 3x3 neighbourhoods, and
gathers the 3s x 3s patches of the fine map that lie at the coarse cells. The overlapping patches are added up to a map
s times as fine, which a strided convolution brings back to one vector per cell. The LMF code (arXiv 2404.16451) runs it
on the whole map up to 48 x 48 cells, and beyond that block by block.

The published form cuts, compares and adds patches. The restructured form has none: the likeness of two neighbourhoods
is the sum of nine scalar products that lie on a diagonal of the matrix (cells, coarse cells), and adding up overlapping
patches that are weighted by attention is a sum over the same diagonals of the attention itself.
"""

import torch
import torch.nn.functional as F

BLOCK = 48  # cells a side
SHARPNESS = 10  # of the softmax over the coarse cells
SMALLEST_NORM = 1e-4
SHARE = 1 / 6  # of the result that is passed on


def non_local(
    features,  # (B, C, h, w)
    sd,
    scales,  # tuple of 1, 2, 3 or 4
    attend,  # `attend` or `attend_published`
):
    """Non-local features of all scales, (B, C * len(scales), h, w).

    Above 48 x 48 cells each block sees itself and one more cell on each side; the last block of an axis takes what
    remains. A side shorter than a block then has no block at all, and the result is zero, as published.
    """
    batch, channels, h, w = features.shape
    if h * w <= BLOCK * BLOCK:
        return torch.cat([attend(features, sd, scale) for scale in scales], dim=1)
    result = features.new_zeros(batch, channels * len(scales), h, w)
    for top, bottom in blocks(h):
        for left, right in blocks(w):
            y, x = max(top - 1, 0), max(left - 1, 0)
            seen = features[:, :, y:min(bottom + 1, h), x:min(right + 1, w)]
            found = torch.cat([attend(seen, sd, scale) for scale in scales], dim=1)
            result[:, :, top:bottom, left:right] = found[:, :, top - y:bottom - y, left - x:right - x]
    return result


def blocks(n):
    """[start, stop) of the blocks of an axis of n cells."""
    starts = [i * BLOCK for i in range(n // BLOCK)]
    return list(zip(starts, [*starts[1:], n]))


# ---- the published form

def attend_published(
    features,  # (B, C, h, w)
    sd,
    scale,
):
    """The attention by patches: (B, C, h, w)."""
    h, w = features.shape[-2:]
    padded = _whole_multiples(features, scale)
    match, coarse, values = _maps(padded, sd, scale)
    keys = F.unfold(coarse, 3, padding=1).transpose(1, 2)  # (B, L, 9C')
    keys = keys / keys.square().sum(dim=-1, keepdim=True).sqrt().clamp_min(SMALLEST_NORM)
    patches = F.unfold(values, 3 * scale, padding=scale, stride=scale)  # (B, C * (3s)^2, L)
    queries = F.unfold(match, 3, padding=1)  # (B, 9C', N)
    attention = torch.softmax(SHARPNESS * (keys @ queries), dim=1)  # (B, L, N)
    fine = F.fold(patches @ attention, [scale * n for n in padded.shape[-2:]], 3 * scale, padding=scale, stride=scale)
    return SHARE * _down(fine, sd, scale)[:, :, :h, :w]


# ---- the restructured form

def attend(
    features,  # (B, C, h, w)
    sd,
    scale,
):
    """The attention by sums over diagonals: (B, C, h, w)."""
    h, w = features.shape[-2:]
    match, coarse, values = _maps(_whole_multiples(features, scale), sd, scale)
    alike = diagonal_sums(torch.einsum("bcyx,bcvu->byxvu", match, coarse))
    norms = F.avg_pool2d(coarse.square().sum(dim=1, keepdim=True), 3, 1, padding=1, divisor_override=1).sqrt()
    alike = SHARPNESS * alike / norms.clamp_min(SMALLEST_NORM)[:, :, None]
    attention = diagonal_sums(alike.flatten(3).softmax(dim=-1).view_as(alike))
    fine = torch.einsum("byxvu,bcvu->bcyx", attention, F.pixel_unshuffle(values, scale))
    return SHARE * _down(F.pixel_shuffle(fine, scale), sd, scale)[:, :, :h, :w]


def diagonal_sums(
    pairs,  # (B, y, x, v, u): a number for every cell (y, x) and coarse cell (v, u)
):
    """sum of pairs[y + i, x + j, v + i, u + j] over i, j in -1, 0, 1, nothing beyond the borders: like pairs."""
    for cell, coarse in ((1, 3), (2, 4)):
        inner = [(0, 0) if axis not in (cell, coarse) else (1, 1) for axis in reversed(range(pairs.dim()))]
        wide, total = F.pad(pairs, [n for pair in inner for n in pair]), 0
        for shift in range(3):
            total = total + (wide.narrow(cell, shift, pairs.shape[cell]).narrow(coarse, shift, pairs.shape[coarse]))
        pairs = total
    return pairs


# ---- both

def _maps(
    features,  # (B, C, h, w), sides multiples of scale
    sd,
    scale,
):
    """What is compared on both scales, (B, C', h, w) and (B, C', h / s, w / s), and what is gathered, (B, C, h, w)."""
    h, w = features.shape[-2:]
    coarse = F.interpolate(features, size=(h // scale, w // scale), mode="bilinear", align_corners=False)
    return (_embed(features, sd, "conv_match_1"), _embed(coarse, sd, "conv_match_2"),
            _embed(features, sd, "conv_assembly"))


def _embed(features, sd, name):
    """A 1x1 convolution and a PReLU."""
    start = f"cs_attn.{name}"
    return F.prelu(F.conv2d(features, sd[f"{start}.0.weight"], sd[f"{start}.0.bias"]), sd[f"{start}.1.weight"])


def _down(fine, sd, scale):
    """From the fine map back to the cells."""
    if scale == 1:
        return fine
    name = "cs_attn.down" if scale == 2 else f"cs_attn.downx{scale}"
    return F.conv2d(fine, sd[f"{name}.weight"], sd[f"{name}.bias"], stride=scale, padding=1)


def _whole_multiples(features, scale):
    """Extended at the bottom and right to multiples of scale, by reflection without the border.

    A side too short for that, which the published code cannot take, is reflected again and again; one cell is repeated.
    """
    for dim in (2, 3):
        n = features.shape[dim]
        if n % scale:
            period = max(2 * n - 2, 1)
            at = torch.arange(n + -n % scale, device=features.device) % period
            features = features.index_select(dim, torch.minimum(at, period - at))
    return features
