"""The compiled module, or why it is missing, and what it says of this machine's devices."""

from functools import lru_cache

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
