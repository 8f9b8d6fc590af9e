"""Fused CUDA kernels, compiled for the architectures that `lmf-kernels info` lists."""

from . import modulated_mlp, native

name = "cuda"
families = {"modulated_mlp": modulated_mlp}


def status():
    """(available, detail)."""
    if native.module is None:
        return False, native.why_missing
    report = native.devices()
    if report["count"] == 0:
        return False, f"CUDA shows no device here ({report['reason']})"
    return True, f"machine code for {' '.join(native.module.build_info()['architectures'])}"
