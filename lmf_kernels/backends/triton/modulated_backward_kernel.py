"""The modulated family's backward kernel: a program walks through cells and their readers, a tile at a time.

A cell's gradient is summed and written by one program, in the readers' order; a program's share of the weights'
gradient is its own row. So nothing is atomic, and the bits do not depend on what runs when.
"""

import triton
import triton.language as tl

from .geometry import record_at
from .modulated_gradient import add_gradients, add_to_cells
from .readers import grid_corner, grid_readers, point_corner

# Not specialised, as in the forward kernel: sizes, strides, and the alignment of what is read one value at a time.
SIZES = ("fields_b", "fields_y", "fields_x", "grad_b", "grad_c", "grad_y", "grad_x", "cells", "held_h", "held_w",
         "lr_h", "lr_w", "lr_y0", "lr_x0", "height", "width", "y0", "x0", "rows", "cols", "groups", "weight_count")


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=("grad", "coord", "cell"))
def modulated_backward_kernel(
    fields,  # (B, h, w, C) by strides, the channel stride 1
    grad,  # of the output, by strides b, c, y, x; points: y unused, x steps from query to query
    coord,  # (B, Q, 2) float32, or None: grid mode
    cell,  # (B, Q, 2) float32, or None
    weights,  # (weight_count,)
    order,  # points: (cells,) int64, cells of about as many readers side by side; or None
    starts,  # points: (cells + 1,) int64, where a cell's readers begin; or None
    readers,  # points: (4 * B * Q,) int64, 4 * query + corner by the cell that it reads; or None
    to_fields,  # (B, h, w, C) float32 or float64, contiguous, written whole; or None
    to_skip,  # (B, 3, h, w) float32 or float64, contiguous, written whole; or None
    to_weights,  # (programs, weight_count) float64 zeros; or None
    fields_b, fields_y, fields_x,
    grad_b, grad_c, grad_y, grad_x,
    cells,  # B * h * w
    held_h, held_w,  # h, w of the fields
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
    ALIGNMENT: tl.constexpr,  # what all strides of the fields are multiples of: 16, or 1
    WIDE: tl.constexpr,  # positions need int64
    GROUP: tl.constexpr,  # cells of a tile
    READERS: tl.constexpr,  # readers of each
):
    """Write the gradients of groups program_id, program_id + num_programs, ... of GROUP cells."""
    channels: tl.constexpr = 2 * DEPTH * HIDDEN + (4 * HALF if FOURIER else HIDDEN)
    channel = tl.arange(0, 16)[None, :]
    lane = tl.arange(0, GROUP * READERS)
    slot = tl.arange(0, GROUP)
    start = tl.program_id(0)
    if WIDE:
        lane, slot, start = lane.to(tl.int64), slot.to(tl.int64), start.to(tl.int64)
    share = to_weights
    if to_weights is not None:
        share = to_weights + tl.program_id(0).to(tl.int64) * weight_count
    for group in range(start, groups, tl.num_programs(0)):
        # Every cell twice: once for each of its rows, once for its sums.
        number, own = group * GROUP + lane // READERS, group * GROUP + slot
        exists, own_exists = number < cells, own < cells
        number, own = tl.minimum(number, cells - 1), tl.minimum(own, cells - 1)
        if not GRID:
            number, own = tl.load(order + number), tl.load(order + own)
        area = held_h.to(number.dtype) * held_w
        picture = (number // area).to(tl.int64)
        inner = number % area
        at_y, at_x = inner // held_w, inner % held_w
        record = record_at(fields, picture, at_y, at_x, fields_b, fields_y, fields_x, ALIGNMENT)
        if GRID:
            first_y, count_y = grid_readers(at_y + lr_y0, lr_h, height, y0, rows)
            first_x, count_x = grid_readers(at_x + lr_x0, lr_w, width, x0, cols)
            count = count_y * count_x
        else:
            first = tl.load(starts + number)
            count = tl.load(starts + number + 1) - first
        count = tl.where(exists, count, 0)
        own = own.to(tl.int64)
        for done in range(0, tl.maximum(tl.max(count), 1), READERS):
            reader = done + lane % READERS
            valid = reader < count
            if GRID:
                y = first_y + reader // tl.maximum(count_x, 1)
                x = first_x + reader % tl.maximum(count_x, 1)
                rel_y, weight_y, near_y = grid_corner(y, at_y + lr_y0, lr_h, height)
                rel_x, weight_x, near_x = grid_corner(x, at_x + lr_x0, lr_w, width)
                weight = weight_y * weight_x
                part = weight
                if not ENSEMBLE:
                    part = tl.where(near_y & near_x, 1.0, 0.0)
                rel_cell_y, rel_cell_x = tl.zeros_like(rel_y) + cell_y, tl.zeros_like(rel_x) + cell_x
                place = picture * grad_b + (y - y0).to(tl.int64) * grad_y + (x - x0).to(tl.int64) * grad_x
            else:
                entry = tl.load(readers + first + reader, mask=valid, other=0)
                _, _, rel_y, rel_x, weight, part = point_corner(coord, entry, lr_h, lr_w, ENSEMBLE)
                query = entry // 4
                rel_cell_y = tl.load(cell + 2 * query) * lr_h.to(tl.float32)
                rel_cell_x = tl.load(cell + 2 * query + 1) * lr_w.to(tl.float32)
                place = picture * grad_b + (query - picture * cols) * grad_x
            pixel = tl.load(grad + place[:, None] + channel.to(tl.int64) * grad_c,
                            mask=valid[:, None] & (channel < 3), other=0.0).to(tl.float32)
            again = done > 0
            if to_skip is not None:
                targets = to_skip + (own // area * 3 * area + own % area)[:, None] + channel * area.to(tl.int64)
                of_skip = tl.where((valid & (weight != 0.0))[:, None], weight[:, None] * pixel, 0.0)
                add_to_cells(targets, own_exists[:, None] & (channel < 3), again, of_skip, 16, GROUP, READERS)
            if to_fields is not None or to_weights is not None:
                valid = valid & (part != 0.0)
                arriving = tl.where(valid[:, None], part[:, None] * pixel, 0.0)
                at = (tl.where(valid, rel_y, 0.0)[:, None], tl.where(valid, rel_x, 0.0)[:, None],
                      tl.where(valid, rel_cell_y, 0.0)[:, None], tl.where(valid, rel_cell_x, 0.0)[:, None])
                target = to_fields
                if to_fields is not None:
                    target = to_fields + (own * channels)[:, None]
                add_gradients(record[:, None], valid[:, None], at, arriving, target, own_exists[:, None],
                              again, weights, share, FOURIER, DEPTH, HIDDEN, HIDDEN_PADDED, HALF, HALF_PADDED, GROUP,
                              READERS)
            tl.debug_barrier()  # other threads may read next time what these have written
