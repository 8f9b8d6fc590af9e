"""`csrc/cuda/modulated_mlp.cu` behind the backend interface.

float32 fields are computed in IEEE float32, half fields on tensor cores: each sum of 16 products is rounded once, and
the ensemble is summed in float32. A render allocates nothing but its result.
"""

import torch

from . import native
from ..native_call import refuse_common

WIDTH = 16  # hidden width, and the Fourier head's input width, that the kernels are built for
DEEPEST = 32  # modulated layers whose weights fit in the shared memory of a block
REACH = 2 ** 36  # bytes of fields that the 32-bit offsets of the half kernels address, in units of 16 bytes
MOST_CELLS = 2 ** 32 - 2 ** 16  # per launch


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    if call.fields.device.type != "cuda":
        return f"tensors are on {call.fields.device}, the kernel runs on a CUDA device"
    return (native.refuse_device(call.fields.device.index) or refuse_common(call, halves=True)
            or refuse_shape(call.spec) or refuse_reach(call))


def refuse_shape(spec):
    """The reason why the kernels are not built for this render MLP, or None."""
    if spec.widths[0] != WIDTH:
        return f"the hidden width is {spec.widths[0]}, the kernel is built for {WIDTH}"
    if spec.head == "fourier" and spec.in_dim != WIDTH:
        return f"the Fourier head is {spec.in_dim} wide, the kernel is built for {WIDTH}"
    if len(spec.widths) > DEEPEST:
        return f"it has {len(spec.widths)} modulated layers, the kernel takes up to {DEEPEST}"
    return None


def refuse_reach(call):
    """The reason why the kernels that count in 32 bits cannot take a call of this size, or None.

    Those are the kernels for half fields on a grid with the ensemble on (csrc/cuda/modulated_mma_columns.h). Small
    scales, where other kernels run, are refused as well.
    """
    fields = call.fields
    if fields.dtype == torch.float32 or not (call.on_grid and call.spec.ensemble):
        return None
    elements = fields.numel()
    if native.readable(fields):
        elements = 1 + sum((n - 1) * step for n, step in zip(fields.shape, fields.stride()))
    if elements * fields.element_size() > REACH:
        return (f"the fields span {elements * fields.element_size() / 2 ** 30:.1f} GiB of memory, the kernel addresses "
                f"{REACH >> 30}: render fewer pictures or a smaller window at a time, from contiguous fields")
    if len(fields) * (call.lr[2] + 1) * (call.lr[3] + 1) > MOST_CELLS:
        return f"the batch has more than {MOST_CELLS} LR cells: render fewer pictures at a time"
    return None


def _start(call, packed_call, addresses, index, stream):
    native.module.modulated_mlp(packed_call, addresses, index, stream)


run, prepare = native.entries("modulated_mlp", _start)
