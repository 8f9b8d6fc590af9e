"""Fused C++ kernels, compiled for several instruction sets and chosen at run time (LMF_CPU_ISA overrides)."""

from . import modulated_mlp, native

name = "cpu"
families = {"modulated_mlp": modulated_mlp}


def status():
    """(available, detail)."""
    if native.module is None:
        return False, native.why_missing
    try:
        return True, f"instruction set {native.module.isa()}"
    except RuntimeError as error:  # LMF_CPU_ISA names one that is not available
        return False, f"{error}."


def wrong_override():
    """What is wrong with LMF_CPU_ISA, or None."""
    available, detail = status()
    return None if available or native.module is None else detail
