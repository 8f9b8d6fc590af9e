"""`csrc/cuda/c2f_mlp.cu` behind the backend interface."""

import math

from . import dense

LONGEST = 2 ** 26  # rows or columns of a picture, whose positions the kernel divides in float64
MOST_PIXELS = 2 ** 27  # of a cell: those of 16 cells are counted in 32 bits


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    return dense.refuse_device(call) or refuse_call(call)


def refuse_call(call):
    """The reason why it cannot take the call wherever its tensors are, or None."""
    return dense.refuse_types(call) or refuse_shape(call.spec) or refuse_size(call.lr[2:], call.size)


def refuse_shape(spec):
    """The reason why the kernel is not built for these two MLPs, or None."""
    coarse = max(1, len(spec.coarse) - (spec.head == "linear"))  # without a layer there the kernel multiplies by 1
    fine = 1 + max(1, len(spec.fine) - 1)
    return (dense.refuse_widths((*spec.coarse, *spec.fine), spec.head, spec.coarse[0], spec.in_dim)
            or dense.refuse_passes(coarse + fine))


def refuse_size(
    lr,  # (h, w) of the LR picture
    size,  # (H, W) of the output
):
    """The reason why the kernel cannot count the pixels of this picture, or None."""
    longest = max(*lr, *size)
    if longest > LONGEST:
        return f"the picture has {longest} rows or columns, the kernel takes up to {LONGEST}"
    pixels = math.prod(-(-n_out // max(n_in, 1)) for n_in, n_out in zip(lr, size))
    if pixels > MOST_PIXELS:
        return f"an LR cell has {pixels} pixels, the kernel takes up to {MOST_PIXELS}"
    return None


def seen(call):
    """What the packed weights depend on besides weights, network and type: the head's hold the scale."""
    return call.lr[2:], call.size, call.grid_cell


run, prepare = dense.entries("c2f_mlp", seen)
