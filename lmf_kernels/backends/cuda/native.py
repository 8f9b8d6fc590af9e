"""The compiled module, or why it is missing, and what it says of this machine's devices."""

from functools import lru_cache

from ...build_info import load
from . import images

module, _reason = load("_cuda")
why_missing = _reason and f"the compiled module lmf_kernels._cuda cannot be imported: {_reason}"


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
