"""Bilinear resizing of a window: half-pixel centres, borders repeated, a pixel's bits the same in every window.

`torch.nn.functional.interpolate` makes the same of whole pictures but for rounding. On the CPU `csrc/cpu/bilinear.cpp`
does it, together with the epilogue; elsewhere torch operators do.
"""

import torch

from ..backends.cpu import native

_STORED = (torch.float32, torch.uint8)  # what the compiled form writes


def source_range(start, stop, n_in, n_out):
    """[start, stop) of n_in positions that the outputs [start, stop) of n_out, not empty, read."""
    first, last = (((2 * position + 1) * n_in - n_out) // (2 * n_out) for position in (start, stop - 1))
    return min(max(first, 0), n_in - 1), min(max(last + 1, 0), n_in - 1) + 1


def resize_into(
    out,  # (B, y, x, 3), any strides
    source,  # (B, rows, cols, 3): the source positions from `first` on
    *,
    first,  # (y, x)
    source_size,  # (h, w) of the whole source
    size,  # (H, W) of the whole result
    window,  # (y0, x0, rows, cols) of the result
    epilogue="none",
):
    """Write a window of the resized picture; epilogue "unit" and a uint8 `out` as in `ops.modulated_mlp`."""
    if native.module is not None and source.is_cpu and source.dtype == torch.float32 and out.dtype in _STORED:
        source = source.contiguous()
        native.module.resize_bilinear(native.packer.resize_bilinear(
            source, out, first=first, source_size=source_size, size=size, window=window, epilogue=epilogue,
            threads=torch.get_num_threads()))
        return
    for axis in (1, 0):  # columns first, where there are fewer rows
        source = _along(source, axis + 1, window[axis], window[2 + axis], source_size[axis], size[axis], first[axis])
    if epilogue == "unit":
        source.mul_(0.5).add_(0.5).clamp_(0, 1)
    if out.dtype == torch.uint8:
        source.mul_(255).round_()
    out.copy_(source)


def resized(source, **where):
    """A window of the resized picture as a new tensor, (B, rows, cols, 3); arguments as for `resize_into`."""
    out = source.new_empty(source.shape[0], *where["window"][2:], 3)
    resize_into(out, source, **where)
    return out


def _along(source, dim, start, count, n_in, n_out, first):
    position = torch.arange(start, start + count, device=source.device)
    numerator = (2 * position + 1) * n_in - n_out
    low = torch.div(numerator, 2 * n_out, rounding_mode="floor")
    weight = ((numerator - low * (2 * n_out)).double() / (2 * n_out)).to(source.dtype)
    weight = weight.view(-1, *[1] * (3 - dim))
    low, high = (index.clamp(0, n_in - 1) - first for index in (low, low + 1))
    # Products and a sum, each rounded by itself: a fused multiply-add in some places only would differ by window.
    result = source.index_select(dim, low).mul_(1 - weight)
    return result.add_(source.index_select(dim, high).mul_(weight))
