"""What the kernels of 256-wide layers have in common: what they refuse, and how they are launched.

Operands are of the fields' half type, sums are float32. Packed weights, 128 KB per layer, are kept with the weights.
"""

import torch

from . import native, warpgroups
from .. import packed_weights
from ..native_call import HALVES, refuse_common

WIDTH = 256  # that the kernels' layers have; narrower ones are padded with zeros
NARROWEST = 64  # of the widest hidden layer: below, nearly all multiplications would be by zero
PASSES = 12  # layers between the head and the output layer


def refuse_device(call):
    """The reason why the call's tensors are not where a kernel runs, or None."""
    if call.fields.device.type != "cuda":
        return f"tensors are on {call.fields.device}, the kernel runs on a CUDA device"
    return native.refuse_device(call.fields.device.index)


def refuse_types(call):
    """The reason why a kernel cannot take the types of the call's tensors, or None."""
    return refuse_common(call, halves=True) or refuse_float32(call)


def refuse_float32(call):
    """The reason why a kernel cannot compute in the fields' type, or None."""
    if call.fields.dtype in HALVES:
        return None
    return (f"fields is {call.fields.dtype}, the kernel multiplies {' and '.join(map(str, HALVES))} on tensor cores; "
            "float32 runs on the reference, with torch's matrix products, a piece at a time")


def refuse_widths(widths, head, first, in_dim):
    """The reason why the kernels are not built for these layers, or None.

    widths: of all hidden layers. first: width of the first one, which a linear head computes. in_dim: width of a
    Fourier head.
    """
    widest = max(widths)
    if not NARROWEST <= widest <= WIDTH:
        return f"the widest hidden layer has {widest} channels, the kernel is built for {NARROWEST} to {WIDTH}"
    if head == "linear" and first % 8:
        return f"the first hidden layer has {first} channels, the kernel is built for multiples of 8"
    if head == "fourier" and (in_dim % 16 or in_dim > WIDTH):
        return f"the Fourier head is {in_dim} wide, the kernel is built for multiples of 16 up to {WIDTH}"
    return None


def refuse_passes(passes):
    """The reason why the kernels do not take so many layers between the head and the output, or None."""
    if passes <= PASSES:
        return None
    return f"it has {passes} layers between the head and the output, the kernel is built for up to {PASSES}"


def entries(kernel, seen=lambda call: ()):
    """`native_call.entries` of the kernel of that name.

    seen: what the packed weights of a call depend on besides weights, network and type.
    """
    def start(call, packed_call, addresses, index, stream):
        group = warpgroups.refusal(index, call.fields.dtype) is None

        def pack():
            size = getattr(native.module, f"{kernel}_packed_bytes")(packed_call)
            packed = torch.empty(size, dtype=torch.uint8, device=call.weights.device)
            getattr(native.module, f"{kernel}_pack")(packed_call, addresses, group, packed.data_ptr(), index, stream)
            return packed

        packed = packed_weights.get(call.weights, (kernel, call.spec, call.fields.dtype, group, seen(call)), pack)
        getattr(native.module, kernel)(packed_call, addresses, group, packed.data_ptr(), index, stream)

    return native.entries(kernel, start)
