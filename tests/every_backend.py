"""Every backend that can run here, the CPU one once per instruction set: what one parametrised test runs over.

LMF_TEST_BACKENDS="triton" (or several, comma-separated) names the ones to run over instead.
"""

import os
from contextlib import contextmanager

import pytest
import torch
from lmf_kernels.backends.cpu import native

ISAS = [isa for isa, usable in native.module.isas().items() if usable] if native.module else []
HERE = [f"cpu-{isa}" for isa in ISAS] + ["reference"]  # Triton's interpreter is slow: it has a process of its own
CHOICES = [name for name in os.environ.get("LMF_TEST_BACKENDS", "").split(",") if name] or HERE
COMPILED = [choice for choice in CHOICES if choice != "reference"]

over_all = pytest.mark.parametrize("backend", CHOICES)
over_compiled = pytest.mark.parametrize("backend", COMPILED)


@contextmanager
def running(choice):
    """Inside the block the choice's instruction set is the one in use; gives the backend's name."""
    name, _, isa = choice.partition("-")
    before = os.environ.get("LMF_CPU_ISA")
    try:
        if isa:
            os.environ["LMF_CPU_ISA"] = isa
            assert native.module.isa() == isa
        yield name
    finally:
        os.environ.pop("LMF_CPU_ISA", None)
        if before is not None:
            os.environ["LMF_CPU_ISA"] = before


@contextmanager
def poisoned():
    """Fresh tensors are filled with NaN (integers with their largest value), so that a pixel left unwritten shows."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
