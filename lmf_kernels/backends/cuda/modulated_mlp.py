"""`csrc/cuda/modulated_mlp.cu` behind the backend interface."""

from dataclasses import replace

import torch

from . import native
from ..native_call import modulated_arguments, refuse_common

WIDTH = 16  # hidden width, and the Fourier head's input width, that the kernels are built for
DEEPEST = 32  # modulated layers whose weights fit a block's shared memory


def can_run(call):
    """None, or in words why this kernel cannot take the call."""
    if call.fields.device.type != "cuda":
        return f"tensors are on {call.fields.device}, the kernel runs on a CUDA device"
    return refuse_common(call, halves=True) or refuse_shape(call.spec)


def refuse_shape(spec):
    """Why the kernels are not built for this render MLP, or None."""
    if spec.widths[0] != WIDTH:
        return f"the hidden width is {spec.widths[0]}, the kernel is built for {WIDTH}"
    if spec.head == "fourier" and spec.in_dim != WIDTH:
        return f"the Fourier head is {spec.in_dim} wide, the kernel is built for {WIDTH}"
    if len(spec.widths) > DEEPEST:
        return f"it has {len(spec.widths)} modulated layers, the kernel takes up to {DEEPEST}"
    return None


def aligned(call):
    """The call with fields whose records begin at multiples of 16 bytes, as the kernels' wide loads need; a copy of
    the fields where they do not. Every record is a multiple of 16 channels long."""
    fields = call.fields
    step = 16 // fields.element_size()
    if fields.data_ptr() % 16 == 0 and all(stride % step == 0 for stride in fields.stride()[:3]):
        return call
    return replace(call, fields=fields.clone(memory_format=torch.contiguous_format))


def run(call):
    """Render into a fresh tensor, on the current stream of the fields' device; nothing else is allocated.

    float32 fields are computed in IEEE float32, half fields on tensor cores with float32 accumulation.
    """
    device = call.fields.device
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=device)
    arguments, alive = modulated_arguments(aligned(call), out)
    native.module.modulated_mlp(*arguments, device.index, torch.cuda.current_stream(device).cuda_stream)
    del alive  # the caching allocator keeps their memory until the stream has passed this launch
    return out
