"""Fused CUDA kernels, compiled for the architectures that `lmf-kernels info` lists."""

from . import c2f_mlp, modulated_mlp, native, plain_mlp, warpgroups
from ..interface import KernelBackend


def _availability():
    """(available, detail). Available where the module serves at least one GPU; calls on the others are refused."""
    if native.module is None:
        return False, native.why_missing
    report = native.devices()
    if report["count"] == 0:
        return False, f"CUDA shows no device here ({report['reason']})"
    refusals = [native.refuse_device(index) for index in range(report["count"])]
    if None not in refusals:
        return False, "; ".join(dict.fromkeys(refusals))
    return True, f"built for {' '.join(native.architectures())}"


backend = KernelBackend("cuda", {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp, "c2f_mlp": c2f_mlp},
                        _availability, needs_evidence=True, self_tests=warpgroups.self_tests)
