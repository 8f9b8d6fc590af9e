"""The compiled module and its packer, or why it is missing, and what it reports about this machine's devices."""

from functools import cache

import torch

from . import architectures as rules
from ..native_call import load_module

module, packer, why_missing = load_module("_cuda")


@cache
def devices():
    """`_cuda.device_info()`, asked once: the first question starts the driver."""
    return module.device_info()


def architectures():
    """What the module holds: "sm_90" is machine code, "compute_120" PTX."""
    return module.build_info()["architectures"]


@cache
def refuse_device(index):
    """Why the module cannot run on the GPU of this CUDA index, or None."""
    report = devices()
    if index >= report["count"]:
        return f"CUDA shows {report['count']} devices here, none with index {index}"
    return rules.refusal(architectures(), report["devices"][index])


def readable(
    fields,  # (B, h, w, C)
):
    """Whether the kernels' wide loads can read the fields in place: each cell's parameters are 16-byte aligned."""
    *steps, last = fields.stride()
    size = fields.element_size()
    return last == 1 and fields.data_ptr() % 16 == 0 and all(step * size % 16 == 0 for step in steps)


def aligned(call):
    """The call with fields that are `readable`: a copy if they are not."""
    if readable(call.fields):
        return call
    return call._replace(fields=call.fields.clone(memory_format=torch.contiguous_format))


def launch(
    function,  # of the module
    call,  # bytes, packed
    device,  # a CUDA device
):
    """Call function(call, device index, stream) on torch's current stream of the device.

    The device is the thread's current one meanwhile. Torch's guard switches it and not the module, because torch knows
    which devices have a context: a process that uses only cuda:1 must not get a context on cuda:0 by switching back.
    """
    with torch.cuda.device(device):
        function(call, device.index, torch.cuda.current_stream(device).cuda_stream)
