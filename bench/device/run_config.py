"""What a run is: where it runs, which sizes, which kernels. Made once, before anything touches the GPU."""

from dataclasses import dataclass
from functools import cached_property

import torch

from lmf_kernels.backends.dispatch import BACKENDS
from lmf_kernels.request import output_size

FLOATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
MODELS = ("lmliif", "lmlte")

# LR size (h, w) and the scales measured from it, the most telling ones first: time may run out.
CASES = (((180, 320), ("x12", "x4", "x2", "x8", "x3.3")), ((540, 960), ("x4", "x2")))
PEER_SCALES = ("x12", "x4", "x2")
DRY_CASES = (((5, 7), ("x2", "x3.3")),)


@dataclass(frozen=True)
class RunConfig:
    dry: bool

    @cached_property
    def device(self):
        return torch.device("cpu") if self.dry else torch.device("cuda", 0)

    @property
    def sizes(self):
        """((h, w), scale's name), in the order in which they are measured."""
        return [(lr, scale) for lr, scales in (DRY_CASES if self.dry else CASES) for scale in scales]

    @property
    def peer_sizes(self):
        """Those at which the peers are measured: they are slow."""
        return [(lr, scale) for lr, scale in self.sizes if self.dry or (lr == CASES[0][0] and scale in PEER_SCALES)]

    @property
    def tile(self):
        """What an interactive user waits for."""
        return (8, 8) if self.dry else (48, 48)

    @property
    def kernels(self):
        """(backend, dtype's name) of every kernel that can run here."""
        if self.dry:
            return [("cpu", "float32")] if BACKENDS["cpu"].availability()[0] else []
        able = [name for name, backend in BACKENDS.items() if backend.needs_evidence and backend.availability()[0]]
        return [(name, dtype) for name in able for dtype in FLOATS]

    @property
    def cuda(self):
        """The kernels but Triton's, which compile as they come and have calls of their own."""
        return [kernel for kernel in self.kernels if kernel[0] != "triton"]

    @property
    def triton(self):
        return [kernel for kernel in self.kernels if kernel[0] == "triton"]

    @property
    def half(self):
        """The half type that peers are measured in: what users pick."""
        return "bfloat16" if self.dry else "float16"  # a CPU is slow in float16

    @property
    def rounds(self):
        """(seconds a case, least rounds, most rounds)."""
        return (0.0, 2, 2) if self.dry else (0.25, 5, 60)


def size_of(lr, scale):
    """Output size (H, W) of a scale's name such as "x3.3"."""
    return output_size(lr, float(scale[1:]))
