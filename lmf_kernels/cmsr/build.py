"""Builds scale-to-modulation tables for a model from pictures.

At an output scale, every LR cell of every picture is rendered in full, and at each decode scale and resized. Squared
differences, of values in [-1, 1], are pooled by the cell's modulation intensity, in hundredths of the model's range. A
decode scale's threshold is the largest intensity up to which every step that has cells stays within the precision (the
mean squared difference asked for); 0 where the first one does not, and then the scale is never used.
"""

import torch

from ..errors import InputError
from .bilinear import resized

OUTPUT_SCALES = (6, 8, 12, 18)  # above x4, where CMSR begins, those of the authors' published tables
DECODE_SCALES = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # the authors'
STEPS = 100


class Pool:
    """Squared differences by decode scale and step of the intensity. top: the largest intensity of a table."""

    def __init__(self, scales, top):
        self.scales, self.top = scales, top
        self.sums = torch.zeros(len(scales), STEPS, dtype=torch.float64)
        self.pixels = torch.zeros(STEPS, dtype=torch.float64)

    def add(
        self,
        intensity,  # (B, h, w)
        pixels,  # (B, h, w): pixels of each cell
        differences,  # per scale (B, h, w): mean over the channels, summed over the cell's pixels
    ):
        """Pool some cells. Those above the largest intensity are always rendered in full and play no part."""
        step = (intensity.double() / self.top * STEPS).ceil().long().sub(1).clamp_(min=0).flatten()
        inside = step < STEPS
        step = step[inside]
        self.pixels += torch.bincount(step, pixels.double().flatten()[inside], STEPS)
        for sums, values in zip(self.sums, differences):
            sums += torch.bincount(step, values.double().flatten()[inside], STEPS)

    def thresholds(self, mse):
        """{decode scale: threshold} at a precision; a scale's threshold is not above that of a larger scale."""
        fails = (self.sums / self.pixels.clamp(min=1) > mse) & (self.pixels > 0)
        first = torch.where(fails.any(1), fails.int().argmax(1), STEPS)
        lowest = first.flip(0).cummin(0).values.flip(0)
        return {scale: count * self.top / STEPS for scale, count in zip(self.scales, lowest.tolist())}


@torch.no_grad()
def build_tables(model, pictures, precisions, *, output_scales=OUTPUT_SCALES, decode_scales=DECODE_SCALES,
                 progress=lambda fraction: None):
    """Tables of a model at several precisions, from one pass over the pictures.

    Args:
        model: a models.Decoder with shift modulations.
        pictures: a list of functions without arguments, each giving an HR picture (H, W, 3) uint8. LR pictures are made
            of them by `evaluation.degrade`. Those too small for a scale have no part in it.
        precisions: mean squared differences, of values in [-1, 1].
        output_scales: above 4. decode_scales: above 0; those below 1 are never used.
        progress: called with the share of the work that is done.

    Returns:
        {precision: {output scale: {decode scale: threshold}}}

    Raises:
        InputError: a scale or precision is unusable, the model has no shift modulations, or no picture is large enough.
    """
    _check(precisions, output_scales, decode_scales)
    pools = {scale: Pool([s for s in sorted(decode_scales) if 1 <= s < scale], model.largest_intensity)
             for scale in sorted(output_scales)}
    for index, read in enumerate(pictures):
        hr = read()
        for step, (scale, pool) in enumerate(pools.items()):
            _add_picture(model, hr, scale, pool)
            progress((index + (step + 1) / len(pools)) / len(pictures))
    for scale, pool in pools.items():
        if not pool.pixels.any():
            raise InputError(f"No picture is large enough to be reduced by {scale:g}; give larger ones, or leave that "
                             "scale out.")
    return {mse: {scale: {**pool.thresholds(mse), scale: 1} for scale, pool in pools.items()} for mse in precisions}


def _check(precisions, output_scales, decode_scales):
    for mse in precisions:
        if not 0 < mse < 1:
            raise InputError(f"A precision is a mean squared difference between 0 and 1, such as 2e-5, got {mse:g}.")
    if not output_scales or min(output_scales) <= 4:
        raise InputError("CMSR begins above x4: give output scales above 4.")
    if not decode_scales or min(decode_scales) <= 0:
        raise InputError("Give decode scales above 0.")


def _add_picture(model, hr, scale, pool):
    """Pool one picture at one output scale."""
    from ..evaluation import degrade  # Pillow, which rendering does not need

    if min(hr.shape[:2]) < 2 * scale:
        return
    hr, lr = degrade(hr, scale)
    size, lr_size = hr.shape[:2], lr.shape[:2]
    weight = next(model.parameters())
    inp = torch.from_numpy(lr.copy()).to(weight.device, weight.dtype).permute(2, 0, 1)[None] / 127.5 - 1
    fields = model.fields(model.encode(inp), model.rel_cell_of(lr_size, size))
    full = model.render_grid(inp, size, fields=fields, layout="nhwc")
    owners = [torch.arange(out, device=inp.device) * n // out for n, out in zip(lr_size, size)]
    differences = []
    for decode_scale in pool.scales:
        level = tuple(int(n * decode_scale) for n in lr_size)
        cell = tuple(2 / q * max(decode_scale / 4, 1) for q in level)
        low = model.render_grid(inp, level, fields=fields, cell=cell, layout="nhwc")
        high = resized(low, first=(0, 0), source_size=level, size=size, window=(0, 0, *size))
        error = high.sub_(full).square_().mean(dim=-1)
        differences.append(_by_cell(error, owners, lr_size).cpu())
    pixels = _by_cell(torch.ones_like(full[..., 0]), owners, lr_size).cpu()
    pool.add(model.modulation_intensity(fields).cpu(), pixels, differences)


def _by_cell(
    values,  # (B, H, W)
    owners,
    lr_size,
):
    """Sums over the pixels that each cell owns, (B, h, w) float64."""
    for dim, (index, n) in enumerate(zip(owners, lr_size), start=1):
        shape = [*values.shape]
        shape[dim] = n
        values = values.new_zeros(shape, dtype=torch.float64).index_add_(dim, index, values.double())
    return values
