"""How an image falls into attention windows: which token sits where, which pairs must not see each other.

Swin Transformer, arXiv 2103.14030, sections 3.1 and 3.2 (shifted windows, cyclic shift, relative position bias).
"""

from typing import NamedTuple

import torch

APART = -100.0  # what the published code adds to a logit to keep two tokens apart


class WindowGrid(NamedTuple):
    """The windows of a batch of images, those that need the same mask next to each other."""

    order: torch.Tensor  # (B * H * W,) int64: the token of each window slot, window by window
    inverse: torch.Tensor  # (B * H * W,) int64: the window slot of each token
    counts: list  # of ints: how many windows each group has, none empty
    masks: list  # one a group: (N, N), N = window ** 2, added to the logits; or None


def window_grid(
    batch,
    height,
    width,
    window,
    shift,
    like,  # any tensor: device and dtype of the masks
):
    """Partition (B, H, W) tokens, H and W multiples of `window`, into windows moved by `shift` down and right.

    Only the last row and the last column of shifted windows wrap around and need a mask, so the windows come in at most
    four groups, and no mask is ever as large as the image.
    """
    tokens = torch.arange(batch * height * width, device=like.device).view(batch, height, width)
    if shift:
        tokens = tokens.roll((-shift, -shift), (1, 2))
    windows = tokens.view(batch, height // window, window, width // window, window).transpose(2, 3)
    groups = [(windows, None)]
    if shift:
        bottom, right, corner = wrap_masks(window, shift, like)
        groups = [(windows[:, :-1, :-1], None), (windows[:, -1:, :-1], bottom),
                  (windows[:, :-1, -1:], right), (windows[:, -1:, -1:], corner)]
    groups = [(slots.reshape(-1), mask) for slots, mask in groups if slots.numel()]
    order = torch.cat([slots for slots, _ in groups])
    inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return WindowGrid(order, inverse, [len(slots) // window**2 for slots, _ in groups], [mask for _, mask in groups])


def wrap_masks(
    window,
    shift,
    like,  # any tensor: device and dtype of the result
):
    """Masks (N, N) of the windows that wrap around at the bottom, at the right, and at both."""
    wrapped = torch.arange(window, device=like.device) >= window - shift
    row, column = wrapped.repeat_interleave(window), wrapped.repeat(window)
    across = (row[:, None] != row, column[:, None] != column)
    return [torch.zeros(pairs.shape, dtype=like.dtype, device=like.device).masked_fill_(pairs, APART)
            for pairs in (*across, across[0] | across[1])]


def full_mask(
    height,
    width,
    window,
    shift,
    like,  # any tensor: device and dtype of the result
):
    """The mask of every window of an image, (windows, N, N), as published state dicts hold it."""
    rows, columns = height // window, width // window
    bottom, right, corner = wrap_masks(window, shift, like)
    mask = torch.zeros(rows, columns, *corner.shape, dtype=like.dtype, device=like.device)
    mask[-1], mask[:, -1], mask[-1, -1] = bottom, right, corner
    return mask.flatten(0, 1)


def relative_position_index(
    window,
    device=None,
):
    """Row of the bias table for each pair of a window's tokens: (N, N) int64."""
    at = torch.arange(window, device=device)
    row, column = at.repeat_interleave(window), at.repeat(window)
    down, right = row[:, None] - row + window - 1, column[:, None] - column + window - 1
    return down * (2 * window - 1) + right


def pad_to_windows(
    image,  # (B, C, h, w), not empty
    window,
):
    """Extend an image at the bottom and right to multiples of `window` by reflection, (B, C, H, W).

    The border is not repeated. A side too short for that is reflected again and again, as numpy.pad's mode "reflect"
    does, and a side of one pixel is repeated.
    """
    for dim in (-2, -1):
        side = image.shape[dim]
        if side % window:
            period = max(2 * side - 2, 1)
            at = torch.arange(side + -side % window, device=image.device) % period
            image = image.index_select(dim, torch.minimum(at, period - at))
    return image


def reach(
    window,
    layers,  # in the order of the forward pass: ("conv", pixels a side) or ("attention", shift)
):
    """How many pixels away an input pixel still reaches an output, at the worst place in a window."""
    farthest = 0
    for at in range(window):
        first = last = at
        for kind, amount in reversed(layers):
            if kind == "conv":
                first, last = first - amount, last + amount
            else:
                first = (first - amount) // window * window + amount
                last = (last - amount) // window * window + amount + window - 1
        farthest = max(farthest, at - first, last - at)
    return farthest
