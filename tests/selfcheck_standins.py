"""Backends on CPU tensors that stand in for GPU kernels: each behaves in one known way that a self-check must notice.

    in the test's process    with standins.registered("abort", "fast"): ...
    in the child process     imported through LMF_KERNELS_SELFCHECK_HOOK; LMF_TEST_STANDINS="abort,fast" names them

LMF_TEST_SELF_TEST, one of SELF_TESTS, gives each a self-test.

What is right is computed by the CPU kernels, in float32 whatever the fields' type.
"""

import ctypes
import os
import time
from contextlib import contextmanager

import torch
from lmf_kernels.backends import KernelBackend, cpu, dispatch, evidence, reference
from lmf_kernels.families import MODULATED_MLP, RenderSpec
from lmf_kernels.ops import modulated_mlp
from lmf_kernels.selfcheck import lookup
from lmf_kernels.selfcheck.verdicts import Item

NAMED = "LMF_TEST_STANDINS"
SELF_TEST = "LMF_TEST_SELF_TEST"
KERNEL = cpu.backend.kernels["modulated_mlp"]


def unwritten(result):
    """Fresh memory in place of the last pixel."""
    torch.empty(4096)  # nothing here may fill it by chance
    fresh = torch.empty_like(result)
    flat, target = result.flatten(), fresh.view(-1)
    target[:-1] = flat[:-1]
    return fresh


def raising(error):
    def fail(result):
        raise error

    return fail


def after(seconds):
    def wait(result):
        time.sleep(seconds)
        return result

    return wait


def aborting(result):
    os.abort()


def faulting(result):
    ctypes.string_at(8)


def exiting(result):
    os._exit(7)


def rendering(result):
    """As a kernel that calls the operator again, with backend="auto"."""
    spec = RenderSpec("linear", 0, (16,))
    modulated_mlp(torch.ones(1, 2, 2, 48), torch.ones(MODULATED_MLP.weight_count(spec)), spec, (4, 4))
    return result


BEHAVIOURS = {  # name: what becomes of a right result
    "fast": lambda result: result,
    "slow": after(0.2),
    "wrong": lambda result: result + result.abs().max() * 1e-3 if result.is_floating_point() else result,
    "turned": lambda result: result.flip(-1),
    "unwritten": unwritten,
    "abort": aborting,
    "segfault": faulting,
    "exit": exiting,
    "hang": after(1000),
    "recursive": rendering,
    "raise": raising(RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")),
    "full": raising(torch.cuda.OutOfMemoryError("CUDA out of memory.")),
}

SELF_TESTS = {"right": lambda: None, "wrong": lambda: "one element is wrong", "abort": os.abort,
              "hang": lambda: time.sleep(1000)}


def self_test_item(name):
    return Item(name, evidence.SELF_TEST, "matrix", "one tile", "float32")


def self_tests_of(name):
    """Of the stand-in of that name."""
    chosen = os.environ.get(SELF_TEST)
    return lambda device: {self_test_item(name): SELF_TESTS[chosen]} if chosen else {}


class StandIn:
    """The modulated family's kernel module of a backend. ran, differentiated: how often, in this process."""

    def __init__(self, behave):
        self._behave = behave
        self.ran = self.differentiated = 0

    def can_run(self, call):
        if call.fields.dtype == torch.float64:
            return "fields are float64"
        return KERNEL.can_run(_float32(call))

    def run(self, call):
        self.ran += 1
        return self._behave(KERNEL.run(_float32(call)).to(call.dtype))

    def can_differentiate(self, call, wanted):
        return KERNEL.can_differentiate(_float32(call), wanted)

    def gradients(self, call, grad, wanted):
        self.differentiated += 1
        found = KERNEL.gradients(_float32(call), grad.float(), wanted)
        *others, last = [g.to(call.fields.dtype) for g in found]
        return [*others, self._behave(last)]


def _float32(call):
    tensors = {name: tensor.float() for name, tensor in call.tensors().items()}
    return call._replace(**tensors, dtype=torch.uint8 if call.dtype == torch.uint8 else torch.float32)


@contextmanager
def registered(*names):
    """Inside the block these are the kernels that need a verdict, and nothing but the reference comes after them.

    Yields {name: StandIn}.
    """
    before = dispatch.BACKENDS, lookup.DEVICE_TYPES
    standins = {name: StandIn(BEHAVIOURS[name]) for name in names}
    backends = {name: KernelBackend(name, {"modulated_mlp": kernel}, lambda: (True, "a stand-in"), needs_evidence=True,
                                    self_tests=self_tests_of(name))
                for name, kernel in standins.items()}
    dispatch.BACKENDS = {**backends, "reference": reference.backend}
    lookup.DEVICE_TYPES = {"cpu"}
    try:
        yield standins
    finally:
        dispatch.BACKENDS, lookup.DEVICE_TYPES = before


if os.environ.get(NAMED) and os.environ.get(lookup.SWITCH) == "0":  # in a self-check's child process, for its life
    _for_life = registered(*os.environ[NAMED].split(","))
    _for_life.__enter__()
