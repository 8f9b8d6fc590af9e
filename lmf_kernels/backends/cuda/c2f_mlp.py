"""`csrc/cuda/c2f_mlp.cu` behind the backend interface."""

from functools import partial

from . import dense


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    return dense.refuse_device(call) or refuse_call(call)


def refuse_call(call):
    """The reason why it cannot take the call wherever its tensors are, or None."""
    return dense.refuse_types(call) or refuse_shape(call.spec)


def refuse_shape(spec):
    """The reason why the kernel is not built for these two MLPs, or None."""
    coarse = max(1, len(spec.coarse) - (spec.head == "linear"))  # without a layer there the kernel multiplies by 1
    fine = 1 + max(1, len(spec.fine) - 1)
    return (dense.refuse_widths((*spec.coarse, *spec.fine), spec.head, spec.coarse[0], spec.in_dim)
            or dense.refuse_passes(coarse + fine))


run = partial(dense.run, "c2f_mlp")
