"""The compiled module, or why it is missing. torch comes first, so that both share its OpenMP runtime."""

import torch  # noqa: F401

try:
    from ... import _cpu as module
    why_missing = ""
except ImportError as error:
    module = None
    why_missing = f"the compiled module lmf_kernels._cpu cannot be imported ({error}); install with a C++ compiler"
