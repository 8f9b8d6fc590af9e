"""The modulated family's Triton kernel for grids in half types: a program renders eight neighbouring columns of pixels
between LR centre rows, in tiles of two rows. Pixels of a column share their cells there, so that a cell's parameters
are read once for all of them. `column_net.py` has the network."""

import triton
import triton.language as tl

from .column_net import HALF, WIDTH, column_weights, evaluate_columns, head_weights
from .layout import b_out_offset
from .pixels import finished

# These change from picture to picture. The kernel must not be compiled again if one is 1 or a multiple of 16.
SIZES = ("fields_b", "fields_y", "fields_x", "skip_b", "skip_c", "skip_y", "skip_x", "out_b", "out_c", "out_y", "out_x",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "first_pair", "pairs", "band")
SCALAR_ACCESS = ("skip", "out")  # one value at a time: alignment is irrelevant


@triton.jit
def first_row(
    k,  # int scalar: an LR row, or -1
    lr_h, height,  # int scalars
):
    """The first row of the picture at or after the centre of LR row k."""
    num = ((2 * tl.maximum(k, 0) + 1) * height + lr_h - 1).to(tl.uint32)
    return tl.where(k < 0, 0, tl.minimum((num // (2 * lr_h).to(tl.uint32)).to(tl.int32), height))


@triton.jit
def column_cells(
    position,  # (COLUMNS,) int: columns of the picture
    lr_w, width,  # int scalars
    x_scale,  # float scalar: 1 / (2 width)
):
    """(the first cell, the second cell, whether k0 = -1, where the pixel lies between the two centres)."""
    num = ((2 * position + 1) * lr_w + width).to(tl.uint32)
    den = (2 * width).to(tl.uint32)
    quotient = num // den
    k0 = quotient.to(tl.int32) - 1
    f = (num - quotient * den).to(tl.int32).to(tl.float32) * x_scale
    return tl.maximum(k0, 0), tl.minimum(k0 + 1, lr_w - 1), k0, f


@triton.jit
def along_row(
    left,  # (COLUMNS, 4) pointers to the skip
    right,  # (COLUMNS, 4)
    f_x,  # (COLUMNS,): where the pixels lie between the two
    channel,  # (1, 4)
):
    """The skip's values between two columns of the LR picture: (COLUMNS, 4) float32."""
    first = tl.load(left, mask=channel < 3, other=0.0).to(tl.float32)
    second = tl.load(right, mask=channel < 3, other=0.0).to(tl.float32)
    return tl.fma(second - first, f_x[:, None], first)


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=SCALAR_ACCESS)
def modulated_columns_kernel(
    fields,  # (B, h, w, C) by strides, the channel stride 1
    skip,  # (B, 3, h, w) by strides, or None
    out,  # by strides b, c, y, x
    weights,  # (weight_count,)
    fields_b, fields_y, fields_x,
    skip_b, skip_c, skip_y, skip_x,
    out_b, out_c, out_y, out_x,
    lr_h, lr_w, lr_y0, lr_x0,  # the whole LR map, and where the fields begin in it
    height, width,  # of the whole output
    y0, x0, rows, cols,  # the window
    first_pair, pairs,  # the LR row before the window's first row, -1 before the first; how many such rows there are
    band,  # how many of them a program renders
    cell_y, cell_x,  # rel_cell
    y_scale, x_scale,  # 1 / (2 height), 1 / (2 width)
    y_step,  # lr_h / height
    FOURIER: tl.constexpr,
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILES: tl.constexpr,  # of two rows, that go through the network together
    UNROLLED: tl.constexpr,  # corners at a time: 1, 2 or 4
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,  # in the interpreter
):
    """Render columns COLUMNS * program_id(0) and following of picture program_id(2), between the LR rows of a band."""
    picture = tl.program_id(2).to(tl.int64)
    col = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    matrices, w_out = column_weights(weights, FOURIER, DEPTH, TYPE, EMULATED)
    head = head_weights(weights, cell_y, cell_x, y_step, FOURIER, TYPE, EMULATED)
    channel = tl.arange(0, 4)[None, :]
    bias = tl.load(weights + b_out_offset(FOURIER, DEPTH, WIDTH, HALF) + channel, mask=channel < 3,
                   other=0.0).to(tl.float32)
    left, right, k_x, f_x = column_cells(tl.minimum(col, cols - 1) + x0, lr_w, width, x_scale)
    left_cell = (left - lr_x0).to(tl.int64) * fields_x
    right_cell = (right - lr_x0).to(tl.int64) * fields_x
    if skip is not None:
        skip_column = picture * skip_b + channel.to(tl.int64) * skip_c
        left_skip = skip_column + (left - lr_x0).to(tl.int64)[:, None] * skip_x
        right_skip = skip_column + (right - lr_x0).to(tl.int64)[:, None] * skip_x
    stored = (col[:, None] < cols) & (channel < 3)
    out += picture * out_b + col[:, None].to(tl.int64) * out_x + channel.to(tl.int64) * out_c

    start_pair = tl.program_id(1) * band
    end = first_row(first_pair + start_pair, lr_h, height)
    for pair in range(start_pair, tl.minimum(start_pair + band, pairs)):
        k = first_pair + pair
        begin = end
        end = first_row(k + 1, lr_h, height)
        upper = tl.maximum(k, 0)
        lower = tl.minimum(k + 1, lr_h - 1)
        # Chunks of rows begin at the same rows of the picture whatever the window, and a value depends on its chunk
        # alone: a window has the bits of the whole.
        chunk0 = begin + tl.maximum(y0 - begin, 0) // (2 * TILES) * (2 * TILES)
        stop = tl.minimum(end, y0 + rows)
        for row in range(chunk0, stop, 2 * TILES):
            remainder = (2 * row + 1) * lr_h - (2 * k + 1) * height
            f_y = remainder.to(tl.float32) * y_scale
            start = tl.zeros((COLUMNS, 4), tl.float32) + bias
            if skip is not None:  # bilinear, and so affine in the row
                above = skip + (upper - lr_y0).to(tl.int64) * skip_y
                below = skip + (lower - lr_y0).to(tl.int64) * skip_y
                above = along_row(above + left_skip, above + right_skip, f_x, channel)
                below = along_row(below + left_skip, below + right_skip, f_x, channel)
                step = y_step * (below - above)
                start = tl.fma(below - above, f_y, above + start)
            sums = ()
            for i in tl.static_range(2 * TILES):
                if skip is not None:
                    sums = sums + (tl.fma(step, i * 1.0, start),)
                else:
                    sums = sums + (start,)
            for number in range(0, 4, UNROLLED):
                for unrolled in tl.static_range(UNROLLED):
                    corner = number + unrolled
                    low = corner // 2 == 0
                    first = corner % 2 == 0
                    at_y = f_y + (k - tl.where(low, upper, lower)).to(tl.float32)
                    at_x = f_x + (k_x - tl.where(first, left, right)).to(tl.float32)
                    cells = (picture * fields_b + (tl.where(low, upper, lower) - lr_y0).to(tl.int64) * fields_y
                             + tl.where(first, left_cell, right_cell))
                    cells = fields + tl.multiple_of(cells, 16)  # so that loads are wide
                    weight_x = tl.where(first, 1.0 - f_x, f_x)
                    weight = weight_x * tl.where(low, 1.0 - f_y, f_y)
                    slope = weight_x * tl.where(low, -y_step, y_step)
                    values = evaluate_columns(tl.reshape(cells, (COLUMNS, 1, 1)), at_y,
                                              tl.reshape(at_x, (COLUMNS, 1, 1)), y_step, head, matrices, w_out,
                                              FOURIER, DEPTH, TILES, TYPE, EMULATED)
                    blended = ()
                    for i in tl.static_range(2 * TILES):
                        w = tl.fma(slope, i * 1.0, weight)
                        blended = blended + (tl.fma(w[:, None], values[i], sums[i]),)
                    sums = blended
            for i in tl.static_range(2 * TILES):
                at = row + i + tl.zeros((1, 1), tl.int32)
                rgb = finished(sums[i], out.dtype.element_ty, UNIT, EMULATED)
                tl.store(out + (at - y0).to(tl.int64) * out_y, rgb, mask=stored & (at >= y0) & (at < stop))
