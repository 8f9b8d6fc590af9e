"""The modulated render MLP of a tile of pixels at one ensemble corner (LMF, arXiv 2404.16451, section 3.2).

Widths are padded to powers of two that matrix instructions take; padded channels are read as zeros and stay zero.
"""

import triton
import triton.language as tl

from .arithmetic import product, relu, side_by_side, sincospi

UNROLLED = tl.constexpr(8)  # layers, as deep as the papers' models; the loop of deeper ones stays a loop


@triton.jit
def read(
    pointers,  # (rows or 1, PADDED)
    COUNT: tl.constexpr,  # the columns that exist
    PADDED: tl.constexpr,
):
    """The block, with zeros in columns that do not exist."""
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
    """An (in, out) matrix with zeros where it does not exist."""
    k = tl.arange(0, PADDED_ROWS)[:, None]
    o = tl.arange(0, PADDED_COLUMNS)[None, :]
    if ROWS == PADDED_ROWS and COLUMNS == PADDED_COLUMNS:
        return tl.load(weights + k * COLUMNS + o)
    return tl.load(weights + k * COLUMNS + o, mask=(k < ROWS) & (o < COLUMNS), other=0.0)


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
    """What rel_cell adds to the linear head's base (pixels or 1, hidden), or the Fourier phase (pixels or 1, half)."""
    count: tl.constexpr = HALF if FOURIER else HIDDEN
    padded: tl.constexpr = HALF_PADDED if FOURIER else HIDDEN_PADDED
    start: tl.constexpr = 0 if FOURIER else 2 * HIDDEN
    columns = weights + start + tl.arange(0, padded)[None, :]
    along_y = read(columns, count, padded).to(tl.float32)
    along_x = read(columns + count, count, padded).to(tl.float32)
    return along_y * cell_y[:, None] + along_x * cell_x[:, None]


@triton.jit
def fourier_product(
    record,  # (pixels, 1) pointers to coef (2 * HALF), freq (2 * HALF)
    rel_y,  # (pixels, 1) float32
    rel_x,  # (pixels, 1)
    phase,  # (pixels or 1, HALF_PADDED)
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
):
    """coef * [cos(pi q), sin(pi q)] (LTE, arXiv 2111.08918) with cos and sin of each q side by side:
    (pixels, 2 * HALF_PADDED)."""
    j = tl.arange(0, HALF_PADDED)[None, :]
    pairs = record + 2 * HALF + tl.arange(0, 2 * HALF_PADDED)[None, :]
    freq = read(pairs, 2 * HALF, 2 * HALF_PADDED).to(tl.float32)
    freq_y, freq_x = tl.split(tl.reshape(freq, (freq.shape[0], HALF_PADDED, 2)))
    q = tl.fma(freq_y, rel_y, phase + tl.zeros_like(freq_y))
    q = tl.fma(freq_x, rel_x, q)
    cos, sin = sincospi(q)
    cos = cos * read(record + j, HALF, HALF_PADDED).to(tl.float32)
    sin = sin * read(record + HALF + j, HALF, HALF_PADDED).to(tl.float32)
    return side_by_side(cos, sin)


@triton.jit
def interleaved_matrix(
    weights,  # pointer to W_0, (2 * HALF, HIDDEN): rows of the cosines, then of the sines
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """W_0 with its rows in the order of `fourier_product`'s columns."""
    k = tl.arange(0, 2 * HALF_PADDED)[:, None]
    o = tl.arange(0, HIDDEN_PADDED)[None, :]
    pointers = weights + (k // 2 + k % 2 * HALF) * HIDDEN + o
    return tl.load(pointers, mask=(k < 2 * HALF) & (o < HIDDEN), other=0.0)


@triton.jit
def film(
    sums,  # (pixels, HIDDEN_PADDED) float32
    scale,  # (pixels, 1) pointers to s of the layer
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """relu(sums * (1 + s) + t) with the cell's s and t of the layer; NaN stays NaN."""
    scale = scale + tl.arange(0, HIDDEN_PADDED)[None, :]
    if HIDDEN == HIDDEN_PADDED:
        s = tl.load(scale)
        t = tl.load(scale + DEPTH * HIDDEN)
    else:
        exists = tl.arange(0, HIDDEN_PADDED)[None, :] < HIDDEN
        s = tl.load(scale, mask=exists, other=0.0)
        t = tl.load(scale + DEPTH * HIDDEN, mask=exists, other=0.0)
    return relu(tl.fma(sums, 1.0 + s.to(tl.float32), t.to(tl.float32)))


@triton.jit
def evaluate(
    record,  # (pixels, 1) pointers to records
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
    head = record + 2 * DEPTH * HIDDEN
    if FOURIER:
        x = fourier_product(head, rel_y, rel_x, cell_part, HALF, HALF_PADDED)
        w = interleaved_matrix(weights + 2 * HALF, HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        sums = product(x, w, TYPE, EMULATED)
    else:
        o = tl.arange(0, HIDDEN_PADDED)[None, :]
        sums = read(head + o, HIDDEN, HIDDEN_PADDED).to(tl.float32) + cell_part
        sums = tl.fma(rel_y, read(weights + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)
        sums = tl.fma(rel_x, read(weights + HIDDEN + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)
    x = film(sums, record, DEPTH, HIDDEN, HIDDEN_PADDED)
    layers: tl.constexpr = 2 * HALF + 2 * HALF * HIDDEN if FOURIER else 4 * HIDDEN
    if DEPTH <= UNROLLED:
        for layer in tl.static_range(1, DEPTH):
            w = matrix(weights + layers + (layer - 1) * HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
            x = film(product(x, w, TYPE, EMULATED), record + layer * HIDDEN, DEPTH, HIDDEN, HIDDEN_PADDED)
    else:
        for layer in range(1, DEPTH):
            w = matrix(weights + layers + (layer - 1) * HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
            x = film(product(x, w, TYPE, EMULATED), record + layer * HIDDEN, DEPTH, HIDDEN, HIDDEN_PADDED)
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
    """W_out x + b_out: (pixels, 16) float32, of which three columns count."""
    layers: tl.constexpr = 2 * HALF + 2 * HALF * HIDDEN if FOURIER else 4 * HIDDEN
    start: tl.constexpr = layers + (DEPTH - 1) * HIDDEN * HIDDEN
    w = matrix(weights + start, HIDDEN, 3, HIDDEN_PADDED, 16)
    bias = read(weights + start + 3 * HIDDEN + tl.arange(0, 16)[None, :], 3, 16).to(tl.float32)
    return product(x, w, TYPE, EMULATED) + bias
