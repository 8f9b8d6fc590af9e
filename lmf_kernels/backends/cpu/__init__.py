"""Fused C++ kernels, compiled for several instruction sets. One is selected at run time; LMF_CPU_ISA overrides it."""

from . import modulated_mlp, native, plain_mlp
from ..interface import KernelBackend


def _availability():
    """(available, detail)."""
    if native.module is None:
        return False, native.why_missing
    try:
        return True, f"instruction set {native.module.isa()}"
    except RuntimeError as error:  # LMF_CPU_ISA names one that is not available
        return False, f"{error}."


class CPUBackend(KernelBackend):
    """The compiled CPU kernels."""

    def conflict(self, call):
        """An LMF_CPU_ISA that cannot run here, where it would have mattered."""
        if call.fields.device.type != "cpu" or call.family.name not in self.kernels or native.module is None:
            return None
        available, detail = self.availability()
        return None if available else detail


backend = CPUBackend("cpu", {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp}, _availability)
