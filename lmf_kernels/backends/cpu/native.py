"""The compiled module and its packer, or why it is missing. torch is imported first, so that both share its OpenMP."""

import torch  # noqa: F401

from ..native_call import Packer

try:
    from ... import _cpu as module
    packer = Packer(module)
    why_missing = ""
except ImportError as error:
    module = None
    why_missing = f"the compiled module lmf_kernels._cpu cannot be imported ({error}); install with a C++ compiler"
except AttributeError:  # it exports no structs
    module = None
    why_missing = "the compiled module lmf_kernels._cpu was built from older sources; install lmf_kernels again"
