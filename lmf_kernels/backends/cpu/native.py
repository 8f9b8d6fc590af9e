"""The compiled module and its packer, or why it is missing, and what all its kernels have in common. torch is imported
first, so that both share its OpenMP."""

import os
import warnings

import torch

from ...build_info import source_folder
from ..native_call import addresses, load_module, output_strides, refuse_common

module, packer, why_missing = load_module("_cpu")
setting = getattr(module, "setting", os.environ.get)  # of the environment; read at every call

if module is None and source_folder() is not None:
    warnings.warn(
        f"lmf_kernels is imported from its source folder {source_folder()}, where it is not compiled: models run on "
        "the slow PyTorch reference. Start Python in another folder to use the installed package, or compile it in "
        "place with `pip install -e .`.", stacklevel=2)


def can_run(call):
    """The reason why a kernel cannot take the call, or None."""
    if not call.fields.is_cpu:
        return f"tensors are on {call.fields.device}, the kernel runs on the CPU"
    return refuse_common(call, halves=True)


def renderer(kernel, call):
    """render(call) by the kernel of that name, into a new tensor or into `call.out`: see `native_call.entries`."""
    shape, strides, dtype, cpu = call.output_shape(), output_strides(call), call.dtype, torch.device("cpu")
    function, packed = getattr(module, kernel), getattr(packer, kernel)(call, strides)

    def render(call):
        out = call.out
        if out is None:
            out = torch.empty_strided(shape, strides, dtype=dtype, device=cpu)  # a third faster than torch.empty
        function(packed, addresses(call, out), torch.get_num_threads())
        return out

    return render
