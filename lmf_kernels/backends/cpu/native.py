"""The compiled module, or why it is missing. torch comes first, so that both share its OpenMP runtime."""

import warnings

import torch  # noqa: F401

from ...build_info import load, source_folder

module, _reason = load("_cpu")
why_missing = _reason and f"the compiled module lmf_kernels._cpu cannot be imported: {_reason}"

if module is None and source_folder() is not None:
    warnings.warn(
        f"lmf_kernels is imported from its source folder {source_folder()}, where it is not compiled: models run on "
        "the slow PyTorch reference. Start Python in another folder to use the installed package, or compile it in "
        "place with `pip install -e .`.", stacklevel=2)
