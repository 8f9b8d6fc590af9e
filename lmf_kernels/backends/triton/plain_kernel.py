"""The plain family's Triton kernel (LIIF, arXiv 2012.09161, and LTE, arXiv 2111.08918). A program renders a tile of
pixels: for each corner of the local ensemble the head, the dense layers and the output, blended as RGB."""

import triton
import triton.language as tl

from .dense_net import dense_block, fourier_head, hidden_layers, linear_head, read_anew
from .geometry import corner_of, params_at
from .pixels import add_skip, coordinates, nearest_of, store_pixels, tile_pixels

# These change from picture to picture. The kernel must not be compiled again if one is 1 or a multiple of 16.
SIZES = ("fields_b", "fields_y", "fields_x", "skip_b", "skip_c", "skip_y", "skip_x", "out_b", "out_c", "out_y", "out_x",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "tiles", "tiles_x", "first",
         "zero")
SCALAR_ACCESS = ("skip", "out", "coord", "cell")  # one value at a time: alignment is irrelevant


@triton.jit
def evaluate(
    params,  # (pixels, 1) pointers to the cells' parameters
    rel_y, rel_x,  # (pixels, 1) float32
    cell_y, cell_x,  # (pixels or 1, 1) float32
    matrices,  # pointer to the packed matrices
    table,  # pointer to the packed table
    FOURIER: tl.constexpr,
    FIRST: tl.constexpr,
    LAYERS: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,
    EMULATED: tl.constexpr,
):
    """The network's values of a tile seen from one cell each: (pixels, 16) float32."""
    width: tl.constexpr = BLOCKS * BLOCK
    if FOURIER:
        head_rows: tl.constexpr = 2
        x = fourier_head(params, rel_y, rel_x, cell_y, cell_x, table, FIRST, BLOCKS, BLOCK, TYPE, EMULATED)
    else:
        head_rows: tl.constexpr = 4
        x = linear_head(params, (rel_y, rel_x, cell_y, cell_x), table, 4, FIRST, BLOCKS, BLOCK, TYPE, EMULATED)
    biases = table + head_rows * width
    x = hidden_layers(x, matrices, biases, LAYERS, BLOCKS, BLOCK, TYPE, EMULATED)
    return dense_block(x, matrices + LAYERS * width * width, biases + LAYERS * width, 0, BLOCKS, BLOCK, 16, 16, TYPE,
                       EMULATED)


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=SCALAR_ACCESS)
def plain_mlp_kernel(
    fields,  # (B, h, w, C) by strides, the channel stride 1
    skip,  # (B, 3, h, w) by strides, or None
    out,  # by strides b, c, y, x; points: y unused, x steps from query to query
    coord,  # (B, Q, 2) float32, or None: grid mode
    cell,  # (B, Q, 2) float32, or None
    matrices,  # of dense_weights.Packed
    table,
    fields_b, fields_y, fields_x,
    skip_b, skip_c, skip_y, skip_x,
    out_b, out_c, out_y, out_x,
    lr_h, lr_w, lr_y0, lr_x0,  # the whole LR map, and where the fields begin in it
    height, width,  # of the whole output; unused for points
    y0, x0, rows, cols,  # the window; points: 0, 0, 1, Q
    tiles, tiles_x,  # tiles of a picture, and of a row of tiles
    first,  # index of the launch's first tile in the batch
    zero,  # of dense_net.read_anew
    rel_cell_y, rel_cell_x,  # grid mode
    GRID: tl.constexpr,
    FOURIER: tl.constexpr,
    ENSEMBLE: tl.constexpr,
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    FIRST: tl.constexpr,  # width of the linear head's base, or of the Fourier product
    LAYERS: tl.constexpr,  # hidden layers after the head
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TYPE: tl.constexpr,  # type of matrix operands
    EMULATED: tl.constexpr,  # in the interpreter
    ALIGNMENT: tl.constexpr,  # 16 or 1; all strides of the fields are multiples of it
    USE_INT64: tl.constexpr,  # positions need int64
    TILE_ROWS: tl.constexpr,
    TILE_COLS: tl.constexpr,
):
    """Render tile `first + program_id`. Pixels outside the window are computed as the last one and not stored."""
    tile = tl.program_id(0)
    if USE_INT64:
        tile = tile.to(tl.int64) + first
    picture, row, col, inside = tile_pixels(tile, rows, cols, tiles, tiles_x, TILE_ROWS, TILE_COLS)
    rgb = tl.zeros((TILE_ROWS * TILE_COLS, 16), tl.float32)
    # Coordinates are computed for each corner: kept, they would fill registers beside the activations. The float64 that
    # points need fills more than it frees beside the narrow layers of float32.
    ANEW: tl.constexpr = GRID or TYPE != tl.float32
    if not ANEW:
        axis_y, axis_x, cell_y, cell_x = coordinates(picture, row, col, coord, cell, lr_h, lr_w, height, width, y0, x0,
                                                     cols, rel_cell_y, rel_cell_x, GRID)
    for number in range((4 if ENSEMBLE else 1) + zero):  # the compiler would unroll a known number of iterations
        if ANEW:
            axis_y, axis_x, cell_y, cell_x = coordinates(picture, row, col + number * zero, coord, cell, lr_h, lr_w,
                                                         height, width, y0, x0, cols, rel_cell_y, rel_cell_x, GRID)
        if ENSEMBLE:
            at_y, at_x, rel_y, rel_x, weight = corner_of(number, axis_y, axis_x)
        else:
            at_y, at_x, rel_y, rel_x = nearest_of(axis_y, axis_x)
            weight = tl.full((TILE_ROWS * TILE_COLS,), 1.0, tl.float32)
        params = params_at(fields, picture, at_y - lr_y0, at_x - lr_x0, fields_b, fields_y, fields_x, ALIGNMENT)
        value = evaluate(params[:, None], rel_y[:, None], rel_x[:, None], cell_y[:, None], cell_x[:, None],
                         read_anew(matrices, number, zero), read_anew(table, number, zero), FOURIER, FIRST, LAYERS,
                         BLOCKS, BLOCK, TYPE, EMULATED)
        rgb = tl.fma(value, weight[:, None], rgb)
    if skip is not None:
        if ANEW:
            axis_y, axis_x, cell_y, cell_x = coordinates(picture, row, col, coord, cell, lr_h, lr_w, height, width, y0,
                                                         x0, cols, rel_cell_y, rel_cell_x, GRID)
        rgb = add_skip(rgb, skip, picture, axis_y, axis_x, lr_y0, lr_x0, skip_b, skip_c, skip_y, skip_x)
    store_pixels(rgb, out, picture, row, col, inside, out_b, out_c, out_y, out_x, UNIT, EMULATED)
