"""Triton without a GPU: launches go through Triton's own binder as far as the compiled kernel, and no further."""

from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class Offline:
    """Stands for the driver of a GPU that is not here. target: triton.backends.compiler.GPUTarget."""

    def __init__(self, target):
        self.target = target

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def target_of(architecture):
    """The GPUTarget of "sm_90", "gfx942", ...: what Triton's driver says on such a GPU."""
    if architecture.startswith("gfx"):
        return GPUTarget("hip", architecture, 64)
    return GPUTarget("cuda", int(architecture.removeprefix("sm_")), 32)


def compile_for(target):
    """From here on every launch in this process compiles its kernel for `target`, or finds it in Triton's cache, and
    launches nothing. Tensors may be anywhere. Gives the list to which the compiled kernels are added."""
    driver.set_active(Offline(target))
    run, compiled = JITFunction.run, []

    def compile_alone(self, *arguments, grid, warmup, **options):
        compiled.append(run(self, *arguments, grid=grid, warmup=True, **options))

    JITFunction.run = compile_alone
    return compiled
