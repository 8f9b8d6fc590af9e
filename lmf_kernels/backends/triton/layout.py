"""Layout of the modulated family's tensors for the Triton kernels: where each part lies in the flat weights and in the
parameters of one LR cell. The twin of csrc/common/modulated_layout.h and of families/modulated_mlp.py.

Weights:          head | W_1 .. W_{DEPTH-1} (HIDDEN, HIDDEN) each | W_out (HIDDEN, 3) | b_out (3)
  linear head:    rel (2, HIDDEN) | cell (2, HIDDEN)
  Fourier head:   phase (2, HALF) | W_0 (2 * HALF, HIDDEN)
Cell parameters:  scale (DEPTH, HIDDEN) | shift (DEPTH, HIDDEN) | head
  linear head:    base (HIDDEN)
  Fourier head:   coef (2 * HALF) | freq (HALF, 2)

Each function returns an offset in elements. Matrices are stored input-major, (in, out). Gradients have the same layout.
The rows of rel, cell and phase are for y and x; coef and the rows of W_0 are HALF cosines, then HALF sines.
"""

import triton
import triton.language as tl


# ---- flat weights. rel and cell belong to a linear head; phase and w0 to a Fourier head.
@triton.jit
def rel_offset(
    axis,  # 0: y, 1: x
    HIDDEN: tl.constexpr,
):
    return axis * HIDDEN


@triton.jit
def cell_offset(
    axis,  # 0: y, 1: x
    HIDDEN: tl.constexpr,
):
    return (2 + axis) * HIDDEN


@triton.jit
def phase_offset(
    axis,  # 0: y, 1: x
    HALF: tl.constexpr,
):
    return axis * HALF


@triton.jit
def w0_offset(HALF: tl.constexpr):
    return 2 * HALF


@triton.jit
def layer_offset(
    layer,  # 1 or more: the offset of W_layer
    FOURIER: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
):
    w1: tl.constexpr = 2 * HALF + 2 * HALF * HIDDEN if FOURIER else 4 * HIDDEN
    return w1 + (layer - 1) * HIDDEN * HIDDEN


@triton.jit
def w_out_offset(
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
):
    return layer_offset(DEPTH, FOURIER, HIDDEN, HALF)


@triton.jit
def b_out_offset(
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
):
    return layer_offset(DEPTH, FOURIER, HIDDEN, HALF) + 3 * HIDDEN


# ---- parameters of one cell. base belongs to a linear head; coef and freq to a Fourier head.
@triton.jit
def scale_offset(
    layer,  # 0 or more
    HIDDEN: tl.constexpr,
):
    return layer * HIDDEN


@triton.jit
def shift_offset(
    layer,  # 0 or more
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
):
    return (DEPTH + layer) * HIDDEN


@triton.jit
def base_offset(
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
):
    return 2 * DEPTH * HIDDEN


@triton.jit
def coef_offset(
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
):
    return 2 * DEPTH * HIDDEN


@triton.jit
def freq_offset(
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
):
    return 2 * DEPTH * HIDDEN + 2 * HALF


@triton.jit
def cell_channels(
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
):
    """The number of parameters of one cell."""
    return 2 * DEPTH * HIDDEN + (4 * HALF if FOURIER else HIDDEN)
