"""The pure-PyTorch reference as a backend: CPU and CUDA, float32, float64 and half types, always there."""

import torch

from . import c2f_mlp, modulated_mlp, pieces, plain_mlp
from ..interface import KernelBackend


def _availability():
    """(available, detail)."""
    return True, f"torch {torch.__version__}, CPU and CUDA"


class ReferenceBackend(KernelBackend):
    """`python_ref` over a call, in pieces of bounded size."""

    def pixels_at_once(self, device):
        return pieces.pixels_at_once(device)


backend = ReferenceBackend("reference", {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp, "c2f_mlp": c2f_mlp}, _availability,
                           is_fallback=True)
