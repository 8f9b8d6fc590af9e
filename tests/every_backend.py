"""Every backend that can run here, the CPU one once per instruction set: what one parametrised test runs over.

The test-only backend "emulator" runs the CUDA kernels lane by lane: it exists inside `running("emulator")` alone.
Triton's interpreter has a process of its own (test_triton_interpreted.py), where LMF_TEST_BACKENDS="triton" names it.
"""

import os
from contextlib import contextmanager

import emulator
import pytest
import torch
from lmf_kernels.backends.cpu import native

ISAS = [isa for isa, usable in native.module.isas().items() if usable] if native.module else []
EMULATOR = pytest.param("emulator", marks=pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler"))
NAMED = [name for name in os.environ.get("LMF_TEST_BACKENDS", "").split(",") if name]
CHOICES = NAMED or [*(f"cpu-{isa}" for isa in ISAS), "reference", EMULATOR]
COMPILED = [choice for choice in CHOICES if choice != "reference"]
HALVES = [choice for choice in CHOICES if choice == "triton" or choice is EMULATOR]  # these compute in half types

over_all = pytest.mark.parametrize("backend", CHOICES)
over_compiled = pytest.mark.parametrize("backend", COMPILED)
over_halves = pytest.mark.parametrize("backend", HALVES)

_LIMITS = {"emulator": {"width": 16, "pixels": 4000}, "triton": {"pixels": 4000}}


def limits(choice):
    """What `random_renders.draw` must keep to: the one width a backend is built for, pictures small enough for it."""
    return _LIMITS.get(choice, {})


@contextmanager
def running(choice):
    """Inside the block the choice's instruction set is the one in use; gives the backend's name."""
    if choice == "emulator":
        with emulator.registered():
            yield choice
        return
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
