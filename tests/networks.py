"""Render MLPs that tests share. A GPU's Triton kernels are compiled for each: so what depends on the network is tested
with the few of VARIED, and what does not with PAPERS, or in a backward pass with SMALL."""

from lmf_kernels.families import RenderSpec

PAPERS = {"lm-liif": RenderSpec("linear", 0, (16,) * 6), "lm-lte": RenderSpec("fourier", 16, (16,) * 8)}

SMALL = (RenderSpec("linear", 0, (16,) * 2), RenderSpec("fourier", 16, (16,) * 2, False))  # quick to compile

# Each head with and without ensemble; widths that are padded and that are not, one channel and more than a tile's 16
# columns; a Fourier head as wide as the layers, wider and narrower; one layer, and more than Triton unrolls.
VARIED = (
    *PAPERS.values(),
    *SMALL,
    RenderSpec("linear", 0, (7,), False),
    RenderSpec("linear", 0, (24,) * 9),
    RenderSpec("linear", 0, (40,) * 2),
    RenderSpec("fourier", 30, (24,) * 2),
    RenderSpec("fourier", 16, (1,), False),
    RenderSpec("linear", 0, (32,) * 6, False),
)


def has_skip(spec):
    """Whether a network is rendered with the LR skip where each combination is a compilation: those of one layer are
    not."""
    return len(spec.widths) > 1
