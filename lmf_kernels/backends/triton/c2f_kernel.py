"""The coarse-to-fine family's Triton kernel (DIIF and DLTE, arXiv 2306.12321). A program renders the pixels of a tile
of slices: the coarse MLP as seen from the cell's vertices, the blend along y, fine layer 0 on the two ends of a slice,
and then the other fine layers pixel by pixel, one of each slice at a time.

A row of a cell is a slice. With constant slices the coarse MLP gives the same for all rows of a cell, and is computed
for each.
"""

import triton
import triton.language as tl

from .arithmetic import relu, rounded
from .dense_net import dense_block, fourier_head, hidden_layers, layer, linear_head
from .geometry import grid_axis, params_at
from .pixels import add_skip, store_pixels
from .slices import first_position, owner, rel_of

# These change from picture to picture. The kernel must not be compiled again if one is 1 or a multiple of 16.
SIZES = ("fields_b", "fields_y", "fields_x", "skip_b", "skip_c", "skip_y", "skip_x", "out_b", "out_c", "out_y", "out_x",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "left", "cells", "pixels",
         "tiles", "first")
SCALAR_ACCESS = ("skip", "out")  # one value at a time: alignment is irrelevant


@triton.jit
def coarse_vectors(
    params,  # (slices, 1) pointers to the vertices' parameters
    cell_y, cell_x,  # (1, 1) float32: as the network sees them
    place,  # first_y, first_x, last_y, last_x as seen from the vertices, (slices, 1) float32 each
    matrices,  # pointer to the packed matrices
    table,  # pointer to the packed table
    biases,  # pointer to its first bias
    FOURIER: tl.constexpr,
    FIRST: tl.constexpr,
    COARSE: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """What the coarse MLP gives, after its last ReLU: BLOCKS blocks (slices, BLOCK) of TYPE."""
    if FOURIER:
        x = fourier_head(params, cell_y + place[0], cell_x + place[1], place[2], place[3], table, FIRST, BLOCKS, BLOCK,
                         TYPE, EMULATED)
    else:
        x = linear_head(params, (cell_y, cell_x, place[0], place[1], place[2], place[3]), table, 6, FIRST, BLOCKS,
                        BLOCK, TYPE, EMULATED)
    return hidden_layers(x, matrices, biases, COARSE, BLOCKS, BLOCK, TYPE, EMULATED)


@triton.jit
def combined_block(a, by_a, b, by_b, RELU: tl.constexpr, TYPE: tl.constexpr, EMULATED: tl.constexpr):
    """A block of `combined`."""
    value = a.to(tl.float32)
    if by_a is not None:
        value = value * by_a
    value = tl.fma(b.to(tl.float32), by_b, value)
    if RELU:
        value = relu(value)
    return rounded(value, TYPE, EMULATED)


@triton.jit
def combined(
    a,  # BLOCKS blocks (slices, BLOCK)
    by_a,  # (slices, 1) float32; None: 1
    b,  # like a
    by_b,  # (slices or 1, 1) float32, or a float32 scalar
    RELU: tl.constexpr,
    BLOCKS: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """a * by_a + b * by_b, with or without a ReLU, rounded to TYPE: BLOCKS blocks."""
    y = (combined_block(a[0], by_a, b[0], by_b, RELU, TYPE, EMULATED),)
    for n in tl.static_range(1, BLOCKS):
        y = y + (combined_block(a[n], by_a, b[n], by_b, RELU, TYPE, EMULATED),)
    return y


@triton.jit
def row_block(row, by, bias, n, BLOCK: tl.constexpr, TYPE: tl.constexpr, EMULATED: tl.constexpr):
    """A block of `row_blocks`."""
    column = n * BLOCK + tl.arange(0, BLOCK)[None, :]
    value = tl.load(row + column) * by
    if bias is not None:
        value = value + tl.load(bias + column)
    return rounded(value, TYPE, EMULATED)


@triton.jit
def row_blocks(
    row,  # pointer to (WIDTH,) float32
    by,  # (slices, 1) float32
    bias,  # pointer to (WIDTH,) float32, or None
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """row * by + bias, rounded to TYPE: BLOCKS blocks (slices, BLOCK)."""
    y = (row_block(row, by, bias, 0, BLOCK, TYPE, EMULATED),)
    for n in tl.static_range(1, BLOCKS):
        y = y + (row_block(row, by, bias, n, BLOCK, TYPE, EMULATED),)
    return y


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=SCALAR_ACCESS)
def c2f_mlp_kernel(
    fields,  # (B, rows, cols, C) by strides, the channel stride 1
    skip,  # (B, 3, h, w) by strides, or None
    out,  # by strides b, c, y, x
    matrices,  # of dense_weights.Packed
    table,
    fields_b, fields_y, fields_x,
    skip_b, skip_c, skip_y, skip_x,
    out_b, out_c, out_y, out_x,
    lr_h, lr_w, lr_y0, lr_x0,  # the whole LR picture, and where the fields begin in their map
    height, width,  # of the whole output
    y0, x0, rows, cols,  # the window
    left, cells,  # the first of the cells that own its columns, and their number
    pixels,  # the most pixels of a row of the window that a cell owns
    tiles,  # tiles of a picture
    first,  # index of the launch's first tile in the batch
    cell_y, cell_x,  # the size of an output pixel as the network sees it
    length_y, length_x,  # rel of a slice's last position less that of its first
    FOURIER: tl.constexpr,
    LINEAR_SLICES: tl.constexpr,  # else constant ones
    ENSEMBLE: tl.constexpr,  # slices are seen from the vertices, else from the cell's centre
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    FIRST: tl.constexpr,  # width of the linear head's base, or of the Fourier product
    COARSE: tl.constexpr,  # coarse layers after the head
    FINE: tl.constexpr,  # hidden fine layers after fine layer 0
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,  # type of matrix operands
    EMULATED: tl.constexpr,  # in the interpreter
    ALIGNMENT: tl.constexpr,  # 16 or 1; all strides of the fields are multiples of it
    USE_INT64: tl.constexpr,  # positions need int64
    TILE: tl.constexpr,  # slices
):
    """Render tile `first + program_id`. Slices beyond the last are computed as the last one and not stored."""
    tile = tl.program_id(0)
    if USE_INT64:
        tile = tile.to(tl.int64) + first
    picture = (tile // tiles).to(tl.int64)
    number = tile % tiles * TILE + tl.arange(0, TILE)
    exists = number < rows.to(number.dtype) * cells
    number = tl.minimum(number, rows.to(number.dtype) * cells - 1)
    row = number // cells
    at_x = left + number % cells
    at_y = owner(row + y0, lr_h, height)
    rel_y = rel_of(row + y0, at_y, lr_h, height)
    if LINEAR_SLICES:
        first_y, last_y = rel_y, rel_y
    else:
        first_y = rel_of(first_position(at_y, lr_h, height), at_y, lr_h, height)
        last_y = first_y + length_y
    start = first_position(at_x, lr_w, width)
    stop = first_position(at_x + 1, lr_w, width)
    first_x = rel_of(start, at_x, lr_w, width)
    last_x = first_x + length_x
    rel_y, first_y, last_y = rel_y[:, None], first_y[:, None], last_y[:, None]
    first_x, last_x = first_x[:, None], last_x[:, None]
    seen_y = tl.full((1, 1), cell_y, tl.float32)
    seen_x = tl.full((1, 1), cell_x, tl.float32)

    WIDTH: tl.constexpr = BLOCKS * BLOCK
    HEAD: tl.constexpr = 2 if FOURIER else 6
    SQUARE: tl.constexpr = WIDTH * WIDTH
    on_y = table + HEAD * WIDTH  # fine layer 0: its rows on rel_y and rel_x; the biases follow
    biases = on_y + 2 * WIDTH
    mean = row_blocks(on_y, rel_y, biases + COARSE * WIDTH, BLOCKS, BLOCK, TYPE, EMULATED)
    half = row_blocks(on_y + WIDTH, tl.full((TILE, 1), 1.0, tl.float32), None, BLOCKS, BLOCK, TYPE, EMULATED)
    one = tl.full((1, 1), 1.0, tl.float32)
    if ENSEMBLE:
        for side in range(2):
            to_x = 2.0 * side - 1.0
            params = params_at(fields, picture, at_y - lr_y0, at_x + side - lr_x0, fields_b, fields_y, fields_x,
                               ALIGNMENT)
            place = (first_y + 1.0, first_x - to_x, last_y + 1.0, last_x - to_x)
            lower = coarse_vectors(params[:, None], seen_y, seen_x, place, matrices, table, biases, FOURIER, FIRST,
                                   COARSE, BLOCKS, BLOCK, TYPE, EMULATED)
            params = params_at(fields, picture, at_y + 1 - lr_y0, at_x + side - lr_x0, fields_b, fields_y, fields_x,
                               ALIGNMENT)
            place = (first_y - 1.0, first_x - to_x, last_y - 1.0, last_x - to_x)
            upper = coarse_vectors(params[:, None], seen_y, seen_x, place, matrices, table, biases, FOURIER, FIRST,
                                   COARSE, BLOCKS, BLOCK, TYPE, EMULATED)
            vectors = combined(lower, (1.0 - rel_y) * 0.5, upper, (1.0 + rel_y) * 0.5, False, BLOCKS, TYPE, EMULATED)
            ends = layer(vectors, matrices + COARSE * SQUARE, None, False, BLOCKS, BLOCK, TYPE, EMULATED)
            mean = combined(mean, None, ends, one * 0.5, False, BLOCKS, TYPE, EMULATED)
            half = combined(half, None, ends, one * 0.5 * to_x, False, BLOCKS, TYPE, EMULATED)
    else:
        params = params_at(fields, picture, at_y - lr_y0, at_x - lr_x0, fields_b, fields_y, fields_x, ALIGNMENT)
        vectors = coarse_vectors(params[:, None], seen_y, seen_x, (first_y, first_x, last_y, last_x), matrices, table,
                                 biases, FOURIER, FIRST, COARSE, BLOCKS, BLOCK, TYPE, EMULATED)
        ends = layer(vectors, matrices + COARSE * SQUARE, None, False, BLOCKS, BLOCK, TYPE, EMULATED)
        mean = combined(mean, None, ends, one, False, BLOCKS, TYPE, EMULATED)

    fine = matrices + (COARSE + 1) * SQUARE
    fine_biases = biases + (COARSE + 1) * WIDTH
    axis_y = grid_axis(row + y0, lr_h, height)
    begin, end = tl.maximum(start, x0), tl.minimum(stop, x0 + cols)
    for pixel in range(pixels):
        inside = exists & (begin + pixel < end)
        position = tl.minimum(begin + pixel, x0 + cols - 1)
        rel_x = rel_of(position, at_x, lr_w, width)
        x = combined(mean, None, half, rel_x[:, None], True, BLOCKS, TYPE, EMULATED)
        x = hidden_layers(x, fine, fine_biases, FINE, BLOCKS, BLOCK, TYPE, EMULATED)
        rgb = dense_block(x, fine + FINE * SQUARE, fine_biases + FINE * WIDTH, 0, BLOCKS, BLOCK, 16, 16, TYPE, EMULATED)
        if skip is not None:
            axis_x = grid_axis(position, lr_w, width)
            rgb = add_skip(rgb, skip, picture, axis_y, axis_x, tl.maximum(lr_y0 - 1, 0), tl.maximum(lr_x0 - 1, 0),
                           skip_b, skip_c, skip_y, skip_x)
        store_pixels(rgb, out, picture, row, position - x0, inside, out_b, out_c, out_y, out_x, UNIT, EMULATED)
