"""Running the authors' own methods where their code would not: it calls `.cuda()` whatever the model's device is."""

from contextlib import nullcontext

import torch
from torch.overrides import TorchFunctionMode


class _CudaGoesTo(TorchFunctionMode):
    """`tensor.cuda()` without arguments moves a tensor to `device`."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cuda and len(args) == 1 and not kwargs:
            return args[0].to(self.device)
        return func(*args, **(kwargs or {}))


def run(original, module, *args, **kwargs):
    """Call `original(module, ...)` with tensors staying on the module's device."""
    with on_device_of(module):
        return original(module, *args, **kwargs)


def on_device_of(module):
    """A context in which `tensor.cuda()` means the module's device."""
    weight = next(module.parameters(), None)
    if weight is None or (weight.is_cuda and weight.device.index == torch.cuda.current_device()):
        return nullcontext()
    return _CudaGoesTo(weight.device)
