"""`csrc/cpu/plain_mlp.cpp` behind the backend interface."""

import torch

from . import native
from ..native_call import refuse_common


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    if not call.fields.is_cpu:
        return f"tensors are on {call.fields.device}, the kernel runs on the CPU"
    return refuse_common(call, halves=True)


def run(call):
    """Render into a new tensor. Allocates a packed copy of the weights besides, and per thread the activations of 96
    rows; also a copy of fields whose channels are strided."""
    out = torch.empty(call.output_shape(), dtype=call.dtype, device="cpu")
    packed, alive = native.packer.plain_mlp(call, out, torch.get_num_threads())
    native.module.plain_mlp(packed)
    del alive
    return out
