"""The modulated render MLP for a tile of pixels at one corner of the local ensemble (LMF, arXiv 2404.16451, section
3.2). `layout.py` describes the weights and the cell parameters.

Widths are padded to powers of two that matrix instructions support. Padded channels are read as zeros and stay zero.
"""

import triton
import triton.language as tl

from .arithmetic import product, relu, interleave, sincospi
from .layout import (b_out_offset, base_offset, cell_offset, coef_offset, freq_offset, layer_offset, phase_offset,
                     rel_offset, scale_offset, shift_offset, w0_offset, w_out_offset)

UNROLLED = tl.constexpr(8)  # the depth of the papers' models; the layers of deeper networks stay a loop


@triton.jit
def read(
    pointers,  # (rows or 1, PADDED)
    COUNT: tl.constexpr,  # columns in memory
    PADDED: tl.constexpr,
):
    """Load a block, with zeros in the padded columns."""
    if COUNT == PADDED:
        return tl.load(pointers)
    return tl.load(pointers, mask=tl.arange(0, PADDED)[None, :] < COUNT, other=0.0)


@triton.jit
def matrix(
    weights,  # pointer to the matrix, (ROWS, COLUMNS) in memory
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PADDED_ROWS: tl.constexpr,
    PADDED_COLUMNS: tl.constexpr,
):
    """Load an (in, out) matrix, with zeros in the padded rows and columns."""
    k = tl.arange(0, PADDED_ROWS)[:, None]
    o = tl.arange(0, PADDED_COLUMNS)[None, :]
    if ROWS == PADDED_ROWS and COLUMNS == PADDED_COLUMNS:
        return tl.load(weights + k * COLUMNS + o)
    return tl.load(weights + k * COLUMNS + o, mask=(k < ROWS) & (o < COLUMNS), other=0.0)


@triton.jit
def layer_matrix(
    weights,  # pointer to the flat weights
    layer,  # 1 or more
    FOURIER: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
):
    """Load W_layer: (HIDDEN_PADDED, HIDDEN_PADDED)."""
    start = weights + layer_offset(layer, FOURIER, HIDDEN, HALF)
    return matrix(start, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)


@triton.jit
def output_matrix(
    weights,  # pointer to the flat weights
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
):
    """Load W_out: (HIDDEN_PADDED, 16)."""
    return matrix(weights + w_out_offset(FOURIER, DEPTH, HIDDEN, HALF), HIDDEN, 3, HIDDEN_PADDED, 16)


@triton.jit
def rel_cell_part(
    weights,  # pointer to the flat weights
    cell_y,  # (pixels or 1,) float32: rel_cell
    cell_x,  # (pixels or 1,)
    FOURIER: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
):
    """The contribution of rel_cell to the sums of a linear head, (pixels or 1, HIDDEN_PADDED), or the phase of a
    Fourier head, (pixels or 1, HALF_PADDED)."""
    count: tl.constexpr = HALF if FOURIER else HIDDEN
    padded: tl.constexpr = HALF_PADDED if FOURIER else HIDDEN_PADDED
    column = tl.arange(0, padded)[None, :]
    if FOURIER:
        rows_y, rows_x = weights + phase_offset(0, HALF), weights + phase_offset(1, HALF)
    else:
        rows_y, rows_x = weights + cell_offset(0, HIDDEN), weights + cell_offset(1, HIDDEN)
    weight_y = read(rows_y + column, count, padded).to(tl.float32)
    weight_x = read(rows_x + column, count, padded).to(tl.float32)
    return weight_y * cell_y[:, None] + weight_x * cell_x[:, None]


@triton.jit
def fourier_product(
    params,  # (pixels, 1) pointers to the cell parameters
    rel_y,  # (pixels, 1) float32
    rel_x,  # (pixels, 1)
    phase,  # (pixels or 1, HALF_PADDED)
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
):
    """coef * [cos(pi q), sin(pi q)] (LTE, arXiv 2111.08918), (pixels, 2 * HALF_PADDED). Cosine and sine of each q are
    neighbouring columns."""
    j = tl.arange(0, HALF_PADDED)[None, :]
    pairs = params + freq_offset(DEPTH, HIDDEN, HALF) + tl.arange(0, 2 * HALF_PADDED)[None, :]
    freq = read(pairs, 2 * HALF, 2 * HALF_PADDED).to(tl.float32)
    freq_y, freq_x = tl.split(tl.reshape(freq, (freq.shape[0], HALF_PADDED, 2)))
    q = tl.fma(freq_y, rel_y, phase + tl.zeros_like(freq_y))
    q = tl.fma(freq_x, rel_x, q)
    cos, sin = sincospi(q)
    coef = params + coef_offset(DEPTH, HIDDEN) + j
    cos = cos * read(coef, HALF, HALF_PADDED).to(tl.float32)
    sin = sin * read(coef + HALF, HALF, HALF_PADDED).to(tl.float32)
    return interleave(cos, sin)


@triton.jit
def interleaved_matrix(
    weights,  # pointer to W_0, (2 * HALF, HIDDEN): rows of the cosines, then rows of the sines
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """Load W_0 with its rows in the order of `fourier_product`'s columns."""
    k = tl.arange(0, 2 * HALF_PADDED)[:, None]
    o = tl.arange(0, HIDDEN_PADDED)[None, :]
    pointers = weights + (k // 2 + k % 2 * HALF) * HIDDEN + o
    return tl.load(pointers, mask=(k < 2 * HALF) & (o < HIDDEN), other=0.0)


@triton.jit
def modulate(
    sums,  # (pixels, HIDDEN_PADDED) float32
    params,  # (pixels, 1) pointers to the cell parameters
    layer,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """relu(sums * (1 + scale) + shift) with the scale and shift of each pixel's cell. NaN stays NaN."""
    column = tl.arange(0, HIDDEN_PADDED)[None, :]
    scale = read(params + scale_offset(layer, HIDDEN) + column, HIDDEN, HIDDEN_PADDED)
    shift = read(params + shift_offset(layer, DEPTH, HIDDEN) + column, HIDDEN, HIDDEN_PADDED)
    return relu(tl.fma(sums, 1.0 + scale.to(tl.float32), shift.to(tl.float32)))


@triton.jit
def evaluate(
    params,  # (pixels, 1) pointers to the cell parameters
    rel_y,  # (pixels, 1) float32
    rel_x,  # (pixels, 1)
    cell_part,  # of rel_cell_part
    weights,  # pointer to the flat weights
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Activations of the last hidden layer: (pixels, HIDDEN_PADDED) float32."""
    if FOURIER:
        x = fourier_product(params, rel_y, rel_x, cell_part, DEPTH, HIDDEN, HALF, HALF_PADDED)
        w = interleaved_matrix(weights + w0_offset(HALF), HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        sums = product(x, w, TYPE, EMULATED)
    else:
        o = tl.arange(0, HIDDEN_PADDED)[None, :]
        sums = read(params + base_offset(DEPTH, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32) + cell_part
        sums = tl.fma(rel_y, read(weights + rel_offset(0, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)
        sums = tl.fma(rel_x, read(weights + rel_offset(1, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)
    x = modulate(sums, params, 0, DEPTH, HIDDEN, HIDDEN_PADDED)
    if DEPTH <= UNROLLED:
        for layer in tl.static_range(1, DEPTH):
            w = layer_matrix(weights, layer, FOURIER, HIDDEN, HIDDEN_PADDED, HALF)
            x = modulate(product(x, w, TYPE, EMULATED), params, layer, DEPTH, HIDDEN, HIDDEN_PADDED)
    else:
        for layer in range(1, DEPTH):
            w = layer_matrix(weights, layer, FOURIER, HIDDEN, HIDDEN_PADDED, HALF)
            x = modulate(product(x, w, TYPE, EMULATED), params, layer, DEPTH, HIDDEN, HIDDEN_PADDED)
    return x


@triton.jit
def output_layer(
    x,  # (pixels, HIDDEN_PADDED) float32
    weights,  # pointer to the flat weights
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """W_out x + b_out: (pixels, 16) float32. The first three columns are the colour."""
    w = output_matrix(weights, FOURIER, DEPTH, HIDDEN, HIDDEN_PADDED, HALF)
    bias = read(weights + b_out_offset(FOURIER, DEPTH, HIDDEN, HALF) + tl.arange(0, 16)[None, :], 3, 16).to(tl.float32)
    return product(x, w, TYPE, EMULATED) + bias
