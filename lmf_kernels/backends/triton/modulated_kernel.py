"""The modulated family's Triton kernel. A program renders a tile of pixels: it loads the cell parameters, evaluates the
MLP, blends the corners and stores the result."""

import triton
import triton.language as tl

from .arithmetic import clamp_unit, round_to_byte, rounded
from .geometry import corner_of, grid_axis, point_axis, params_at
from .modulated_net import evaluate, output_layer, rel_cell_part

# These change from picture to picture. The kernel must not be compiled again if one is 1 or a multiple of 16.
SIZES = ("fields_b", "fields_y", "fields_x", "skip_b", "skip_c", "skip_y", "skip_x", "out_b", "out_c", "out_y", "out_x",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "tiles", "tiles_x", "first")
SCALAR_ACCESS = ("skip", "out", "coord", "cell")  # one value at a time: alignment is irrelevant


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=SCALAR_ACCESS)
def modulated_mlp_kernel(
    fields,  # (B, h, w, C) by strides, the channel stride 1
    skip,  # (B, 3, h, w) by strides, or None
    out,  # by strides b, c, y, x; points: y unused, x steps from query to query
    coord,  # (B, Q, 2) float32, or None: grid mode
    cell,  # (B, Q, 2) float32, or None
    weights,  # (weight_count,)
    fields_b, fields_y, fields_x,
    skip_b, skip_c, skip_y, skip_x,
    out_b, out_c, out_y, out_x,
    lr_h, lr_w, lr_y0, lr_x0,  # the whole LR map, and where the fields begin in it
    height, width,  # of the whole output; unused for points
    y0, x0, rows, cols,  # the window; points: 0, 0, 1, Q
    tiles, tiles_x,  # tiles of a picture, and of a row of tiles
    first,  # index of the launch's first tile in the batch
    cell_y, cell_x,  # grid mode: rel_cell
    GRID: tl.constexpr,
    FOURIER: tl.constexpr,
    ENSEMBLE: tl.constexpr,
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,  # in_dim / 2
    HALF_PADDED: tl.constexpr,
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
    picture = tile // tiles
    inner = tile % tiles
    lane = tl.arange(0, TILE_ROWS * TILE_COLS)
    row = inner // tiles_x * TILE_ROWS + lane // TILE_COLS
    col = inner % tiles_x * TILE_COLS + lane % TILE_COLS
    inside = (row < rows) & (col < cols)
    row = tl.minimum(row, rows - 1)
    col = tl.minimum(col, cols - 1)
    picture = picture.to(tl.int64)
    if GRID:
        axis_y = grid_axis(row + y0, lr_h, height)
        axis_x = grid_axis(col + x0, lr_w, width)
        rel_cell_y = tl.full((1,), cell_y, tl.float32)
        rel_cell_x = tl.full((1,), cell_x, tl.float32)
    else:
        query = 2 * (picture * cols + col)
        axis_y = point_axis(tl.load(coord + query), lr_h)
        axis_x = point_axis(tl.load(coord + query + 1), lr_w)
        rel_cell_y = tl.load(cell + query) * lr_h.to(tl.float32)
        rel_cell_x = tl.load(cell + query + 1) * lr_w.to(tl.float32)

    cell_part = rel_cell_part(weights, rel_cell_y, rel_cell_x, FOURIER, HIDDEN, HIDDEN_PADDED, HALF, HALF_PADDED)
    # The output layer is linear, so it is applied after the blend: one product instead of four.
    x = tl.zeros((TILE_ROWS * TILE_COLS, HIDDEN_PADDED), tl.float32)
    if ENSEMBLE:
        for number in range(4):
            at_y, at_x, rel_y, rel_x, weight = corner_of(number, axis_y, axis_x)
            params = params_at(fields, picture, at_y - lr_y0, at_x - lr_x0, fields_b, fields_y, fields_x, ALIGNMENT)
            corner = evaluate(params[:, None], rel_y[:, None], rel_x[:, None], cell_part, weights, FOURIER, DEPTH,
                              HIDDEN, HIDDEN_PADDED, HALF, HALF_PADDED, TYPE, EMULATED)
            x = tl.fma(corner, weight[:, None], x)
    else:
        at_y = tl.where(axis_y[6], axis_y[1], axis_y[0])
        at_x = tl.where(axis_x[6], axis_x[1], axis_x[0])
        rel_y = tl.where(axis_y[6], axis_y[3], axis_y[2])
        rel_x = tl.where(axis_x[6], axis_x[3], axis_x[2])
        params = params_at(fields, picture, at_y - lr_y0, at_x - lr_x0, fields_b, fields_y, fields_x, ALIGNMENT)
        x = evaluate(params[:, None], rel_y[:, None], rel_x[:, None], cell_part, weights, FOURIER, DEPTH, HIDDEN,
                     HIDDEN_PADDED, HALF, HALF_PADDED, TYPE, EMULATED)
    rgb = output_layer(x, weights, FOURIER, DEPTH, HIDDEN, HIDDEN_PADDED, HALF, TYPE, EMULATED)

    channel = tl.arange(0, 16)[None, :]
    if skip is not None:
        skip += picture * skip_b + channel * skip_c
        for number in tl.static_range(4):
            at_y, at_x, rel_y, rel_x, weight = corner_of(number, axis_y, axis_x)
            offset = (at_y - lr_y0).to(tl.int64) * skip_y + (at_x - lr_x0).to(tl.int64) * skip_x
            value = tl.load(skip + offset[:, None], mask=channel < 3, other=0.0).to(tl.float32)
            rgb = tl.fma(value, weight[:, None], rgb)
    if UNIT:
        rgb = clamp_unit(tl.fma(rgb, 0.5, 0.5))
    offset = picture * out_b + row.to(tl.int64) * out_y + col.to(tl.int64) * out_x
    pointers = out + offset[:, None] + channel.to(tl.int64) * out_c
    store: tl.constexpr = out.dtype.element_ty
    if store == tl.uint8:
        rgb = round_to_byte(rgb * 255.0)
    else:
        rgb = rounded(rgb, store, EMULATED).to(store)
    tl.store(pointers, rgb, mask=inside[:, None] & (channel < 3))
