"""`csrc/cpu/modulated_mlp.cpp` and `modulated_backward.cpp` behind the backend interface."""

import torch

from . import native
from ..native_call import before_epilogue, refuse_common, refuse_gradients


HAS_CELL_MASK = True  # of the grid render: see RenderCall.mask
WIDEST, DEEPEST = 64, 16  # of the backward kernel: 64 partial sums of the weights' gradient stay under 20 MB


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    if not call.fields.is_cpu:
        return f"tensors are on {call.fields.device}, the kernel runs on the CPU"
    return refuse_common(call, halves=True)


def run(call):
    """Render into a new tensor, or into `call.out`. Allocates a few kilobytes besides, and a copy of fields whose
    channels are strided."""
    out = torch.empty(call.output_shape(), dtype=call.dtype, device="cpu") if call.out is None else call.out
    packed, alive = native.packer.modulated_mlp(call, out, torch.get_num_threads())
    native.module.modulated_mlp(packed)
    del alive
    return out


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
    call = call._replace(dtype=torch.float32, **{name: tensor.float() for name, tensor in given.items()})
    grad = before_epilogue(call, grad.float(), run)
    tensors = call.tensors()
    made = {name: torch.empty(tensors[name].shape, dtype=torch.float32, device="cpu") for name in wanted}
    packed, alive = native.packer.modulated_mlp(call, grad, torch.get_num_threads())
    native.module.modulated_backward(packed, native.packer.modulated_gradients(made))
    del alive
    return [made[name].to(given[name].dtype) for name in wanted]
