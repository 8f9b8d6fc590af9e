"""Where the pixels of a program's tile lie, and how their values are finished and stored: what the render kernels of
all families do alike."""

import triton
import triton.language as tl

from .arithmetic import clamp_unit, round_to_byte, rounded
from .geometry import corner_of, grid_axis, point_axis


@triton.jit
def tile_pixels(
    tile,  # int scalar: index of the tile in the batch
    rows, cols,  # int scalars: of the window; points: 1, Q
    tiles, tiles_x,  # int scalars: tiles of a picture, and of a row of tiles
    TILE_ROWS: tl.constexpr,
    TILE_COLS: tl.constexpr,
):
    """(picture int64 scalar, row, column, whether it is in the window: each (pixels,)). A pixel outside the window gets
    the place of the last one."""
    inner = tile % tiles
    lane = tl.arange(0, TILE_ROWS * TILE_COLS)
    row = inner // tiles_x * TILE_ROWS + lane // TILE_COLS
    col = inner % tiles_x * TILE_COLS + lane % TILE_COLS
    inside = (row < rows) & (col < cols)
    return (tile // tiles).to(tl.int64), tl.minimum(row, rows - 1), tl.minimum(col, cols - 1), inside


@triton.jit
def coordinates(
    picture,  # int64 scalar
    row,  # (pixels,) int
    col,  # (pixels,) int
    coord,  # (B, Q, 2) float32, or None: grid mode
    cell,  # (B, Q, 2) float32, or None
    lr_h, lr_w,  # int scalars
    height, width,  # int scalars: of the whole output
    y0, x0,  # int scalars: of the window
    cols,  # int scalar
    cell_y, cell_x,  # float scalars: grid mode, rel_cell
    GRID: tl.constexpr,
):
    """(axis_y, axis_x, rel_cell_y, rel_cell_x): of `grid_axis` or `point_axis`, and (pixels or 1,) each."""
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
    return axis_y, axis_x, rel_cell_y, rel_cell_x


@triton.jit
def nearest_of(
    axis_y,  # from grid_axis or point_axis
    axis_x,
):
    """Cell (y, x) and rel (y, x) of the nearest cell: each (pixels,)."""
    return (tl.where(axis_y[6], axis_y[1], axis_y[0]), tl.where(axis_x[6], axis_x[1], axis_x[0]),
            tl.where(axis_y[6], axis_y[3], axis_y[2]), tl.where(axis_x[6], axis_x[3], axis_x[2]))


@triton.jit
def add_skip(
    rgb,  # (pixels, 16) float32
    skip,  # pointer to (B, 3, h, w) by strides
    picture,  # int64 scalar or (pixels,)
    axis_y,  # from grid_axis or point_axis
    axis_x,
    lr_y0, lr_x0,  # int scalars: where the skip begins in the LR picture
    skip_b, skip_c, skip_y, skip_x,  # int scalars: strides
):
    """rgb plus the bilinear sample of the LR picture in the first three columns."""
    channel = tl.arange(0, 16)[None, :]
    for number in tl.static_range(4):
        at_y, at_x, rel_y, rel_x, weight = corner_of(number, axis_y, axis_x)
        offset = picture * skip_b + (at_y - lr_y0).to(tl.int64) * skip_y + (at_x - lr_x0).to(tl.int64) * skip_x
        value = tl.load(skip + offset[:, None] + channel * skip_c, mask=channel < 3, other=0.0).to(tl.float32)
        rgb = tl.fma(value, weight[:, None], rgb)
    return rgb


@triton.jit
def finished(
    rgb,  # float32
    STORE: tl.constexpr,  # the output's type
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    EMULATED: tl.constexpr,  # in the interpreter
):
    """Apply the epilogue and convert to the output's type."""
    if UNIT:
        rgb = clamp_unit(tl.fma(rgb, 0.5, 0.5))
    if STORE == tl.uint8:
        return round_to_byte(rgb * 255.0)
    else:
        return rounded(rgb, STORE, EMULATED).to(STORE)


@triton.jit
def store_pixels(
    rgb,  # (pixels, 16) float32: the first three columns are the colour
    out,  # pointer to the output, by strides
    picture,  # int64 scalar or (pixels,)
    row,  # (pixels,) int: of the window
    col,  # (pixels,) int
    inside,  # (pixels,) bool: which pixels are stored
    out_b, out_c, out_y, out_x,  # int scalars: strides
    UNIT: tl.constexpr,  # epilogue: v * 0.5 + 0.5, clamped to [0, 1]
    EMULATED: tl.constexpr,  # in the interpreter
):
    """Apply the epilogue, convert to the output's type and store."""
    channel = tl.arange(0, 16)[None, :]
    offset = picture * out_b + row.to(tl.int64) * out_y + col.to(tl.int64) * out_x
    pointers = out + offset[:, None] + channel.to(tl.int64) * out_c
    rgb = finished(rgb, out.dtype.element_ty, UNIT, EMULATED)
    tl.store(pointers, rgb, mask=inside[:, None] & (channel < 3))
