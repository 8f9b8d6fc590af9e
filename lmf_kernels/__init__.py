"""Arbitrary-scale super-resolution decoders: fused kernels with a pure-PyTorch reference as the truth.

    import lmf_kernels as lmf
    model = lmf.load_model("checkpoint.pth")
    picture = lmf.upscale(model, image, scale=3.7)      # (B, 3, h, w) in [0, 1] -> (B, 3, H, W) in [0, 1]
"""

from importlib.metadata import PackageNotFoundError, version

from .backends import describe as backends, use_backend
from .checkpoints import load_model, save_model
from .errors import BackendError, CheckpointError, InputError
from .explanation import explain
from .models import build_model
from .families import RenderSpec
from .graphed import GraphedUpscaler
from .upscale import upscale, upscale_rows

try:
    __version__ = version("lmf_kernels")
except PackageNotFoundError:  # run from a source folder that was never installed
    __version__ = "0+source"

__all__ = ["BackendError", "CheckpointError", "InputError", "RenderSpec", "GraphedUpscaler", "backends", "build_model",
           "explain", "load_model", "save_model", "upscale", "upscale_rows", "use_backend"]
