"""Fused C++ kernels, compiled for several instruction sets and chosen at run time (LMF_CPU_ISA overrides)."""

from . import modulated_mlp, native

name = "cpu"
families = {"modulated_mlp": modulated_mlp}


def status():
    """(available, detail)."""
    if native.module is None:
        return False, native.why_missing
    complaint = wrong_override()
    return (False, complaint) if complaint else (True, f"instruction set {native.module.isa()}")


def wrong_override():
    """What is wrong with LMF_CPU_ISA, or None."""
    if native.module is None:
        return None
    try:
        native.module.isa()
    except RuntimeError as error:
        return f"{error}."
    return None
