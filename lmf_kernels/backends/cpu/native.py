"""The compiled module and its packer, or why it is missing. torch is imported first, so that both share its OpenMP."""

import warnings

import torch  # noqa: F401

from ...build_info import source_folder
from ..native_call import load_module

module, packer, why_missing = load_module("_cpu")

if module is None and source_folder() is not None:
    warnings.warn(
        f"lmf_kernels is imported from its source folder {source_folder()}, where it is not compiled: models run on "
        "the slow PyTorch reference. Start Python in another folder to use the installed package, or compile it in "
        "place with `pip install -e .`.", stacklevel=2)
