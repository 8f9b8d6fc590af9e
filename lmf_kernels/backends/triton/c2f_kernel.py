"""The coarse-to-fine family's Triton kernel (DIIF and DLTE, arXiv 2306.12321). A program renders the pixels of a tile
of slices: the coarse MLP as seen from the cell's vertices, the blend along y, fine layer 0 on the two ends of a slice,
and then the other fine layers pixel by pixel, one of each slice at a time.

A row of a cell is a slice. With constant slices the coarse MLP gives the same for all rows of a cell, and is computed
for each.
"""

import triton
import triton.language as tl

from .arithmetic import relu, rounded
from .dense_net import blocks_of_zeros, dense_block, fourier_head, hidden_layers, layer, linear_head, read_anew
from .geometry import grid_axis, params_at
from .pixels import add_skip, store_pixels
from .slices import first_position, owner, rel_of

# These change from picture to picture. The kernel must not be compiled again if one is 1 or a multiple of 16.
SIZES = ("fields_b", "fields_y", "fields_x", "skip_b", "skip_c", "skip_y", "skip_x", "out_b", "out_c", "out_y", "out_x",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "cell_x0", "cells",
         "pixels", "tiles", "first", "zero")
SCALAR_ACCESS = ("skip", "out")  # one value at a time: alignment is irrelevant


@triton.jit
def slices_of(
    number,  # int scalar: of the tile in its picture
    rows,  # int scalar: of the window
    cells,  # int scalar: that own the window's columns
    cell_x0,  # int scalar: the first of them
    y0,  # int scalar: the window's first row
    lr_h,  # int scalar
    height,  # int scalar
    TILE: tl.constexpr,
):
    """Row of the window, cell (y, x) of the slices of a tile: each (TILE,). Slices beyond the last get its place.

    The kernel computes this anew wherever it needs it: kept, it would not fit into registers beside the activations.
    """
    index = tl.minimum(number * TILE + tl.arange(0, TILE), rows.to(number.dtype) * cells - 1)
    row = index // cells
    return row, owner(row + y0, lr_h, height), cell_x0 + index % cells


@triton.jit
def ends_along_y(
    position,  # (slices,) int: output rows
    cell,  # (slices,) int: their cells
    lr_h,  # int scalar
    height,  # int scalar
    length,  # float scalar
    LINEAR_SLICES: tl.constexpr,
):
    """rel of the first and the last row of a slice: each (slices,)."""
    if LINEAR_SLICES:
        first = rel_of(position, cell, lr_h, height)
        last = first
    else:
        first = rel_of(first_position(cell, lr_h, height), cell, lr_h, height)
        last = first + length
    return first, last


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
def line_block(left, right, rel_y, on_rel, bias, n, SLOPE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
               TYPE: tl.constexpr, EMULATED: tl.constexpr):
    """A block of `line`."""
    column = n * BLOCK + tl.arange(0, BLOCK)[None, :]
    left, right = left.to(tl.float32), right.to(tl.float32)
    if SLOPE:
        value = (right - left) * 0.5 + tl.load(on_rel + WIDTH + column)
    else:
        value = tl.fma(rel_y, tl.load(on_rel + column), (left + right) * 0.5 + tl.load(bias + column))
    return rounded(value, TYPE, EMULATED)


@triton.jit
def line(
    left, right,  # BLOCKS blocks (slices, BLOCK) each: fine layer 0 at a slice's ends, of the slice vector alone
    rel_y,  # (slices, 1) float32
    on_rel,  # pointer to fine layer 0's columns on rel_y and rel_x, (2, WIDTH) float32
    bias,  # pointer to its bias, (WIDTH,) float32
    SLOPE: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Fine layer 0 along a slice is a line in rel_x: its value in the middle, or its slope. BLOCKS blocks of TYPE."""
    width: tl.constexpr = BLOCKS * BLOCK
    y = (line_block(left[0], right[0], rel_y, on_rel, bias, 0, SLOPE, width, BLOCK, TYPE, EMULATED),)
    for n in tl.static_range(1, BLOCKS):
        y = y + (line_block(left[n], right[n], rel_y, on_rel, bias, n, SLOPE, width, BLOCK, TYPE, EMULATED),)
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
    cell_x0, cells,  # the first of the cells that own its columns, and their number
    pixels,  # the most pixels of a row of the window that a cell owns
    tiles,  # tiles of a picture
    first,  # index of the launch's first tile in the batch
    zero,  # of dense_net.read_anew
    cell_y, cell_x,  # the size of an output pixel as the network sees it
    length_y, length_x,  # rel of a slice's last position less that of its first
    FOURIER: tl.constexpr,
    LINEAR_SLICES: tl.constexpr,  # else constant ones
    SIDES: tl.constexpr,  # 2: slices are seen from the vertices; 1: from the cell's centre
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
    inner = tile % tiles
    seen_y = tl.full((1, 1), cell_y, tl.float32)
    seen_x = tl.full((1, 1), cell_x, tl.float32)

    WIDTH: tl.constexpr = BLOCKS * BLOCK
    HEAD: tl.constexpr = 2 if FOURIER else 6
    on_rel = table + HEAD * WIDTH  # of fine layer 0: what meets rel_y and rel_x; the biases follow
    biases = on_rel + 2 * WIDTH
    first_fine = matrices + COARSE * WIDTH * WIDTH
    # Of each loop's last two results the first is in `left` or `lower`. So one is live while the other is computed.
    right = blocks_of_zeros(TILE, BLOCKS, BLOCK, TYPE, EMULATED)
    left = right
    for side in range(SIDES + zero):
        to_x = (2.0 * side - 1.0) * (SIDES - 1)
        upper = blocks_of_zeros(TILE, BLOCKS, BLOCK, TYPE, EMULATED)
        lower = upper
        for vertex in range(SIDES + zero):
            to_y = (2.0 * vertex - 1.0) * (SIDES - 1)
            turn = 2 * side + vertex
            row, at_y, at_x = slices_of(inner + turn * zero, rows, cells, cell_x0, y0, lr_h, height, TILE)
            first_y, last_y = ends_along_y(row + y0, at_y, lr_h, height, length_y, LINEAR_SLICES)
            first_x = rel_of(first_position(at_x, lr_w, width), at_x, lr_w, width)
            params = params_at(fields, picture, at_y + vertex - lr_y0, at_x + side - lr_x0, fields_b, fields_y,
                               fields_x, ALIGNMENT)
            place = ((first_y - to_y)[:, None], (first_x - to_x)[:, None], (last_y - to_y)[:, None],
                     (first_x + length_x - to_x)[:, None])
            lower = upper
            upper = coarse_vectors(params[:, None], seen_y, seen_x, place, read_anew(matrices, turn, zero),
                                   read_anew(table, turn, zero), read_anew(biases, turn, zero), FOURIER, FIRST,
                                   COARSE, BLOCKS, BLOCK, TYPE, EMULATED)
        if SIDES == 2:
            row, at_y, at_x = slices_of(inner + side * zero, rows, cells, cell_x0, y0, lr_h, height, TILE)
            rel_y = rel_of(row + y0, at_y, lr_h, height)[:, None]
            upper = combined(lower, (1.0 - rel_y) * 0.5, upper, (1.0 + rel_y) * 0.5, False, BLOCKS, TYPE, EMULATED)
        left = right
        right = layer(upper, read_anew(first_fine, side, zero), None, False, BLOCKS, BLOCK, TYPE, EMULATED)
    if SIDES == 1:
        left = right
    bias = biases + COARSE * WIDTH
    row, at_y, at_x = slices_of(inner, rows, cells, cell_x0, y0, lr_h, height, TILE)
    rel_y = rel_of(row + y0, at_y, lr_h, height)[:, None]
    mean = line(left, right, rel_y, on_rel, bias, False, BLOCKS, BLOCK, TYPE, EMULATED)
    slope = line(left, right, rel_y, on_rel, bias, True, BLOCKS, BLOCK, TYPE, EMULATED)

    fine = first_fine + WIDTH * WIDTH
    fine_biases = biases + (COARSE + 1) * WIDTH
    for pixel in range(pixels):
        number = inner + pixel * zero
        row, at_y, at_x = slices_of(number, rows, cells, cell_x0, y0, lr_h, height, TILE)
        position = tl.maximum(first_position(at_x, lr_w, width), x0) + pixel
        stop = tl.minimum(first_position(at_x + 1, lr_w, width), x0 + cols)
        inside = (number * TILE + tl.arange(0, TILE) < rows.to(number.dtype) * cells) & (position < stop)
        position = tl.minimum(position, x0 + cols - 1)
        rel_x = rel_of(position, at_x, lr_w, width)
        x = combined(mean, None, slope, rel_x[:, None], True, BLOCKS, TYPE, EMULATED)
        weights, bias = read_anew(fine, pixel, zero), read_anew(fine_biases, pixel, zero)
        x = hidden_layers(x, weights, bias, FINE, BLOCKS, BLOCK, TYPE, EMULATED)
        rgb = dense_block(x, weights + FINE * WIDTH * WIDTH, bias + FINE * WIDTH, 0, BLOCKS, BLOCK, 16, 16, TYPE,
                          EMULATED)
        if skip is not None:
            axis_y, axis_x = grid_axis(row + y0, lr_h, height), grid_axis(position, lr_w, width)
            rgb = add_skip(rgb, skip, picture, axis_y, axis_x, tl.maximum(lr_y0 - 1, 0), tl.maximum(lr_x0 - 1, 0),
                           skip_b, skip_c, skip_y, skip_x)
        store_pixels(rgb, out, picture, row, position - x0, inside, out_b, out_c, out_y, out_x, UNIT, EMULATED)
