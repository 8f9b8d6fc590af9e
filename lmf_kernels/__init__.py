"""Arbitrary-scale super-resolution decoders: fused kernels, tested against a pure-PyTorch reference.

    import lmf_kernels as lmf
    model = lmf.load_model("checkpoint.pth")
    picture = lmf.upscale(model, image, scale=3.7)      # (B, 3, h, w) in [0, 1] -> (B, 3, H, W) in [0, 1]
"""

from . import build_info, program

if not program.is_starting():  # the program imports torch when a command needs it
    from .public import *  # noqa: F403
    from .public import __all__  # noqa: F401

__version__ = build_info.version()
