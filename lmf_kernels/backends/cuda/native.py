"""The compiled module, or why it is missing, and what it says of this machine's devices."""

from functools import lru_cache

import torch

from . import images

try:
    from ... import _cuda as module
    why_missing = ""
except ImportError as error:
    module = None
    why_missing = f"the compiled module lmf_kernels._cuda cannot be imported ({error}); install with nvcc on PATH"


@lru_cache(maxsize=None)
def devices():
    """`_cuda.device_info()`, asked once: the first question starts the driver."""
    return module.device_info()


def architectures():
    """What the module holds: "sm_90" is machine code, "compute_120" PTX."""
    return module.build_info()["architectures"]


@lru_cache(maxsize=None)
def refuse_device(index):
    """Why the module cannot run on the GPU of this CUDA index, or None."""
    report = devices()
    if index >= report["count"]:
        return f"CUDA shows {report['count']} devices here, none with index {index}"
    return images.refusal(architectures(), report["devices"][index])


def launch(function, arguments, device):
    """function(*arguments, device index, stream) of the module, on torch's current stream of a CUDA device.

    The device is the thread's current one meanwhile. Torch's guard sees to it and not the module, because torch knows
    which devices have a context: a process that uses cuda:1 alone must not get one on cuda:0 by going back to it.
    """
    with torch.cuda.device(device):
        function(*arguments, device.index, torch.cuda.current_stream(device).cuda_stream)
