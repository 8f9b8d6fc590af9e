"""The modulated render MLP for columns of pixels that share their LR cells, in half types: `modulated_net.py` for
`modulated_columns_kernel.py`. `layout.py` describes the weights and the cell parameters.

A tile is COLUMNS x 2 rows, pixel number COLUMNS * row + column. With eight columns, as on GPUs, a lane has two
pixels of one column in a matrix instruction's fragments, and four lanes share a column. Lane t of the four reads
channels 4 t to 4 t + 3 of a cell, from a block (COLUMNS, 4, 4), and these are columns 2 t, 2 t + 1, 2 t + 8, 2 t +
9 of the fragments. The weights' rows and columns are loaded in this order, so that no value changes its lane
between the layers.
"""

import triton
import triton.language as tl

from .arithmetic import relu, rounded, sincospi
from .layout import (base_offset, cell_offset, coef_offset, freq_offset, layer_offset, phase_offset, rel_offset,
                     scale_offset, shift_offset, w0_offset, w_out_offset)

WIDTH = tl.constexpr(16)
HALF = tl.constexpr(8)  # products of a Fourier head


@triton.jit
def fragment_columns(
    x,  # (rows, 16): channels
):
    """The columns in the order of the fragments."""
    rows: tl.constexpr = x.shape[0]
    return tl.reshape(tl.permute(tl.reshape(x, (rows, 4, 2, 2)), (0, 2, 1, 3)), (rows, 16))


@triton.jit
def fragment_rows(
    x,  # (16, columns): channels
):
    """The rows in the order of the fragments."""
    columns: tl.constexpr = x.shape[1]
    return tl.reshape(tl.permute(tl.reshape(x, (4, 2, 2, columns)), (1, 0, 2, 3)), (16, columns))


@triton.jit
def lane_rows(
    x,  # (16, columns): cosines, then sines
):
    """The rows in the order of the lanes that make them: two cosines, then their sines."""
    columns: tl.constexpr = x.shape[1]
    return tl.reshape(tl.permute(tl.reshape(x, (2, 4, 2, columns)), (1, 0, 2, 3)), (16, columns))


@triton.jit
def tile(
    above,  # (COLUMNS, 4, 4): a lane's channels, of the first row
    below,  # (COLUMNS, 4, 4): of the second
):
    """(2 COLUMNS, 16): pixels x channels in the order of the fragments."""
    columns: tl.constexpr = above.shape[0]
    both = tl.reshape(tl.join(above, below), (columns, 4, 2, 2, 2))  # column, lane, half, channel of a pair, row
    return tl.reshape(tl.permute(both, (4, 0, 2, 1, 3)), (2 * columns, 16))


@triton.jit
def multiply_add(
    x, y, z,  # blocks of TYPE, or float32 with values that TYPE can represent if EMULATED
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """x y + z, rounded once."""
    if EMULATED:
        return rounded(tl.fma(x, y, z), TYPE, EMULATED)
    else:
        return tl.fma(x, y, z)


@triton.jit
def halves(
    pointers,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Load parameters of TYPE."""
    x = tl.load(pointers)
    if EMULATED:
        return x.to(tl.float32)
    else:
        return x


@triton.jit
def one_plus(
    scale,  # of `halves`
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """1 + scale, rounded to TYPE."""
    if EMULATED:
        return rounded(1.0 + scale, TYPE, EMULATED)
    else:
        return scale + tl.full((), 1.0, TYPE)


@triton.jit
def column_product(
    x,  # (pixels, in), TYPE, or float32 if EMULATED
    w,  # (in, out)
    SUMS: tl.constexpr,  # tl.float16 or tl.float32: type of the sums
    EMULATED: tl.constexpr,
):
    """x @ w. in is 16, a single instruction, so that float16 sums are rounded once too."""
    if EMULATED:
        sums = tl.dot(x, w, input_precision="ieee")
        if SUMS == tl.float16:
            sums = rounded(sums, SUMS, EMULATED)
        return sums
    else:
        return tl.dot(x, w, out_dtype=SUMS)


@triton.jit
def column_weights(
    weights,  # pointer to the flat weights
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """(matrices of the layers, in order: a tuple of (16, 16); output matrix (16, 8), whose columns 0, 2, 4 are the
    colour)."""
    n = tl.arange(0, WIDTH)
    at = n[:, None] * WIDTH + n[None, :]
    matrices = ()
    if FOURIER:
        w = rounded(tl.load(weights + w0_offset(HALF) + at), TYPE, EMULATED)
        matrices = matrices + (fragment_columns(lane_rows(w)),)
    for layer in tl.static_range(1, DEPTH):
        w = rounded(tl.load(weights + layer_offset(layer, FOURIER, WIDTH, HALF) + at), TYPE, EMULATED)
        matrices = matrices + (fragment_rows(fragment_columns(w)),)
    o = tl.arange(0, 8)[None, :]
    pointers = weights + w_out_offset(FOURIER, DEPTH, WIDTH, HALF) + n[:, None] * 3 + o // 2
    out = tl.load(pointers, mask=(o % 2 == 0) & (o < 6), other=0.0)
    return matrices, fragment_rows(rounded(out, TYPE, EMULATED))


@triton.jit
def head_weights(
    weights,  # pointer to the flat weights
    cell_y, cell_x,  # float scalars: rel_cell
    y_step,  # float scalar: how much half of rel_y grows from row to row
    FOURIER: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Of a linear head (2 W_y, 2 W_x, W_cell rel_cell: float32; steps of the rows: TYPE), (1, 4, 4) each. Of a Fourier
    head the phases, (1, 4, 2) float32."""
    if FOURIER:
        j = own_products()
        phase_y = tl.load(weights + phase_offset(0, HALF) + j).to(tl.float32)
        phase_x = tl.load(weights + phase_offset(1, HALF) + j).to(tl.float32)
        return tl.fma(phase_x, cell_x, phase_y * cell_y)
    else:
        channel = own_channels()
        y = 2.0 * tl.load(weights + rel_offset(0, WIDTH) + channel).to(tl.float32)
        x = 2.0 * tl.load(weights + rel_offset(1, WIDTH) + channel).to(tl.float32)
        of_y = tl.load(weights + cell_offset(0, WIDTH) + channel).to(tl.float32)
        of_x = tl.load(weights + cell_offset(1, WIDTH) + channel).to(tl.float32)
        return y, x, tl.fma(of_x, cell_x, of_y * cell_y), rounded(y * y_step, TYPE, EMULATED)


@triton.jit
def linear_head(
    cells,  # (COLUMNS, 1, 1) pointers to the cells' parameters
    at_y,  # float scalar: half of rel_y, of row 0
    at_x,  # (COLUMNS, 1, 1): half of rel_x
    head,  # of `head_weights`
    DEPTH: tl.constexpr,
    TILES: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """The first layer's activations: a tuple of TILES (2 COLUMNS, 16). FiLM of the affine first layer is affine in the
    row, so that a row takes one multiply-add."""
    of_y, of_x, of_cell, step = head
    own = cells + own_channels()
    base = halves(own + base_offset(DEPTH, WIDTH), TYPE, EMULATED).to(tl.float32)
    start = rounded(tl.fma(of_x, at_x, tl.fma(of_y, at_y, base + of_cell)), TYPE, EMULATED)
    factor = one_plus(halves(own + scale_offset(0, WIDTH), TYPE, EMULATED), TYPE, EMULATED)
    shift = halves(own + shift_offset(0, DEPTH, WIDTH), TYPE, EMULATED)
    start = multiply_add(start, factor, shift, TYPE, EMULATED)
    slope = rounded(step * factor, TYPE, EMULATED)
    x = ()
    for i in tl.static_range(TILES):
        above = multiply_add(slope, tl.full(slope.shape, 2 * i, slope.dtype), start, TYPE, EMULATED)
        below = multiply_add(slope, tl.full(slope.shape, 2 * i + 1, slope.dtype), start, TYPE, EMULATED)
        x = x + (tile(relu(above), relu(below)),)
    return x


@triton.jit
def fourier_head(
    cells,  # (COLUMNS, 1, 1) pointers to the cells' parameters
    at_y,  # float scalar: half of rel_y, of row 0
    at_x,  # (COLUMNS, 1, 1): half of rel_x
    y_step,  # float scalar: how much half of rel_y grows from row to row
    phase,  # of `head_weights`
    DEPTH: tl.constexpr,
    TILES: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """coef * [cos(pi q), sin(pi q)], the first product's operand: a tuple of TILES (2 COLUMNS, 16), whose columns are
    in the order of `lane_rows`. From row to row q grows by the same d, so that v(i + 1) = 2 cos(pi d) v(i) - v(i - 1)
    holds for each of them (Chebyshev)."""
    freq = halves(cells + own_channels() + freq_offset(DEPTH, WIDTH, HALF), TYPE, EMULATED).to(tl.float32)
    columns: tl.constexpr = freq.shape[0]
    freq_y, freq_x = tl.split(tl.reshape(freq, (columns, 4, 2, 2)))  # (columns, 4, 2): of products 2 t and 2 t + 1
    cos, sin = sincospi(tl.fma(freq_y, 2.0 * at_y, tl.fma(freq_x, 2.0 * at_x, phase)))
    cos_step, sin_step = sincospi(freq_y * (2.0 * y_step))
    coef = cells + coef_offset(DEPTH, WIDTH) + own_products()
    of_cos = halves(coef, TYPE, EMULATED).to(tl.float32)
    of_sin = halves(coef + HALF, TYPE, EMULATED).to(tl.float32)
    cos_above = of_cos * cos
    sin_above = of_sin * sin
    cos_below = of_cos * tl.fma(cos, cos_step, -(sin * sin_step))
    sin_below = of_sin * tl.fma(sin, cos_step, cos * sin_step)
    twice = 2.0 * cos_step
    x = ()
    for i in tl.static_range(TILES):
        if i > 0:
            cos_above = tl.fma(twice, cos_below, -cos_above)
            sin_above = tl.fma(twice, sin_below, -sin_above)
            cos_below = tl.fma(twice, cos_above, -cos_below)
            sin_below = tl.fma(twice, sin_above, -sin_below)
        above = waves(cos_above, sin_above, TYPE, EMULATED)
        below = waves(cos_below, sin_below, TYPE, EMULATED)
        # The compiler gives this operand's lanes four neighbouring columns, unlike those of the other layers.
        both = tl.permute(tl.join(above, below), (3, 0, 1, 2))
        x = x + (tl.reshape(both, (2 * columns, 16)),)
    return x


@triton.jit
def waves(
    cos,  # (COLUMNS, 4, 2) float32
    sin,  # (COLUMNS, 4, 2) float32
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """(COLUMNS, 4, 4): a lane's two cosines and two sines, rounded."""
    both = tl.permute(tl.join(cos, sin), (0, 1, 3, 2))
    return rounded(tl.reshape(both, (cos.shape[0], 4, 4)), TYPE, EMULATED)


@triton.jit
def own_channels():
    """(1, 4, 4): the channels that each lane of a column reads."""
    return 4 * tl.arange(0, 4)[None, :, None] + tl.arange(0, 4)[None, None, :]


@triton.jit
def own_products():
    """(1, 4, 2): the products of a Fourier head whose cosine and sine each lane of a column makes."""
    return 2 * tl.arange(0, 4)[None, :, None] + tl.arange(0, 2)[None, None, :]


@triton.jit
def evaluate_columns(
    cells,  # (COLUMNS, 1, 1) pointers to the cells' parameters
    at_y,  # float scalar: half of rel_y, of row 0
    at_x,  # (COLUMNS, 1, 1): half of rel_x
    y_step,  # float scalar: how much half of rel_y grows from row to row
    head,  # of `head_weights`
    matrices,  # of `column_weights`
    w_out,  # of `column_weights`
    FOURIER: tl.constexpr,
    DEPTH: tl.constexpr,
    TILES: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """The colours of the tiles at one corner, without the bias: a tuple of 2 TILES (COLUMNS, 4) float32, one a row."""
    columns: tl.constexpr = cells.shape[0]
    own = cells + own_channels()
    if FOURIER:
        x = fourier_head(cells, at_y, at_x, y_step, head, DEPTH, TILES, TYPE, EMULATED)
    else:
        x = linear_head(cells, at_y, at_x, head, DEPTH, TILES, TYPE, EMULATED)
    first: tl.constexpr = 0 if FOURIER else 1
    for layer in tl.static_range(first, DEPTH):
        scale = halves(own + scale_offset(layer, WIDTH), TYPE, EMULATED)
        shift = halves(own + shift_offset(layer, DEPTH, WIDTH), TYPE, EMULATED)
        w = matrices[layer - first]
        y = ()
        if layer == DEPTH - 1:
            # What this layer rounds goes straight into the output; the roundings of earlier layers count little beside
            # it. So its sums and its FiLM are in float32.
            factor = 1.0 + scale.to(tl.float32)
            shift = shift.to(tl.float32)
            factor = tile(factor, factor)
            shift = tile(shift, shift)
            for i in tl.static_range(TILES):
                sums = column_product(x[i], w, tl.float32, EMULATED)
                y = y + (rounded(relu(tl.fma(sums, factor, shift)), TYPE, EMULATED),)
        else:
            factor = one_plus(scale, TYPE, EMULATED)
            factor = tile(factor, factor)
            shift = tile(shift, shift)
            for i in tl.static_range(TILES):
                if TYPE == tl.float16:
                    sums = column_product(x[i], w, tl.float16, EMULATED)
                else:  # there are no sums in bfloat16
                    sums = rounded(column_product(x[i], w, tl.float32, EMULATED), TYPE, EMULATED)
                y = y + (relu(multiply_add(sums, factor, shift, TYPE, EMULATED)),)
        x = y
    rows = ()
    for i in tl.static_range(TILES):
        rgb = column_product(x[i], w_out, tl.float32, EMULATED)
        used, unused = tl.split(tl.reshape(rgb, (2, columns, 4, 2)))
        above, below = tl.split(tl.permute(used, (1, 2, 0)))
        rows = rows + (above, below)
    return rows
