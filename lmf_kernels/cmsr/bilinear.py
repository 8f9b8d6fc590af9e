"""Bilinear resizing of a window, the same bits for every window: half-pixel centres, borders repeated.

`torch.nn.functional.interpolate` makes the same of whole pictures but for rounding.
"""

import torch


def source_range(start, stop, n_in, n_out):
    """[start, stop) of n_in positions that the outputs [start, stop) of n_out, not empty, read."""
    first, last = (((2 * position + 1) * n_in - n_out) // (2 * n_out) for position in (start, stop - 1))
    return min(max(first, 0), n_in - 1), min(max(last + 1, 0), n_in - 1) + 1


def resized(
    picture,  # (B, rows, cols, 3): the source positions from `first` on
    first,  # (y, x)
    n_in,  # (h, w) of the whole source
    n_out,  # (H, W) of the whole result
    window,  # (y0, x0, rows, cols) of the result
):
    """The window of the resized picture, (B, rows, cols, 3), a new tensor, contiguous."""
    for axis in (1, 0):  # columns first, where there are fewer rows
        start, count = window[axis], window[2 + axis]
        picture = _along(picture, axis + 1, start, count, n_in[axis], n_out[axis], first[axis])
    return picture


def _along(picture, dim, start, count, n_in, n_out, first):
    position = torch.arange(start, start + count, device=picture.device)
    numerator = (2 * position + 1) * n_in - n_out
    low = torch.div(numerator, 2 * n_out, rounding_mode="floor")
    weight = ((numerator - low * (2 * n_out)).double() / (2 * n_out)).to(picture.dtype)
    weight = weight.view(-1, *[1] * (3 - dim))
    low, high = (index.clamp(0, n_in - 1) - first for index in (low, low + 1))
    # Products and a sum, each rounded by itself: a fused multiply-add in some places only would differ by window.
    result = picture.index_select(dim, low).mul_(1 - weight)
    return result.add_(picture.index_select(dim, high).mul_(weight))
