"""Cross-scale attention on one block of cells, a few rows of cells at a time.

CiaoSR (arXiv 2212.04362, section 3.3), as LM-CiaoSR has it: every cell attends to the cells of a map s times coarser by
the likeness of their 3x3 neighbourhoods, and gathers the 3s x 3s patches of the fine map there; the overlapping patches
are added up to a map s times as fine, which a strided convolution brings back to the cells.

Two things keep it small. Adding up overlapping patches that are weighted by attention is a sum over the diagonals of
the attention itself, so what is gathered are the s x s values of a coarse cell and not its patch: a ninth of the
multiplications, and no map of patches. And the matrix (cells, coarse cells) exists for PAIRS entries at a time.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..encoders.swin_windows import pad_to_windows

SHARPNESS = 10  # of the softmax over the coarse cells
SMALLEST_NORM = 1e-4
SHARE = 1 / 6  # of the result that is passed on
PAIRS = 1 << 20  # entries of the matrix (cells, coarse cells) at a time; four such matrices exist


class Weights(NamedTuple):
    """The attention's parameters: matrix, bias and PReLU slope of three 1x1 convolutions, and the strided one."""

    match: tuple  # (C / 2, C), (C / 2,), (1,): what the cells are compared by
    coarse: tuple  # the same on the coarse map
    values: tuple  # (C, C), (C,), (1,): what is gathered
    down: tuple  # (C, C, 3, 3), (C,); empty at scale 1


def pack(
    weights,
):
    """Weights as one flat vector, the operator's argument. Differentiable."""
    return torch.cat([piece.flatten() for group in weights for piece in group])


def unpack(
    flat,  # of `pack`
    channels,
    scale,
):
    """Weights again, as views."""
    half = channels // 2
    shapes = [[(half, channels), (half,), (1,)]] * 2 + [[(channels, channels), (channels,), (1,)]]
    shapes.append([(channels, channels, 3, 3), (channels,)] if scale > 1 else [])
    pieces = iter(flat.split([torch.Size(shape).numel() for group in shapes for shape in group]))
    return Weights(*(tuple(next(pieces).view(shape) for shape in group) for group in shapes))


def attend(
    features,  # (1, C, h, w) float32 or float64
    weights,  # Weights
    scale,
):
    """The attention of one image's block: (1, C, h, w)."""
    h, w = features.shape[-2:]
    padded = pad_to_windows(features, scale)
    height, width = padded.shape[-2:]
    coarse = F.interpolate(padded, size=(height // scale, width // scale), mode="bilinear", align_corners=False)
    match, coarse, values = (_embed(x, *part) for x, part in zip((padded, coarse, padded), weights))
    tall, wide = coarse.shape[-2:]
    keys = F.unfold(coarse, 3, padding=1)[0]  # (9 C / 2, L)
    keys = keys * (SHARPNESS / keys.square().sum(dim=0).sqrt().clamp_min(SMALLEST_NORM))
    values = F.pixel_unshuffle(values, scale)[0].flatten(1).t().contiguous()  # (L, C s s)
    match = F.pad(match, (1, 1, 1, 1))
    rows = max(1, PAIRS // (width * tall * wide) - 2)
    parts = []
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        above, below = min(start, 1), min(height - stop, 1)
        queries = F.unfold(match[:, :, start - above:stop + below + 2], 3)[0]  # (9 C / 2, cells)
        attention = torch.softmax(queries.t() @ keys, dim=1).view(-1, width, tall, wide)
        gathered = _diagonal_sums(attention, above, stop - start).view(-1, tall * wide) @ values
        parts.append(gathered.t().reshape(1, -1, stop - start, width))
    fine = F.pixel_shuffle(torch.cat(parts, dim=2), scale)
    if scale > 1:
        fine = F.conv2d(fine, *weights.down, stride=scale, padding=1)
    return SHARE * fine[:, :, :h, :w]


def _embed(
    features,  # (1, C, h, w)
    matrix,  # (out, C)
    bias,  # (out,)
    slope,  # (1,)
):
    """A 1x1 convolution and a PReLU: (1, out, h, w)."""
    return F.prelu(F.conv2d(features, matrix[:, :, None, None], bias), slope)


def _diagonal_sums(
    attention,  # (rows, w, h / s, w / s): rows wanted, and one above and below where there is one
    above,  # 0 or 1
    count,  # of rows wanted
):
    """sum of attention[y + i, x + j, v + i, u + j] over i, j in -1, 0, 1, nothing beyond the borders.

    (count, w, h / s, w / s), contiguous.
    """
    down = attention[above:above + count].clone()
    first = 1 - above  # the row that has one above
    down[first:, :, 1:] += attention[first + above - 1:above + count - 1, :, :-1]
    last = attention.shape[0] - above - 1  # rows up to here have one below
    down[:last, :, :-1] += attention[above + 1:above + 1 + last, :, 1:]
    across = down.clone()
    across[:, 1:, :, 1:] += down[:, :-1, :, :-1]
    across[:, :-1, :, :-1] += down[:, 1:, :, 1:]
    return across
