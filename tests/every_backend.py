"""Every backend, the CPU one once per instruction set of this machine: what one parametrised test runs over.

Those that need a GPU carry the marker `gpu` and skip where there is none. Tests draw and compare on the CPU: `placed`
moves a call's tensors to where the backend runs. The test-only backend "emulator" runs the CUDA kernels lane by lane:
it exists inside `running("emulator")` alone. Triton's interpreter has a process of its own
(test_triton_interpreted.py), where LMF_TEST_BACKENDS="triton" names it.
"""

import os
from contextlib import contextmanager

import emulator
import networks
import pytest
import recorded_launches
import torch
from lmf_kernels.backends.cpu import native

ISAS = [isa for isa, usable in native.module.isas().items() if usable] if native.module else []
INTERPRETED = {"triton"} if os.environ.get("TRITON_INTERPRET") == "1" else set()  # these run on the CPU
ON_GPU = {"cuda", "triton"} - INTERPRETED
HAS_GPU = torch.cuda.is_available() or recorded_launches.FOLDER
GPU = "cpu" if recorded_launches.FOLDER else "cuda"  # where GPU kernels take their tensors
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device")]
needs_compiler = pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")

NAMED = [name for name in os.environ.get("LMF_TEST_BACKENDS", "").split(",") if name]
CHOICES = NAMED or [*(f"cpu-{isa}" for isa in ISAS), "reference", "emulator", "cuda", "triton"]
COMPILED = [choice for choice in CHOICES if choice != "reference"]
HALVES = [choice for choice in CHOICES if choice != "reference"]  # these take float16 and bfloat16

_LIMITS = {"emulator": {"width": 16, "pixels": 4000}, "cuda": {"width": 16}, "triton": {"pixels": 4000}}
COMPILED_PER_NETWORK = {"triton"} & ON_GPU

if recorded_launches.FOLDER:
    recorded_launches.record()


def marked(choices):
    """Parameters of pytest for backends."""
    marks = {"emulator": needs_compiler, **dict.fromkeys(ON_GPU, needs_gpu)}
    return [pytest.param(choice, marks=marks[choice]) if choice in marks else choice for choice in choices]


over_all = pytest.mark.parametrize("backend", marked(CHOICES))
PLAIN = [choice for choice in CHOICES if choice.startswith(("cpu", "reference"))]  # these have the plain family
over_plain = pytest.mark.parametrize("backend", PLAIN)
over_plain_kernels = pytest.mark.parametrize("backend", [choice for choice in PLAIN if choice != "reference"])
PAPERS = tuple(networks.PAPERS.values())

over_compiled = pytest.mark.parametrize("backend", marked(COMPILED))
over_halves = pytest.mark.parametrize("backend", marked(HALVES))


def limits(choice, among=PAPERS):
    """What `random_renders.draw` must keep to: the one width a backend is built for, pictures small enough for it, the
    networks `among` which it draws where each has to be compiled."""
    return {**_LIMITS.get(choice, {}), **({"among": among} if choice in COMPILED_PER_NETWORK else {})}


def placed(
    tensor,  # any shape and strides, or None
    backend,
):
    """The tensor where a backend takes it, laid out in memory as it was."""
    if tensor is None or tensor.device.type == GPU or backend not in ON_GPU:
        return tensor
    memory = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    return memory.to(GPU).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


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
