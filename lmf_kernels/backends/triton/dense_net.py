"""Dense layers up to 256 wide on the rows of a tile, for the families whose networks are the same for every cell.

A tile's activations stay in registers, as a tuple of blocks (rows, BLOCK): Triton cannot take a part of a block, and a
whole matrix of a layer fits neither into registers nor, on most GPUs, into shared memory. So a layer is a product for
each pair of a block of its inputs and a block of its outputs, and the matrices are read block by block from memory,
where all programs share them.

`dense_weights.py` describes the packed weights. All layers have WIDTH inputs and outputs there; padded channels are
zero throughout.
"""

import triton
import triton.language as tl

from .arithmetic import relu, rounded, sincospi


@triton.jit
def read_anew(
    pointer,
    number,  # int: of the iteration of a loop
    zero,  # int scalar, 0, which the compiler does not know
):
    """The pointer, in a form that keeps the compiler from reading weights before the loop. They would fill registers
    and shared memory."""
    return pointer + tl.multiple_of(number * zero, 16)


@triton.jit
def blocks_of_zeros(
    ROWS: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Activations that are zero: BLOCKS blocks (ROWS, BLOCK)."""
    zeros = rounded(tl.zeros((ROWS, BLOCK), tl.float32), TYPE, EMULATED)
    y = (zeros,)
    for _ in tl.static_range(1, BLOCKS):
        y = y + (zeros,)
    return y


@triton.jit
def weight_block(
    matrix,  # pointer to (WIDTH, COLUMNS)
    k,  # int: block of the inputs
    n,  # int: block of the outputs
    BLOCK: tl.constexpr,  # inputs of a block
    OUT: tl.constexpr,  # outputs of a block
    COLUMNS: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """Load a block of a packed matrix: (BLOCK, OUT)."""
    row = k * BLOCK + tl.arange(0, BLOCK)[:, None]
    column = n * OUT + tl.arange(0, OUT)[None, :]
    return rounded(tl.load(matrix + row * COLUMNS + column), TYPE, EMULATED)


@triton.jit
def dense_block(
    x,  # BLOCKS blocks (rows, BLOCK)
    matrix,  # pointer to (WIDTH, COLUMNS)
    bias,  # pointer to (COLUMNS,) float32, or None
    n,  # int: block of the outputs
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    OUT: tl.constexpr,
    COLUMNS: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """A block of the outputs of W x + b, summed in float32: (rows, OUT)."""
    sums = tl.zeros((x[0].shape[0], OUT), tl.float32)
    if bias is not None:
        sums += tl.load(bias + n * OUT + tl.arange(0, OUT))[None, :]
    for k in tl.static_range(BLOCKS):
        w = weight_block(matrix, k, n, BLOCK, OUT, COLUMNS, TYPE, EMULATED)
        sums = tl.dot(x[k], w, sums, input_precision="ieee")
    return sums


@triton.jit
def layer_block(x, matrix, bias, n, RELU: tl.constexpr, BLOCKS: tl.constexpr, BLOCK: tl.constexpr, TYPE: tl.constexpr,
                EMULATED: tl.constexpr):
    """A block of `layer`."""
    y = dense_block(x, matrix, bias, n, BLOCKS, BLOCK, BLOCK, BLOCKS * BLOCK, TYPE, EMULATED)
    if RELU:
        y = relu(y)
    return rounded(y, TYPE, EMULATED)


@triton.jit
def layer(
    x,  # BLOCKS blocks (rows, BLOCK) of TYPE
    matrix,  # pointer to (WIDTH, WIDTH)
    bias,  # pointer to (WIDTH,) float32, or None
    RELU: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """W x + b, with or without a ReLU, rounded to TYPE: BLOCKS blocks like x. NaN stays NaN."""
    y = (layer_block(x, matrix, bias, 0, RELU, BLOCKS, BLOCK, TYPE, EMULATED),)
    for n in tl.static_range(1, BLOCKS):
        y = y + (layer_block(x, matrix, bias, n, RELU, BLOCKS, BLOCK, TYPE, EMULATED),)
    return y


@triton.jit
def hidden_layers(
    x,  # BLOCKS blocks (rows, BLOCK) of TYPE
    matrices,  # pointer to the first layer's matrix; the others follow
    biases,  # pointer to its bias; the others follow
    COUNT: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """COUNT layers with ReLU, one after the other. A loop at run time: unrolled, they would take long to compile."""
    width: tl.constexpr = BLOCKS * BLOCK
    for number in range(COUNT):
        x = layer(x, matrices + number * width * width, biases + number * width, True, BLOCKS, BLOCK, TYPE, EMULATED)
    return x


@triton.jit
def affine_block(
    params,  # (rows, 1) pointers to the cells' parameters
    coordinates,  # COUNT coordinates, (rows or 1, 1) float32 each
    table,  # pointer to the COUNT rows of the first layer's matrix that meet them, (COUNT, WIDTH) float32
    n,  # int: block of the outputs
    COUNT: tl.constexpr,
    FIRST: tl.constexpr,  # outputs that there are in memory
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """A block of `linear_head`."""
    width: tl.constexpr = BLOCKS * BLOCK
    column = n * BLOCK + tl.arange(0, BLOCK)[None, :]
    if FIRST == width:
        sums = tl.load(params + column).to(tl.float32)
    else:
        sums = tl.load(params + column, mask=column < FIRST, other=0.0).to(tl.float32)
    for number in tl.static_range(COUNT):
        weight = tl.load(table + number * width + column)
        sums = tl.fma(coordinates[number], weight, sums)
    return rounded(relu(sums), TYPE, EMULATED)


@triton.jit
def linear_head(
    params,  # (rows, 1) pointers to the cells' parameters
    coordinates,  # COUNT coordinates, (rows or 1, 1) float32 each
    table,  # pointer to (COUNT, WIDTH) float32
    COUNT: tl.constexpr,
    FIRST: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """relu(base + sum of coordinate * row): the first layer, of which the cell's base is known."""
    x = (affine_block(params, coordinates, table, 0, COUNT, FIRST, BLOCKS, BLOCK, TYPE, EMULATED),)
    for n in tl.static_range(1, BLOCKS):
        x = x + (affine_block(params, coordinates, table, n, COUNT, FIRST, BLOCKS, BLOCK, TYPE, EMULATED),)
    return x


@triton.jit
def wave_block(
    params,  # (rows, 1) pointers to the cells' parameters
    at_y, at_x,  # (rows, 1) float32: meet the frequencies
    shift_y, shift_x,  # (rows or 1, 1) float32: meet the phase
    table,  # pointer to the phase, (2, WIDTH) float32, of which WIDTH / 2 columns are used
    n,  # int: block of the angles
    IN_DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """A block of cosines and one of sines of `fourier_head`."""
    width: tl.constexpr = BLOCKS * BLOCK
    half: tl.constexpr = IN_DIM // 2
    angle = n * BLOCK + tl.arange(0, BLOCK)[None, :]
    pair = 2 * n * BLOCK + tl.arange(0, 2 * BLOCK)[None, :]
    if IN_DIM == width:
        freq = tl.load(params + IN_DIM + pair)
        coef_cos = tl.load(params + angle)
        coef_sin = tl.load(params + half + angle)
    else:
        freq = tl.load(params + IN_DIM + pair, mask=pair < IN_DIM, other=0.0)
        coef_cos = tl.load(params + angle, mask=angle < half, other=0.0)
        coef_sin = tl.load(params + half + angle, mask=angle < half, other=0.0)
    freq_y, freq_x = tl.split(tl.reshape(freq.to(tl.float32), (freq.shape[0], BLOCK, 2)))
    q = tl.load(table + angle) * shift_y + tl.load(table + width + angle) * shift_x
    q = tl.fma(freq_y, at_y, q + tl.zeros_like(freq_y))
    q = tl.fma(freq_x, at_x, q)
    cos, sin = sincospi(q)
    return (rounded(cos * coef_cos.to(tl.float32), TYPE, EMULATED),
            rounded(sin * coef_sin.to(tl.float32), TYPE, EMULATED))


@triton.jit
def fourier_head(
    params,  # (rows, 1) pointers to the cells' parameters
    at_y, at_x,  # (rows, 1) float32
    shift_y, shift_x,  # (rows or 1, 1) float32
    table,  # pointer to (2, WIDTH) float32
    IN_DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """coef * [cos(pi q), sin(pi q)], q_j = freq_2j at_y + freq_2j+1 at_x + phase_j shift (LTE, arXiv 2111.08918). The
    first half of the blocks has the cosines."""
    cos, sin = wave_block(params, at_y, at_x, shift_y, shift_x, table, 0, IN_DIM, BLOCKS, BLOCK, TYPE, EMULATED)
    cosines, sines = (cos,), (sin,)
    for n in tl.static_range(1, BLOCKS // 2):
        cos, sin = wave_block(params, at_y, at_x, shift_y, shift_x, table, n, IN_DIM, BLOCKS, BLOCK, TYPE, EMULATED)
        cosines = cosines + (cos,)
        sines = sines + (sin,)
    return cosines + sines
