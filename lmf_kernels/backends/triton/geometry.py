"""Positions of output pixels among the LR cells: csrc/common/geometry.h in Triton."""

import triton
import triton.language as tl


@triton.jit
def grid_axis(
    position,  # (pixels,) int: output rows or columns
    n_in,  # int scalar: LR cells
    n_out,  # int scalar: output pixels of the whole picture
):
    """The two corner cells (clamped), their rel, their weights, and whether the second is the nearest: each (pixels,).

    u = (2 * position + 1) * n_in / (2 * n_out) - 1/2 is split into cell and remainder in integers of position's type,
    which must hold (2 * n_out + 1) * n_in + n_out. Only the remainder is converted to float32, so positions are exact
    at any size.
    """
    n_in = n_in.to(position.dtype)
    n_out = n_out.to(position.dtype)
    den = 2 * n_out
    num = (2 * position + 1) * n_in + n_out  # of u + 1, which is never negative
    k = num // den - 1
    rest = num - (k + 1) * den
    f = tl.div_rn(rest.to(tl.float32), tl.zeros_like(rest).to(tl.float32) + den.to(tl.float32))
    cell0 = tl.minimum(tl.maximum(k, 0), n_in - 1)
    cell1 = tl.minimum(k + 1, n_in - 1)
    rel0 = 2.0 * ((k - cell0).to(tl.float32) + f)
    rel1 = 2.0 * ((k - cell1).to(tl.float32) + f)
    return cell0, cell1, rel0, rel1, 1.0 - f, f, 2 * rest >= den


@triton.jit
def point_axis(
    x,  # (pixels,) float32 coordinates in [-1, 1]
    n_in,  # int scalar: LR cells
):
    """Like `grid_axis`, for u = ((x + 1) * n_in - 1) / 2. Uses float64: float32 is too coarse for wide maps."""
    n = n_in.to(tl.float64)
    u = ((x.to(tl.float64) + 1.0) * n - 1.0) * 0.5
    # Far outside the map the cell is at the border; for NaN it is arbitrary. rel and f keep their value, so NaN reaches
    # the output. Values are bounded before they are converted to integers.
    k = tl.floor(tl.where(u > -4e15, tl.where(u < 4e15, u, 4e15), -4e15))
    f = u - k
    f = tl.where((f >= 1.0) | (f < 0.0), 0.0, f)  # beyond 4e15 half cells a float32 coordinate has no fraction
    clamped0 = tl.minimum(tl.maximum(k, 0.0), n - 1.0)
    clamped1 = tl.minimum(tl.maximum(k + 1.0, 0.0), n - 1.0)
    rel0 = (2.0 * (u - clamped0)).to(tl.float32)
    rel1 = (2.0 * (u - clamped1)).to(tl.float32)
    cell0 = clamped0.to(tl.int32)
    cell1 = clamped1.to(tl.int32)
    return cell0, cell1, rel0, rel1, (1.0 - f).to(tl.float32), f.to(tl.float32), f >= 0.5


@triton.jit
def corner_of(
    number,  # int: 0 to 3, 2 * (second in y) + (second in x)
    axis_y,  # from grid_axis or point_axis
    axis_x,
):
    """Cell (y, x), rel (y, x) and weight of a corner of the local ensemble: each (pixels,)."""
    low = number // 2 == 0
    left = number % 2 == 0
    weight = tl.where(low, axis_y[4], axis_y[5]) * tl.where(left, axis_x[4], axis_x[5])
    return (tl.where(low, axis_y[0], axis_y[1]), tl.where(left, axis_x[0], axis_x[1]),
            tl.where(low, axis_y[2], axis_y[3]), tl.where(left, axis_x[2], axis_x[3]), weight)


@triton.jit
def params_at(
    fields,  # pointer to the fields
    picture,  # int64, scalar or (pixels,)
    y,  # (pixels,) int: rows of the fields
    x,  # (pixels,) int: columns
    step_b, step_y, step_x,  # int scalars: strides of the fields
    ALIGNMENT: tl.constexpr,  # all three are multiples of it
):
    """Pointers to the cells' parameters: (pixels,). The compiler uses wide loads only if it knows their ALIGNMENT."""
    offset = picture * step_b + y.to(tl.int64) * step_y + x.to(tl.int64) * step_x
    return fields + tl.multiple_of(offset, ALIGNMENT)
