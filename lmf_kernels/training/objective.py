"""The loss of a batch: L1 between the model's values and the HR pixels, both in [-1, 1], and an error of the mean.

L1 alone is content with a median, and what is about right at every pixel can still be brighter than the picture as a
whole, as stripes and checkers were. So the error of each patch's mean colour over its queries is added, with a weight:
by a smooth L1, so that small errors, which on photographs are chance, hardly count, and large ones do not explode.
"""

import torch
from torch import nn
from torch.nn import functional as F

from . import rendering

_SMALL = 0.05  # errors of the mean up to here count by their square

RENDER = rendering.render_fused  # a step takes 0.93 of the time of render_points: bench/cpu/bench_training.py


class Objective(nn.Module):
    """A model together with its loss, so that one `forward` is one step's whole differentiable work.

    Args:
        model: models.Decoder.
        precision: "bf16" runs encoder and latent stage under autocast; the render stage is always float32, because
            coordinates need its mantissa.
        consistency: weight of the error of the mean.
    """

    def __init__(self, model, precision="fp32", consistency=0.0):
        super().__init__()
        self.model, self.consistency = model, consistency
        self.half = precision == "bf16"

    def forward(
        self,
        inp,  # (B, 3, h, w) in [-1, 1]
        coord,  # (B, Q, 2)
        cell,  # (B,)
        rgb,  # (B, Q, 3) in [-1, 1]
    ):
        """The mean absolute difference and the weighted error of the mean, a scalar."""
        model, device = self.model, inp.device.type
        h, w = inp.shape[-2:]
        with torch.autocast(device, torch.bfloat16, enabled=self.half):
            fields = model.fields(model.encode(inp), torch.stack((cell * h, cell * w), dim=-1))
        with torch.autocast(device, enabled=False):
            values = RENDER(
                model.family, model.render_spec, fields.float(),
                model.render_weights(), coord, cell[:, None, None].expand(coord.shape), inp if model.has_skip else None)
            difference = values - rgb
            loss = difference.abs().mean()
            if self.consistency:
                mean = difference.mean(dim=1)
                loss = loss + self.consistency * F.smooth_l1_loss(mean, torch.zeros_like(mean), beta=_SMALL)
            return loss


def to_tensors(batch, device):
    """A data.Batch as the tensors (inp, coord, cell, rgb) that `Objective` takes, on a device."""
    pinned = device.type == "cuda"

    def move(array):
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor

    def unit(values):
        return values.float().mul_(2 / 255).sub_(1)

    low, coord, cell, rgb = map(move, batch)
    return unit(low.permute(0, 3, 1, 2)), coord, cell, unit(rgb)
