"""`csrc/cuda/plain_mlp.cu` behind the backend interface."""

from . import dense


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    return dense.refuse_device(call) or refuse_call(call)


def refuse_call(call):
    """The reason why it cannot take the call wherever its tensors are, or None."""
    return dense.refuse_types(call) or refuse_shape(call.spec)


def refuse_shape(spec):
    """The reason why the kernel is not built for this render MLP, or None."""
    if not spec.widths:
        return "the network has no hidden layer, the kernel is built for one or more"
    return (dense.refuse_widths(spec.widths, spec.head, spec.widths[0], spec.in_dim)
            or dense.refuse_passes(len(spec.widths) - (spec.head == "linear")))


run, prepare = dense.entries("plain_mlp")
