"""What the kernels with dense layers up to 256 wide have in common on the Python side: limits, tiles, constants."""

from contextlib import nullcontext

import torch

from . import availability
from .arguments import power_of_two
from .configurations import Configuration
from ..native_call import HALVES, refuse_common

WIDEST = 256  # a tile's activations are in registers
WIDEST_FLOAT32 = 64  # wider layers spill most of them to memory
PROGRAMS = 2 ** 31 - 1  # of one launch


def refuse(call, widths):
    """None, or the reason why no such kernel can run the call. widths: of all layers, and of a Fourier product."""
    device = call.fields.device
    if device.type != ("cpu" if availability.interpreting() else "cuda"):
        where = "on CPU tensors, in the interpreter" if availability.interpreting() else "on a GPU"
        return f"tensors are on {device}, the kernel runs {where}"
    return (refuse_common(call, halves=True) or refuse_widths(widths) or _refuse_float32(call, widths)
            or _refuse_device(call))


def refuse_widths(widths):
    """The reason why a layer is too wide, or None."""
    if max(widths) > WIDEST:
        return f"a layer is {max(widths)} wide, the kernel is built for widths up to {WIDEST}"
    return None


def _refuse_float32(call, widths):
    if call.fields.dtype in HALVES or max(widths) <= WIDEST_FLOAT32 or availability.interpreting():
        return None
    return (f"a layer is {max(widths)} wide, with float32 fields the kernel is built for widths up to "
            f"{WIDEST_FLOAT32}; wider ones run on the reference, with torch's matrix products")


def _refuse_device(call):
    device = call.fields.device
    if device.type != "cuda" or torch.version.hip:
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "the kernel needs a GPU of compute capability 8.0 or newer"
    return availability.refuse_ieee(device) if call.fields.dtype == torch.float32 else None


def padded_width(widths, fourier):
    """The width to which all layers are padded. Cosines and sines are in blocks of their own, of 16 or more."""
    return power_of_two(max(*widths, 32 if fourier else 16))


def configuration(call, wide):
    """The Configuration of a tile. wide: whether neighbours in a row should be preferred, as at large scales.

    Chosen without a GPU, so that no supported architecture spills registers (tests/test_triton_compiled.py).
    """
    if availability.interpreting():
        return Configuration(16, 64, 4)  # its time depends on the number of programs
    if call.fields.dtype in HALVES:
        return Configuration(4, 16, 4) if wide else Configuration(8, 8, 4)
    return Configuration(2, 16, 8) if wide else Configuration(4, 8, 8)


def constants(call, width, first):
    """Compile-time constants that these kernels share. width: of `padded_width`; first: of the head."""
    import triton.language as tl

    types = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    fourier = call.spec.head == "fourier"
    block = min(64 if call.fields.dtype in HALVES else 32, width // 2 if fourier else width)
    return {
        "FOURIER": fourier, "UNIT": call.epilogue == "unit", "FIRST": first, "BLOCKS": width // block, "BLOCK": block,
        "TYPE": types[call.fields.dtype], "EMULATED": availability.interpreting(),
        "ALIGNMENT": 16 if all(step % 16 == 0 for step in call.fields.stride()[:3]) else 1,
    }


def on_device(device):
    """A context in which launches go to the device."""
    return nullcontext() if device.type == "cpu" else torch.cuda.device(device)


def launches(total):
    """(first, count) of each launch of `total` programs."""
    return [(first, min(PROGRAMS, total - first)) for first in range(0, total, PROGRAMS)]
