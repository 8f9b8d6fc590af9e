"""The compiled module and its packer, or why it is missing, what it reports about this machine's devices, and how its
kernels are launched."""

from functools import cache

import torch

from . import architectures as rules
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


def renderer(kernel, call):
    """render(call) by the kernel of that name, into a new tensor, on the current stream of the fields' device: see
    `native_call.entries`. The call is `aligned`."""
    function, packed = getattr(module, kernel), getattr(packer, kernel)(call, output_strides(call))
    shape, dtype, device = call.output_shape(), call.dtype, call.fields.device
    packed_bytes = getattr(module, f"{kernel}_packed_bytes", None)  # of the kernels that pack the weights
    size = packed_bytes and packed_bytes(packed)

    def render(call):
        if call.fields.data_ptr() % ALIGNMENT:  # the strides are as before, this address is not
            call = aligned(call)
            return renderer(kernel, call)(call)
        out = torch.empty(shape, dtype=dtype, device=device)
        weights = [] if size is None else [torch.empty(size, dtype=torch.uint8, device=device)]
        launch(function, device, packed, addresses(call, out), *(tensor.data_ptr() for tensor in weights))
        return out  # the caching allocator keeps the others' memory until the stream has passed this launch

    return render


def launch(
    function,  # of the module
    device,  # a CUDA device
    *given,
):
    """Call function(*given, device index, stream) on torch's current stream of the device.

    The device is the thread's current one meanwhile. Torch's guard switches it and not the module, because torch knows
    which devices have a context: a process that uses only cuda:1 must not get a context on cuda:0 by switching back.
    """
    with torch.cuda.device(device):
        function(*given, device.index, torch.cuda.current_stream(device).cuda_stream)
