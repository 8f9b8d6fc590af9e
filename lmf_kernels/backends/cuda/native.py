"""The compiled module and its packer, or why it is missing, what it reports about this machine's devices, and how its
kernels are launched."""

from functools import cache

import torch

from . import architectures as rules
from .. import native_call
from ..native_call import addresses, dense, load_module, output_strides

ALIGNMENT = 16  # bytes, of a cell's parameters
module, packer, why_missing = load_module("_cuda")


@cache
def devices():
    """`_cuda.device_info()`, asked once: the first question starts the driver."""
    return module.device_info()


def architectures():
    """What the module holds: "sm_90" is machine code, "compute_120" PTX."""
    return module.build_info()["architectures"]


@cache
def refuse_device(index):
    """Why the module cannot run on the GPU of this CUDA index, or None."""
    report = devices()
    if index >= report["count"]:
        return f"CUDA shows {report['count']} devices here, none with index {index}"
    return rules.refusal(architectures(), report["devices"][index])


def readable(
    fields,  # (B, h, w, C)
):
    """Whether the kernels' wide loads can read the fields in place: each cell's parameters are aligned."""
    *steps, last = fields.stride()
    size = fields.element_size()
    return last == 1 and fields.data_ptr() % ALIGNMENT == 0 and all(step * size % ALIGNMENT == 0 for step in steps)


def aligned(call):
    """The call with fields that are `readable` and `dense` tensors: copies of those that are not."""
    call = dense(call)
    if readable(call.fields):
        return call
    return call._replace(fields=call.fields.clone(memory_format=torch.contiguous_format))


def entries(kernel, start):
    """`native_call.entries` of the kernel of that name: it renders into a new tensor, on the current stream of the
    fields' device.

    start: launches it, start(call, packed call, addresses, device index, stream).
    """
    def make(call):
        strides, shape, dtype, device = output_strides(call), call.output_shape(), call.dtype, call.fields.device
        packed = getattr(packer, kernel)(call, strides)

        def render(call):
            if call.fields.data_ptr() % ALIGNMENT:  # the strides are as before, this address is not
                call = aligned(call)
                return make(call)(call)
            out = torch.empty_strided(shape, strides, dtype=dtype, device=device)
            launch(start, device, call, packed, addresses(call, out))
            return out  # the caching allocator keeps the others' memory until the stream has passed this launch

        return render

    return native_call.entries(make, aligned)


def launch(
    function,
    device,  # a CUDA device
    *given,
):
    """Call function(*given, device index, stream) on torch's current stream of the device.

    The device is the thread's current one meanwhile. Torch's guard switches it and not the module, because torch knows
    which devices have a context: a process that uses only cuda:1 must not get a context on cuda:0 by switching back.
    """
    with torch.cuda.device(device):
        function(*given, device.index, torch.cuda.current_stream(device).cuda_stream)
