"""The cells that own output positions, and the place of a position in its cell (DIIF, arXiv 2306.12321):
csrc/common/slices.h in Triton. One axis at a time, in integers of the positions' type, which must hold what
`arguments.Extent.fits_int32` counts."""

import triton
import triton.language as tl


@triton.jit
def owner(
    position,  # int: output positions
    n_in,  # int scalar: LR cells
    n_out,  # int scalar: output pixels of the whole picture
):
    """The cell that owns each position."""
    return (2 * position + 1) * n_in.to(position.dtype) // (2 * n_out.to(position.dtype))


@triton.jit
def first_position(
    cell,  # int
    n_in,  # int scalar
    n_out,  # int scalar
):
    """The first position that the cell owns, ceil((2 cell n_out - n_in) / (2 n_in)); that of cell n_in is n_out."""
    n_in, n_out = n_in.to(cell.dtype), n_out.to(cell.dtype)
    return (tl.maximum(2 * cell * n_out - n_in, 0) + 2 * n_in - 1) // (2 * n_in)


@triton.jit
def rel_of(
    position,  # int
    cell,  # int
    n_in,  # int scalar
    n_out,  # int scalar
):
    """2 * (u - cell), float32. The numerator is exact, so that it is right at any size."""
    n_in, n_out = n_in.to(position.dtype), n_out.to(position.dtype)
    num = (2 * position + 1) * n_in - n_out - 2 * cell * n_out
    return tl.div_rn(num.to(tl.float32), tl.zeros_like(num).to(tl.float32) + n_out.to(tl.float32))
