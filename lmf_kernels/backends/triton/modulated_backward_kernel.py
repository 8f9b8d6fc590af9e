"""The modulated family's backward kernel. A program loops over cells and their contributing pixels, a tile at a time.

A cell's gradient is summed and written by one program, always in the same order. Each program adds to its own row of
the weights' gradient. So there are no atomics, and results are deterministic.
"""

import triton
import triton.language as tl

from .contributing_pixels import contributing_range, grid_corner, point_corner
from .geometry import params_at
from .layout import cell_channels
from .modulated_gradient import add_gradients, add_to_cells

# As in the forward kernel: sizes, strides and the alignment of what is read one value at a time.
SIZES = ("fields_b", "fields_y", "fields_x", "grad_b", "grad_c", "grad_y", "grad_x", "cells", "fields_h", "fields_w",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "groups", "weight_count")


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=("grad", "coord", "cell"))
def modulated_backward_kernel(
    fields,  # (B, h, w, C) by strides, the channel stride 1
    grad,  # of the output, by strides b, c, y, x; points: y unused, x steps from query to query
    coord,  # (B, Q, 2) float32, or None: grid mode
    cell,  # (B, Q, 2) float32, or None
    weights,  # (weight_count,)
    order,  # points: (cells,) int64, cells by falling number of contributions; or None
    starts,  # points: (cells + 1,) int64, where a cell's contributions begin; or None
    contributions,  # points: (4 * B * Q,) int64, 4 * query + corner, sorted by cell; or None
    to_fields,  # (B, h, w, C) float32 or float64, contiguous, overwritten; or None
    to_skip,  # (B, 3, h, w) float32 or float64, contiguous, overwritten; or None
    to_weights,  # (programs, weight_count) float64 zeros; or None
    fields_b, fields_y, fields_x,
    grad_b, grad_c, grad_y, grad_x,
    cells,  # B * h * w
    fields_h, fields_w,  # h, w of the fields
    lr_h, lr_w, lr_y0, lr_x0,  # the whole LR map, and where the fields begin in it
    height, width,  # of the whole output; unused for points
    y0, x0, rows, cols,  # the window; points: 0, 0, 1, Q
    groups,  # of GROUP cells
    weight_count,
    cell_y, cell_x,  # grid mode: rel_cell
    GRID: tl.constexpr,
    FOURIER: tl.constexpr,
    ENSEMBLE: tl.constexpr,
    DEPTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr,
    HALF: tl.constexpr,  # in_dim / 2
    HALF_PADDED: tl.constexpr,
    ALIGNMENT: tl.constexpr,  # 16 or 1; all strides of the fields are multiples of it
    USE_INT64: tl.constexpr,  # positions need int64
    GROUP: tl.constexpr,  # cells of a tile
    PIXELS: tl.constexpr,  # contributing pixels of each cell in a tile
):
    """Write the gradients of cell groups program_id, program_id + num_programs, .... A group has GROUP cells."""
    channel = tl.arange(0, 16)[None, :]
    lane = tl.arange(0, GROUP * PIXELS)
    slot = tl.arange(0, GROUP)
    start = tl.program_id(0)
    if USE_INT64:
        lane, slot, start = lane.to(tl.int64), slot.to(tl.int64), start.to(tl.int64)
    if to_weights is not None:
        to_weights += tl.program_id(0).to(tl.int64) * weight_count
    for group in range(start, groups, tl.num_programs(0)):
        # number: the cell of each row of a tile; own: the GROUP cells, for sums over their rows.
        number, own = group * GROUP + lane // PIXELS, group * GROUP + slot
        exists, own_exists = number < cells, own < cells
        number, own = tl.minimum(number, cells - 1), tl.minimum(own, cells - 1)
        if not GRID:
            number, own = tl.load(order + number), tl.load(order + own)
        area = fields_h.to(number.dtype) * fields_w
        picture = (number // area).to(tl.int64)
        inner = number % area
        at_y, at_x = inner // fields_w, inner % fields_w
        params = params_at(fields, picture, at_y, at_x, fields_b, fields_y, fields_x, ALIGNMENT)
        if GRID:
            first_y, count_y = contributing_range(at_y + lr_y0, lr_h, height, y0, rows)
            first_x, count_x = contributing_range(at_x + lr_x0, lr_w, width, x0, cols)
            count = count_y * count_x
        else:
            first = tl.load(starts + number)
            count = tl.load(starts + number + 1) - first
        count = tl.where(exists, count, 0)
        own = own.to(tl.int64)
        for done in range(0, tl.maximum(tl.max(count), 1), PIXELS):
            index = done + lane % PIXELS  # among the contributions of the row's cell
            valid = index < count
            if GRID:
                y = first_y + index // tl.maximum(count_x, 1)
                x = first_x + index % tl.maximum(count_x, 1)
                rel_y, weight_y, near_y = grid_corner(y, at_y + lr_y0, lr_h, height)
                rel_x, weight_x, near_x = grid_corner(x, at_x + lr_x0, lr_w, width)
                skip_weight = weight_y * weight_x
                weight = skip_weight
                if not ENSEMBLE:
                    weight = tl.where(near_y & near_x, 1.0, 0.0)
                rel_cell_y, rel_cell_x = tl.zeros_like(rel_y) + cell_y, tl.zeros_like(rel_x) + cell_x
                offset = picture * grad_b + (y - y0).to(tl.int64) * grad_y + (x - x0).to(tl.int64) * grad_x
            else:
                entry = tl.load(contributions + first + index, mask=valid, other=0)
                _, _, rel_y, rel_x, skip_weight, weight = point_corner(coord, entry, lr_h, lr_w, ENSEMBLE)
                query = entry // 4
                rel_cell_y = tl.load(cell + 2 * query) * lr_h.to(tl.float32)
                rel_cell_x = tl.load(cell + 2 * query + 1) * lr_w.to(tl.float32)
                offset = picture * grad_b + (query - picture * cols) * grad_x
            pixel_grad = tl.load(grad + offset[:, None] + channel.to(tl.int64) * grad_c,
                                 mask=valid[:, None] & (channel < 3), other=0.0).to(tl.float32)
            accumulate = done > 0
            if to_skip is not None:
                targets = to_skip + (own // area * 3 * area + own % area)[:, None] + channel * area.to(tl.int64)
                grad_skip = tl.where((valid & (skip_weight != 0.0))[:, None], skip_weight[:, None] * pixel_grad, 0.0)
                add_to_cells(targets, own_exists[:, None] & (channel < 3), accumulate, grad_skip, 16, GROUP, PIXELS)
            if to_fields is not None or to_weights is not None:
                valid = valid & (weight != 0.0)
                grad_values = tl.where(valid[:, None], weight[:, None] * pixel_grad, 0.0)
                coordinates = (tl.where(valid, rel_y, 0.0)[:, None], tl.where(valid, rel_x, 0.0)[:, None],
                               tl.where(valid, rel_cell_y, 0.0)[:, None], tl.where(valid, rel_cell_x, 0.0)[:, None])
                to_params = to_fields
                if to_fields is not None:
                    to_params = to_fields + (own * cell_channels(FOURIER, DEPTH, HIDDEN, HALF))[:, None]
                add_gradients(params[:, None], valid[:, None], coordinates, grad_values, to_params,
                              own_exists[:, None], accumulate, weights, to_weights, FOURIER, DEPTH, HIDDEN,
                              HIDDEN_PADDED, HALF, HALF_PADDED, GROUP, PIXELS)
            tl.debug_barrier()  # in the next tile other threads may read what these have written
