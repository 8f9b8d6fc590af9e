"""The pure-PyTorch reference as a backend: any device, any floating dtype, always there."""

import torch

from . import modulated_mlp, plain_mlp

name = "reference"
families = {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp}


def status():
    """(available, detail)."""
    return True, f"torch {torch.__version__}, any device"
