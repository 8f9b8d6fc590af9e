"""`csrc/cuda/plain_mlp.cu` behind the backend interface."""

from functools import partial

import torch

from . import native
from ..native_call import HALVES, refuse_common

WIDTH = 256  # that the kernel's layers have; narrower ones are padded with zeros
NARROWEST = 64  # of the widest hidden layer: below, nearly all multiplications would be by zero
PASSES = 12  # layers between the head and the output layer whose biases fit in the shared memory of a block


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    if call.fields.device.type != "cuda":
        return f"tensors are on {call.fields.device}, the kernel runs on a CUDA device"
    return (native.refuse_device(call.fields.device.index) or refuse_common(call, halves=True)
            or refuse_float32(call) or refuse_shape(call.spec))


def refuse_float32(call):
    """The reason why the kernel cannot compute in the fields' type, or None."""
    if call.fields.dtype in HALVES:
        return None
    return (f"fields is {call.fields.dtype}, the kernel multiplies {' and '.join(map(str, HALVES))} on tensor cores; "
            "float32 runs on the reference, with torch's matrix products, a piece at a time")


def refuse_shape(spec):
    """The reason why the kernel is not built for this render MLP, or None."""
    if not spec.widths:
        return "the network has no hidden layer, the kernel is built for one or more"
    widest, passes = max(spec.widths), len(spec.widths) - (spec.head == "linear")
    if not NARROWEST <= widest <= WIDTH:
        return f"the widest hidden layer has {widest} channels, the kernel is built for {NARROWEST} to {WIDTH}"
    if spec.head == "linear" and spec.widths[0] % 8:
        return f"the first hidden layer has {spec.widths[0]} channels, the kernel is built for multiples of 8"
    if spec.head == "fourier" and (spec.in_dim % 16 or spec.in_dim > WIDTH):
        return f"the Fourier head is {spec.in_dim} wide, the kernel is built for multiples of 16 up to {WIDTH}"
    if passes > PASSES:
        return f"it has {passes} layers between the head and the output, the kernel is built for up to {PASSES}"
    return None


def run(call):
    """Render into a new tensor, on the current stream of the fields' device.

    Operands are of the fields' half type, sums are float32. Allocates the packed weights besides, 128 KB per layer.
    """
    device = call.fields.device
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=device)
    described, alive = native.packer.plain_mlp(native.aligned(call), out)
    packed = torch.empty(native.module.plain_mlp_packed_bytes(described), dtype=torch.uint8, device=device)
    native.launch(partial(_launch, packed), described, device)
    del alive  # the caching allocator keeps their memory until the stream has passed this launch
    return out


def _launch(packed, call, index, stream):
    native.module.plain_mlp(call, packed.data_ptr(), index, stream)
