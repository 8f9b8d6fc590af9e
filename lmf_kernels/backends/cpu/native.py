"""The compiled module and its packer, or why it is missing. torch is imported first, so that both share its OpenMP."""

import warnings

import torch  # noqa: F401

from ...build_info import load, source_folder
from ..native_call import Packer

module, _reason = load("_cpu")
packer = None
why_missing = _reason and f"the compiled module lmf_kernels._cpu cannot be imported: {_reason}"
if module is not None:
    try:
        packer = Packer(module)
    except AttributeError:  # it exports no structs
        module, why_missing = None, "the compiled module lmf_kernels._cpu was built from older sources; install again"

if module is None and source_folder() is not None:
    warnings.warn(
        f"lmf_kernels is imported from its source folder {source_folder()}, where it is not compiled: models run on "
        "the slow PyTorch reference. Start Python in another folder to use the installed package, or compile it in "
        "place with `pip install -e .`.", stacklevel=2)
