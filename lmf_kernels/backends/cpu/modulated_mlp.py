"""`csrc/cpu/modulated_mlp.cpp` behind the backend interface."""

import torch

from . import native
from ..native_call import modulated_arguments, refuse_common


def can_run(call):
    """None, or in words why this kernel cannot take the call."""
    if not call.fields.is_cpu:
        return f"tensors are on {call.fields.device}, the kernel runs on the CPU"
    return refuse_common(call, halves=False)


def run(call):
    """Render into a fresh tensor. Beside it only kilobytes of scratch, and a copy of fields with strided channels."""
    out = torch.empty(call.output_shape(), dtype=call.dtype)
    arguments, alive = modulated_arguments(call, out)
    native.module.modulated_mlp(*arguments, torch.get_num_threads())
    del alive
    return out
