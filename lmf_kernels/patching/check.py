"""Compares a patched object with its original on a small input: a class may look like the authors' and compute
something else."""

import torch

from ..errors import InputError
from .original import on_device_of

_SIZE = (9, 11)  # LR pixels
_QUERIES = 128  # more than LR pixels: the authors' code reads as many cells
_MOST = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the largest value, or of 1
_MOST_OF_HALF = 0.1


@torch.no_grad()
def compare(original, module):
    """Raise InputError unless `original`, the authors' class, and the module's present class give nearly the same.

    Leaves the module as it was; takes about as long as encoding 9x11 pixels twice.
    """
    weight = next(module.parameters())
    inp, coord = (part.to(weight.device, weight.dtype) for part in _small_input())
    cell = torch.full_like(coord, 0.05)
    modes, attributes = [(part, part.training) for part in module.modules()], dict(module.__dict__)
    patched = type(module)
    try:
        module.__class__ = original
        for part, _ in modes:
            part.training = False
        with on_device_of(module):
            try:
                theirs = original.forward(module, inp, coord, cell)
            except Exception as error:
                raise InputError(f"its own forward(inp, coord, cell) fails on {_SIZE[1]}x{_SIZE[0]} pixels: "
                                 f"{type(error).__name__}: {error}.") from error
        module.__class__ = patched
        ours = patched.forward(module, inp, coord, cell)
    finally:
        module.__class__ = patched
        module.__dict__.clear()
        module.__dict__.update(attributes)
        for part, mode in modes:
            part.training = mode
        module._lmf_twin.fields.clear()
    most = _MOST.get(weight.dtype, _MOST_OF_HALF) * max(1.0, float(theirs.abs().max()))
    off = float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("inf")
    if not off <= most:
        raise InputError(f"it computes something else: on a small input the results differ by {off:.3g}.")


def _small_input():
    """(image, coordinates away from the border), drawn without touching torch's own random numbers."""
    draw = torch.Generator().manual_seed(5)
    image = torch.rand(1, 3, *_SIZE, generator=draw) * 2 - 1
    return image, torch.rand(1, _QUERIES, 2, generator=draw) * 1.6 - 0.8
