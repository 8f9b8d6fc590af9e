"""torch.func and forward mode: vmap works (torch falls back to a per-sample loop), derivatives are refused.

The operators have ordinary reverse mode only. With the rest, torch would lose their derivatives or fail obscurely.
"""

import torch
from torch.autograd import forward_ad

from ..errors import InputError

_functorch = torch._C._functorch
_DERIVATIVES = (_functorch.TransformType.Grad, _functorch.TransformType.Jvp)


def under_way(family, tensors):
    """Whether a torch.func transform is active. Raises InputError where it, or forward mode, asks for derivatives."""
    inside = _functorch.peek_interpreter_stack() is not None
    if inside and any(level.key() in _DERIVATIVES for level in _functorch.get_interpreter_stack()):
        _refuse(family, "torch.func (grad, vjp, jacrev, jvp, hessian)")
    if forward_ad._current_level >= 0 and any(
            t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors):
        _refuse(family, "forward mode")
    return inside


def _refuse(family, way):
    raise InputError(f"{family.name} has no derivatives through {way}: use torch.autograd.grad or backward(), or "
                     f"{family.instead()}.")
