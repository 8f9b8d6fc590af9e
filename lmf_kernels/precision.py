"""Which floating-point type is faster on this machine: `--dtype auto` of the command line."""

import copy
import time

import torch

from .models import Decoder
from .upscale import upscale

_LR, _SCALE, _ROUNDS = (48, 48), 2, 3
_LEAST = 1.1  # times as fast: less is within the noise of so short a measurement, and not worth any precision


@torch.no_grad()
def bfloat16_speedup(model: Decoder) -> float:
    """How many times as fast a float32 model upscales in bfloat16 as in float32, by a measurement of about a second.

    A picture of 48x48 pixels is brought to twice the size, in either type in turn, with the threads and the backend in
    use; the fastest round of each type counts.
    """
    image = torch.rand(1, 3, *_LR, generator=torch.Generator().manual_seed(0))
    models = {torch.float32: model, torch.bfloat16: copy.deepcopy(model).to(torch.bfloat16)}
    seconds = dict.fromkeys(models, float("inf"))
    for turn in range(1 + _ROUNDS):
        for dtype, each in models.items():
            given = image.to(next(each.parameters()).device, dtype)
            started = time.perf_counter()
            upscale(each, given, _SCALE, dtype=torch.uint8)
            if turn:  # the first round packs weights
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.float32] / seconds[torch.bfloat16]


def in_fastest_type(model: Decoder) -> Decoder:
    """The float32 model in bfloat16, in place, if that is measurably faster on this machine's CPU; else as it is."""
    if next(model.parameters()).device.type != "cpu" or bfloat16_speedup(model) < _LEAST:
        return model
    return model.to(torch.bfloat16)
