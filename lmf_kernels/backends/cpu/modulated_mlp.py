"""`csrc/cpu/modulated_mlp.cpp` and `modulated_backward.cpp` behind the backend interface. A render allocates a few
kilobytes besides its result, and a copy of fields whose channels are strided."""

from functools import partial

import torch

from . import native
from .native import can_run  # noqa: F401
from ..native_call import addresses, before_epilogue, dense, entries, refuse_gradients

run, prepare = entries(partial(native.renderer, "modulated_mlp"))
HAS_CELL_MASK = True  # of the grid render: see RenderCall.mask
WIDEST, DEEPEST = 64, 16  # of the backward kernel: 64 partial sums of the weights' gradient stay under 20 MB


def can_differentiate(call, wanted):
    """The reason why the backward kernel cannot compute the gradients named in `wanted`, or None."""
    widest, depth = max(call.spec.widths[0], call.spec.in_dim // 2), len(call.spec.widths)
    if widest > WIDEST or depth > DEEPEST:
        return (f"its backward takes widths up to {WIDEST}, Fourier heads up to {2 * WIDEST} and depths up to "
                f"{DEEPEST}, not {call.spec}")
    return refuse_gradients(wanted)


def gradients(
    call,
    grad,  # like the call's output
    wanted,
):
    """Gradients of the tensors named in `wanted`, in their order, the same bits for any number of threads. Those of
    half tensors are computed from float32 copies and rounded once.

    Allocates 128 bytes per point, a few per row and column of a grid, and megabytes of partial sums besides. A grid's
    pixels take no memory unless the values before the epilogue have to be rendered again.
    """
    given = call.tensors()
    call = dense(call._replace(dtype=torch.float32, **{name: tensor.float() for name, tensor in given.items()}))
    grad = before_epilogue(call, grad.float(), run)
    tensors = call.tensors()
    made = {name: torch.empty(tensors[name].shape, dtype=torch.float32, device="cpu") for name in wanted}
    native.module.modulated_backward(native.packer.modulated_mlp(call, grad.stride()), addresses(call, grad),
                                     torch.get_num_threads(), native.packer.modulated_gradients(made))
    return [made[name].to(given[name].dtype) for name in wanted]
