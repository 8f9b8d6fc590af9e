"""The pure-PyTorch reference as a backend: CPU and CUDA, float32, float64 and half types, always there."""

import torch

from . import modulated_mlp, plain_mlp

name = "reference"
families = {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp}


def status():
    """(available, detail)."""
    return True, f"torch {torch.__version__}, CPU and CUDA"
