"""Gradients of the modulated render MLP for a tile of evaluations, each a pixel at one of its ensemble corners (LMF,
arXiv 2404.16451, section 3.2). csrc/cpu/modulated_gradient.h in Triton.

A tile's rows are GROUP cells times READERS of each. What a layer saw is computed again and stays in registers; sums of
a cell's rows go into its record's gradient, sums of all rows into the program's share of the weights' gradient.
Everything is IEEE float32. A row without a reader holds zeros throughout, so that no NaN of its cell spreads.
"""

import triton
import triton.language as tl

from .arithmetic import product, relu, side_by_side, sincospi
from .modulated_net import interleaved_matrix, matrix, read

PI = tl.constexpr(3.14159265359)


@triton.jit
def read_rows(
    pointers,  # (rows, PADDED)
    valid,  # (rows, 1) bool
    COUNT: tl.constexpr,  # the columns that exist
    PADDED: tl.constexpr,
):
    """The block in float32, with zeros in rows that are not valid and columns that do not exist."""
    if COUNT != PADDED:
        valid = valid & (tl.arange(0, PADDED)[None, :] < COUNT)
    return tl.load(pointers, mask=valid, other=0.0).to(tl.float32)


@triton.jit
def modulation(
    record,  # (rows, 1) pointers to records
    valid,  # (rows, 1) bool
    LAYER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """(1 + s, t) of a layer: (rows, HIDDEN_PADDED) each."""
    pointers = record + LAYER * HIDDEN + tl.arange(0, HIDDEN_PADDED)[None, :]
    factor = 1.0 + read_rows(pointers, valid, HIDDEN, HIDDEN_PADDED)
    return factor, read_rows(pointers + DEPTH * HIDDEN, valid, HIDDEN, HIDDEN_PADDED)


@triton.jit
def linear_head(
    record,  # (rows, 1) pointers to records
    valid,  # (rows, 1) bool
    place,  # rel_y, rel_x, rel_cell_y, rel_cell_x: (rows, 1) each
    weights,  # pointer to the flat weights
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """The first layer's sums, in the order of the forward kernel: (rows, HIDDEN_PADDED)."""
    o = tl.arange(0, HIDDEN_PADDED)[None, :]
    along_y = read(weights + 2 * HIDDEN + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    along_x = read(weights + 3 * HIDDEN + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    sums = read_rows(record + 2 * DEPTH * HIDDEN + o, valid, HIDDEN, HIDDEN_PADDED)
    sums = sums + (along_y * place[2] + along_x * place[3])
    sums = tl.fma(place[0], read(weights + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)
    return tl.fma(place[1], read(weights + HIDDEN + o, HIDDEN, HIDDEN_PADDED).to(tl.float32), sums)


@triton.jit
def fourier_waves(
    head,  # (rows, 1) pointers to coef (2 * HALF), freq (2 * HALF)
    valid,  # (rows, 1) bool
    place,  # as of linear_head
    weights,  # pointer to the flat weights
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
):
    """(cos(pi q), sin(pi q), coef of the cosines, of the sines): (rows, HALF_PADDED) each (LTE, arXiv 2111.08918)."""
    j = tl.arange(0, HALF_PADDED)[None, :]
    pairs = read_rows(head + 2 * HALF + tl.arange(0, 2 * HALF_PADDED)[None, :], valid, 2 * HALF, 2 * HALF_PADDED)
    freq_y, freq_x = tl.split(tl.reshape(pairs, (pairs.shape[0], HALF_PADDED, 2)))
    along_y = read(weights + j, HALF, HALF_PADDED).to(tl.float32)
    along_x = read(weights + HALF + j, HALF, HALF_PADDED).to(tl.float32)
    q = tl.fma(freq_y, place[0], along_y * place[2] + along_x * place[3])
    q = tl.fma(freq_x, place[1], q)
    cos, sin = sincospi(q)
    return cos, sin, read_rows(head + j, valid, HALF, HALF_PADDED), read_rows(head + HALF + j, valid, HALF, HALF_PADDED)


@triton.jit
def add_to_cells(
    target,  # (GROUP, PADDED) pointers
    exists,  # (GROUP, PADDED) bool
    again,  # bool scalar: not the cells' first tile
    values,  # (GROUP * READERS, PADDED)
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    READERS: tl.constexpr,
):
    """Add the sum of each cell's rows to its gradient, which the first tile begins."""
    total = tl.sum(tl.reshape(values, (GROUP, READERS, PADDED)), axis=1)
    tl.store(target, tl.load(target, mask=exists & again, other=0.0) + total, mask=exists)


@triton.jit
def add_to_records(
    target,  # (GROUP, 1) pointers to the first of COUNT channels
    exists,  # (GROUP, 1) bool
    again,  # bool scalar
    values,  # (GROUP * READERS, PADDED)
    COUNT: tl.constexpr,
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    READERS: tl.constexpr,
):
    """`add_to_cells` for neighbouring channels of the cells' records."""
    channel = tl.arange(0, PADDED)[None, :]
    add_to_cells(target + channel, exists & (channel < COUNT), again, values, PADDED, GROUP, READERS)


@triton.jit
def add_to_matrix(
    target,  # (rows, columns) pointers
    exists,  # (rows, columns) bool
    values,  # (rows, columns)
):
    """Add the values to what is there."""
    tl.store(target, tl.load(target, mask=exists, other=0.0) + values, mask=exists)


@triton.jit
def add_row_sums(
    target,  # pointer to a vector of COUNT
    values,  # (rows, PADDED)
    COUNT: tl.constexpr,
    PADDED: tl.constexpr,
):
    """Add the sums over all rows to a vector."""
    column = tl.arange(0, PADDED)
    add_to_matrix(target + column, column < COUNT, tl.sum(values, axis=0))


@triton.jit
def add_products(
    target,  # pointer to a (IN, OUT) matrix
    x,  # (rows, IN_PADDED)
    d,  # (rows, OUT_PADDED)
    IN: tl.constexpr,
    OUT: tl.constexpr,
    IN_PADDED: tl.constexpr,
    OUT_PADDED: tl.constexpr,
):
    """Add the gradient x^T d to that of a layer's matrix."""
    k = tl.arange(0, IN_PADDED)[:, None]
    o = tl.arange(0, OUT_PADDED)[None, :]
    add_to_matrix(target + k * OUT + o, (k < IN) & (o < OUT), product(tl.trans(x), d, tl.float32, False))


@triton.jit
def add_gradients(
    record,  # (rows, 1) pointers to records
    valid,  # (rows, 1) bool
    place,  # rel_y, rel_x, rel_cell_y, rel_cell_x: (rows, 1) each, zeros where not valid
    arriving,  # (rows, 16) float32: the share of the pixel's gradient, zeros where not valid and past three channels
    target,  # (GROUP, 1) pointers to the cells' gradients, or None
    exists,  # (GROUP, 1) bool
    again,  # bool scalar: not the cells' first tile
    weights,  # pointer to the flat weights
    share,  # pointer to this program's share of their gradient, or None
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    READERS: tl.constexpr,
):
    """Add what a tile gives to the gradients of its cells' records and of the weights."""
    head: tl.constexpr = 2 * DEPTH * HIDDEN  # of a record
    first: tl.constexpr = 2 * HALF  # of the weights: W_0 of a Fourier head
    layers: tl.constexpr = first + 2 * HALF * HIDDEN if FOURIER else 4 * HIDDEN
    last: tl.constexpr = layers + (DEPTH - 1) * HIDDEN * HIDDEN
    if FOURIER:
        cos, sin, coef_cos, coef_sin = fourier_waves(record + head, valid, place, weights, HALF, HALF_PADDED)
        waves = side_by_side(cos * coef_cos, sin * coef_sin)
        w = interleaved_matrix(weights + first, HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        sums = (product(waves, w, tl.float32, False),)
    else:
        sums = (linear_head(record, valid, place, weights, DEPTH, HIDDEN, HIDDEN_PADDED),)
    factor, shift = modulation(record, valid, 0, DEPTH, HIDDEN, HIDDEN_PADDED)
    y = relu(tl.fma(sums[0], factor, shift))
    for layer in tl.static_range(1, DEPTH):
        w = matrix(weights + layers + (layer - 1) * HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
        sums = sums + (product(y, w, tl.float32, False),)
        factor, shift = modulation(record, valid, layer, DEPTH, HIDDEN, HIDDEN_PADDED)
        y = relu(tl.fma(sums[layer], factor, shift))

    if share is not None:
        add_products(share + last, y, arriving, HIDDEN, 3, HIDDEN_PADDED, 16)
        add_row_sums(share + last + 3 * HIDDEN, arriving, 3, 16)
    w = matrix(weights + last, HIDDEN, 3, HIDDEN_PADDED, 16)
    dy = product(arriving, tl.trans(w), tl.float32, False)
    for layer in tl.static_range(DEPTH - 1, -1, -1):
        d = tl.where(y <= 0.0, 0.0, dy)
        if target is not None:
            add_to_records(target + layer * HIDDEN, exists, again, d * sums[layer], HIDDEN, HIDDEN_PADDED, GROUP,
                           READERS)
            add_to_records(target + (DEPTH + layer) * HIDDEN, exists, again, d, HIDDEN, HIDDEN_PADDED, GROUP, READERS)
        d = d * factor
        if layer > 0:
            factor, shift = modulation(record, valid, layer - 1, DEPTH, HIDDEN, HIDDEN_PADDED)
            y = relu(tl.fma(sums[layer - 1], factor, shift))
            if share is not None:
                add_products(share + layers + (layer - 1) * HIDDEN * HIDDEN, y, d, HIDDEN, HIDDEN, HIDDEN_PADDED,
                             HIDDEN_PADDED)
            w = matrix(weights + layers + (layer - 1) * HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
            dy = product(d, tl.trans(w), tl.float32, False)

    if FOURIER:
        if share is not None:
            k = tl.arange(0, 2 * HALF_PADDED)[:, None]
            o = tl.arange(0, HIDDEN_PADDED)[None, :]
            add_to_matrix(share + first + (k // 2 + k % 2 * HALF) * HIDDEN + o, (k < 2 * HALF) & (o < HIDDEN),
                          product(tl.trans(waves), d, tl.float32, False))
        w = interleaved_matrix(weights + first, HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        dx = product(d, tl.trans(w), tl.float32, False)
        d_cos, d_sin = tl.split(tl.reshape(dx, (dx.shape[0], HALF_PADDED, 2)))
        dq = tl.fma(d_sin * (coef_sin * PI), cos, d_cos * (coef_cos * -PI) * sin)  # cos(pi q)' = -pi sin(pi q)
        if target is not None:
            freq = side_by_side(dq * place[0], dq * place[1])
            add_to_records(target + head, exists, again, d_cos * cos, HALF, HALF_PADDED, GROUP, READERS)
            add_to_records(target + head + HALF, exists, again, d_sin * sin, HALF, HALF_PADDED, GROUP, READERS)
            add_to_records(target + head + 2 * HALF, exists, again, freq, 2 * HALF, 2 * HALF_PADDED, GROUP, READERS)
        if share is not None:
            add_row_sums(share, dq * place[2], HALF, HALF_PADDED)
            add_row_sums(share + HALF, dq * place[3], HALF, HALF_PADDED)
    else:
        if target is not None:
            add_to_records(target + head, exists, again, d, HIDDEN, HIDDEN_PADDED, GROUP, READERS)
        if share is not None:
            for axis in tl.static_range(4):
                add_row_sums(share + axis * HIDDEN, d * place[axis], HIDDEN, HIDDEN_PADDED)
