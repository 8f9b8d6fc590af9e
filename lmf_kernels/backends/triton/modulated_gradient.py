"""Gradients of the modulated render MLP for a tile of evaluations (LMF, arXiv 2404.16451, section 3.2). An evaluation
is one output pixel at one corner of its local ensemble. csrc/cpu/modulated_gradient.h in Triton.

The rows of a tile are GROUP cells times PIXELS contributing pixels of each. The activations are recomputed and stay in
registers. Sums over a cell's rows are added to the gradient of its parameters, sums over all rows to the program's own
row of the weights' gradient. Everything is IEEE float32. Rows without a pixel are zero throughout, so that a NaN in
their cell does not spread.
"""

import triton
import triton.language as tl

from .arithmetic import interleave, product, relu, sincospi
from .layout import (b_out_offset, base_offset, cell_offset, coef_offset, freq_offset, layer_offset, phase_offset,
                     rel_offset, scale_offset, shift_offset, w0_offset, w_out_offset)
from .modulated_net import interleaved_matrix, layer_matrix, output_matrix, read

PI = tl.constexpr(3.14159265359)


@triton.jit
def read_rows(
    pointers,  # (rows, PADDED)
    valid,  # (rows, 1) bool
    COUNT: tl.constexpr,  # columns in memory
    PADDED: tl.constexpr,
):
    """Load a block as float32, with zeros in rows that are not valid and in padded columns."""
    if COUNT != PADDED:
        valid = valid & (tl.arange(0, PADDED)[None, :] < COUNT)
    return tl.load(pointers, mask=valid, other=0.0).to(tl.float32)


@triton.jit
def modulation(
    params,  # (rows, 1) pointers to the cell parameters
    valid,  # (rows, 1) bool
    LAYER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """1 + scale and shift of a layer: (rows, HIDDEN_PADDED) each."""
    column = tl.arange(0, HIDDEN_PADDED)[None, :]
    scale = read_rows(params + scale_offset(LAYER, HIDDEN) + column, valid, HIDDEN, HIDDEN_PADDED)
    shift = read_rows(params + shift_offset(LAYER, DEPTH, HIDDEN) + column, valid, HIDDEN, HIDDEN_PADDED)
    return 1.0 + scale, shift


@triton.jit
def linear_head(
    params,  # (rows, 1) pointers to the cell parameters
    valid,  # (rows, 1) bool
    coordinates,  # rel_y, rel_x, rel_cell_y, rel_cell_x: (rows, 1) each
    weights,  # pointer to the flat weights
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
):
    """The first layer's sums, added in the order of the forward kernel: (rows, HIDDEN_PADDED)."""
    o = tl.arange(0, HIDDEN_PADDED)[None, :]
    cell_y = read(weights + cell_offset(0, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    cell_x = read(weights + cell_offset(1, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    sums = read_rows(params + base_offset(DEPTH, HIDDEN) + o, valid, HIDDEN, HIDDEN_PADDED)
    sums = sums + (cell_y * coordinates[2] + cell_x * coordinates[3])
    rel_y = read(weights + rel_offset(0, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    sums = tl.fma(coordinates[0], rel_y, sums)
    rel_x = read(weights + rel_offset(1, HIDDEN) + o, HIDDEN, HIDDEN_PADDED).to(tl.float32)
    return tl.fma(coordinates[1], rel_x, sums)


@triton.jit
def fourier_waves(
    params,  # (rows, 1) pointers to the cell parameters
    valid,  # (rows, 1) bool
    coordinates,  # as in linear_head
    weights,  # pointer to the flat weights
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
):
    """(cos(pi q), sin(pi q), cosine coefficients, sine coefficients): (rows, HALF_PADDED) each (LTE, arXiv
    2111.08918)."""
    j = tl.arange(0, HALF_PADDED)[None, :]
    freq = params + freq_offset(DEPTH, HIDDEN, HALF) + tl.arange(0, 2 * HALF_PADDED)[None, :]
    pairs = read_rows(freq, valid, 2 * HALF, 2 * HALF_PADDED)
    freq_y, freq_x = tl.split(tl.reshape(pairs, (pairs.shape[0], HALF_PADDED, 2)))
    phase_y = read(weights + phase_offset(0, HALF) + j, HALF, HALF_PADDED).to(tl.float32)
    phase_x = read(weights + phase_offset(1, HALF) + j, HALF, HALF_PADDED).to(tl.float32)
    q = tl.fma(freq_y, coordinates[0], phase_y * coordinates[2] + phase_x * coordinates[3])
    q = tl.fma(freq_x, coordinates[1], q)
    cos, sin = sincospi(q)
    coef = params + coef_offset(DEPTH, HIDDEN) + j
    return cos, sin, read_rows(coef, valid, HALF, HALF_PADDED), read_rows(coef + HALF, valid, HALF, HALF_PADDED)


@triton.jit
def add_to_cells(
    target,  # (GROUP, PADDED) pointers
    exists,  # (GROUP, PADDED) bool
    accumulate,  # bool scalar: false for the cells' first tile
    values,  # (GROUP * PIXELS, PADDED)
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Add the sum of each cell's rows to its gradient. The first tile overwrites what was there."""
    total = tl.sum(tl.reshape(values, (GROUP, PIXELS, PADDED)), axis=1)
    tl.store(target, tl.load(target, mask=exists & accumulate, other=0.0) + total, mask=exists)


@triton.jit
def add_to_params(
    target,  # (GROUP, 1) pointers to the first of COUNT channels
    exists,  # (GROUP, 1) bool
    accumulate,  # bool scalar
    values,  # (GROUP * PIXELS, PADDED)
    COUNT: tl.constexpr,
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """`add_to_cells` for COUNT neighbouring channels of the cell parameters."""
    channel = tl.arange(0, PADDED)[None, :]
    add_to_cells(target + channel, exists & (channel < COUNT), accumulate, values, PADDED, GROUP, PIXELS)


@triton.jit
def add_to_matrix(
    target,  # (rows, columns) pointers
    exists,  # (rows, columns) bool
    values,  # (rows, columns)
):
    """Add the values to a matrix in memory."""
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
    """Add x^T d to the gradient of a layer's matrix."""
    k = tl.arange(0, IN_PADDED)[:, None]
    o = tl.arange(0, OUT_PADDED)[None, :]
    add_to_matrix(target + k * OUT + o, (k < IN) & (o < OUT), product(tl.trans(x), d, tl.float32, False))


@triton.jit
def add_gradients(
    params,  # (rows, 1) pointers to the cell parameters
    valid,  # (rows, 1) bool
    coordinates,  # rel_y, rel_x, rel_cell_y, rel_cell_x: (rows, 1) each, zeros where not valid
    grad_values,  # (rows, 16) float32: gradients of the MLP's values, zeros where not valid and after three channels
    to_params,  # (GROUP, 1) pointers to the gradients of the cell parameters, or None
    exists,  # (GROUP, 1) bool
    accumulate,  # bool scalar: false for the cells' first tile
    weights,  # pointer to the flat weights
    to_weights,  # pointer to this program's row of their gradient, or None
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    GROUP: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Add a tile's contribution to the gradients of its cells' parameters and of the weights."""
    if FOURIER:
        cos, sin, coef_cos, coef_sin = fourier_waves(params, valid, coordinates, weights, DEPTH, HIDDEN, HALF,
                                                     HALF_PADDED)
        waves = interleave(cos * coef_cos, sin * coef_sin)
        w = interleaved_matrix(weights + w0_offset(HALF), HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        sums = (product(waves, w, tl.float32, False),)
    else:
        sums = (linear_head(params, valid, coordinates, weights, DEPTH, HIDDEN, HIDDEN_PADDED),)
    one_plus_scale, shift = modulation(params, valid, 0, DEPTH, HIDDEN, HIDDEN_PADDED)
    y = relu(tl.fma(sums[0], one_plus_scale, shift))
    for layer in tl.static_range(1, DEPTH):
        w = layer_matrix(weights, layer, FOURIER, HIDDEN, HIDDEN_PADDED, HALF)
        sums = sums + (product(y, w, tl.float32, False),)
        one_plus_scale, shift = modulation(params, valid, layer, DEPTH, HIDDEN, HIDDEN_PADDED)
        y = relu(tl.fma(sums[layer], one_plus_scale, shift))

    if to_weights is not None:
        add_products(to_weights + w_out_offset(FOURIER, DEPTH, HIDDEN, HALF), y, grad_values, HIDDEN, 3, HIDDEN_PADDED,
                     16)
        add_row_sums(to_weights + b_out_offset(FOURIER, DEPTH, HIDDEN, HALF), grad_values, 3, 16)
    w = output_matrix(weights, FOURIER, DEPTH, HIDDEN, HIDDEN_PADDED, HALF)
    dy = product(grad_values, tl.trans(w), tl.float32, False)
    for layer in tl.static_range(DEPTH - 1, -1, -1):
        d = tl.where(y <= 0.0, 0.0, dy)
        if to_params is not None:
            add_to_params(to_params + scale_offset(layer, HIDDEN), exists, accumulate, d * sums[layer], HIDDEN,
                          HIDDEN_PADDED, GROUP, PIXELS)
            add_to_params(to_params + shift_offset(layer, DEPTH, HIDDEN), exists, accumulate, d, HIDDEN, HIDDEN_PADDED,
                          GROUP, PIXELS)
        d = d * one_plus_scale
        if layer > 0:
            one_plus_scale, shift = modulation(params, valid, layer - 1, DEPTH, HIDDEN, HIDDEN_PADDED)
            y = relu(tl.fma(sums[layer - 1], one_plus_scale, shift))
            if to_weights is not None:
                add_products(to_weights + layer_offset(layer, FOURIER, HIDDEN, HALF), y, d, HIDDEN, HIDDEN,
                             HIDDEN_PADDED, HIDDEN_PADDED)
            w = layer_matrix(weights, layer, FOURIER, HIDDEN, HIDDEN_PADDED, HALF)
            dy = product(d, tl.trans(w), tl.float32, False)

    if FOURIER:
        if to_weights is not None:
            k = tl.arange(0, 2 * HALF_PADDED)[:, None]
            o = tl.arange(0, HIDDEN_PADDED)[None, :]
            w0 = to_weights + w0_offset(HALF)
            add_to_matrix(w0 + (k // 2 + k % 2 * HALF) * HIDDEN + o, (k < 2 * HALF) & (o < HIDDEN),
                          product(tl.trans(waves), d, tl.float32, False))
        w = interleaved_matrix(weights + w0_offset(HALF), HALF, HALF_PADDED, HIDDEN, HIDDEN_PADDED)
        dx = product(d, tl.trans(w), tl.float32, False)
        d_cos, d_sin = tl.split(tl.reshape(dx, (dx.shape[0], HALF_PADDED, 2)))
        dq = tl.fma(d_sin * (coef_sin * PI), cos, d_cos * (coef_cos * -PI) * sin)  # cos(pi q)' = -pi sin(pi q)
        if to_params is not None:
            coef = to_params + coef_offset(DEPTH, HIDDEN)
            add_to_params(coef, exists, accumulate, d_cos * cos, HALF, HALF_PADDED, GROUP, PIXELS)
            add_to_params(coef + HALF, exists, accumulate, d_sin * sin, HALF, HALF_PADDED, GROUP, PIXELS)
            add_to_params(to_params + freq_offset(DEPTH, HIDDEN, HALF), exists, accumulate,
                          interleave(dq * coordinates[0], dq * coordinates[1]), 2 * HALF, 2 * HALF_PADDED, GROUP,
                          PIXELS)
        if to_weights is not None:
            for axis in tl.static_range(2):
                add_row_sums(to_weights + phase_offset(axis, HALF), dq * coordinates[2 + axis], HALF, HALF_PADDED)
    else:
        if to_params is not None:
            add_to_params(to_params + base_offset(DEPTH, HIDDEN), exists, accumulate, d, HIDDEN, HIDDEN_PADDED, GROUP,
                          PIXELS)
        if to_weights is not None:
            for axis in tl.static_range(2):
                add_row_sums(to_weights + rel_offset(axis, HIDDEN), d * coordinates[axis], HIDDEN, HIDDEN_PADDED)
            for axis in tl.static_range(2):
                add_row_sums(to_weights + cell_offset(axis, HIDDEN), d * coordinates[2 + axis], HIDDEN, HIDDEN_PADDED)
