"""The non-local features of LM-CiaoSR as an operator: `lmf_kernels::non_local`, and its backward operator.

Up to 48 x 48 cells the whole picture attends to itself. A larger one is cut into blocks of 48 x 48 cells, the last one
of an axis taking what remains, and each block sees itself and one more cell on each side: the rule of the authors' code
(LMF, arXiv 2404.16451). A picture with a side under 48 then has no block, and its non-local features are zero.

It is an operator so that torch.compile and torch.export see one call whatever the picture's size, and so that nothing
of the attention is kept for the backward pass, which computes it again block by block.
"""

from contextlib import ExitStack, contextmanager

import torch
from torch import library as torch_library

from ..errors import InputError
from . import cross_scale
from .registry import library

BLOCK = 48  # cells a side

_ARGUMENTS = "Tensor features, Tensor weights, int scale, SymInt[] lr_size, SymInt[] origin"


def non_local(
    features,  # (B, C, rows, cols) float
    weights,  # (weight_count,) float, of `cross_scale.pack`
    scale,
    lr_size,  # (h, w) of the picture that features are a window of
    origin,  # (y, x) where that window begins
):
    """Non-local features of a window, (B, rows, cols, C), contiguous, of the features' type.

    Right in the blocks that lie in the window together with the cells that they see around them; zero elsewhere.
    Half types are worked out in float32. Differentiable once.
    """
    return torch.ops.lmf_kernels.non_local(features, weights, scale, lr_size, origin)


def starts(
    lr_size,  # (h, w)
):
    """Rows and columns at which blocks begin, two lists from 0 on. [0] also for a side without a block."""
    whole = lr_size[0] * lr_size[1] <= BLOCK * BLOCK
    return [[0] if whole or n < BLOCK else list(range(0, n // BLOCK * BLOCK, BLOCK)) for n in lr_size]


def _blocks(lr_size, origin, window):
    """(seen, own, place) of each block in a window of the picture: slices (y, x) of the window's cells that the block
    sees, of its own cells among those, and of its own cells in the window."""
    if min(lr_size) < BLOCK and lr_size[0] * lr_size[1] > BLOCK * BLOCK:
        return  # as published
    rows, cols = ([*zip(axis, [*axis[1:], n])] for axis, n in zip(starts(lr_size), lr_size))
    for top, bottom in rows:
        for left, right in cols:
            own = (top, bottom), (left, right)
            seen = tuple((max(start - 1, 0), min(stop + 1, n)) for (start, stop), n in zip(own, lr_size))
            if all(at <= start and stop <= at + n for (start, stop), at, n in zip(seen, origin, window)):
                yield _slices(seen, origin), _slices(own, [start for start, _ in seen]), _slices(own, origin)


def _slices(ranges, origin):
    return tuple(slice(start - at, stop - at) for (start, stop), at in zip(ranges, origin))


def _forward(
    features,  # (B, C, rows, cols)
    weights,  # (weight_count,)
    scale,
    lr_size,
    origin,
):
    wide = torch.promote_types(features.dtype, torch.float32)
    weights = cross_scale.unpack(weights.to(wide), features.shape[1], scale)
    batch, channels, *window = features.shape
    result = features.new_zeros(batch, *window, channels)
    for seen, own, place in _blocks(lr_size, origin, window):
        for image in range(batch):
            block = features[image:image + 1][:, :, seen[0], seen[1]].to(wide)
            found = cross_scale.attend(block, weights, scale)[0]
            result[image][place] = found[:, own[0], own[1]].permute(1, 2, 0)
    return result


def _backward(
    grad,  # (B, rows, cols, C)
    features,  # (B, C, rows, cols)
    weights,  # (weight_count,)
    scale,
    lr_size,
    origin,
):
    """Gradients of features and weights, by recomputation; in their own precision, regardless of autocast."""
    wide = torch.promote_types(features.dtype, torch.float32)
    batch, channels, *window = features.shape
    to_features = torch.zeros_like(features, dtype=wide, memory_format=torch.contiguous_format)
    to_weights = torch.zeros_like(weights, dtype=wide)
    with _recording(), torch.autocast(features.device.type, enabled=False), torch.enable_grad():
        flat = weights.detach().to(wide).requires_grad_()
        for seen, own, place in _blocks(lr_size, origin, window):
            for image in range(batch):
                block = features[image:image + 1][:, :, seen[0], seen[1]].detach().to(wide).requires_grad_()
                found = cross_scale.attend(block, cross_scale.unpack(flat, channels, scale), scale)[0]
                wanted = grad[image][place].permute(2, 0, 1).to(wide)
                on_block, on_flat = torch.autograd.grad(found[:, own[0], own[1]], (block, flat), wanted)
                to_features[image:image + 1][:, :, seen[0], seen[1]] += on_block
                to_weights += on_flat
    return to_features.to(features.dtype), to_weights.to(weights.dtype)


@contextmanager
def _recording():
    """Let autograd record here. Below an operator torch has switched it off, and in a compiled graph also the tracking
    of views, without which sums into slices would lose their gradients."""
    keys = torch._C.DispatchKey
    with ExitStack() as stack:
        for key in (keys.AutogradFunctionality, keys.ADInplaceOrView):
            stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(key, False))
        yield


def _fake(features, weights, scale, lr_size, origin):
    batch, channels, rows, cols = features.shape
    return features.new_empty(batch, rows, cols, channels)


def _fake_backward(grad, features, weights, scale, lr_size, origin):
    return torch.empty_like(features, memory_format=torch.contiguous_format), torch.empty_like(weights)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:2])
    ctx.rest = inputs[2:]


def _differentiate(ctx, grad):
    features, weights = torch.ops.lmf_kernels.non_local_backward(grad, *ctx.saved_tensors, *ctx.rest)
    return features, weights, None, None, None


def _refuse(ctx, *grads):
    raise InputError("non_local has no second derivatives: use python_ref.cross_scale where a gradient penalty or a "
                     "Hessian is needed.")


library.define(f"non_local({_ARGUMENTS}) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
library.define(f"non_local_backward(Tensor grad, {_ARGUMENTS}) -> (Tensor, Tensor)", tags=torch.Tag.pt2_compliant_tag)
for _device in ("CPU", "CUDA"):
    library.impl("non_local", _forward, _device)
    library.impl("non_local_backward", _backward, _device)
torch_library.register_fake("lmf_kernels::non_local", _fake, lib=library)
torch_library.register_fake("lmf_kernels::non_local_backward", _fake_backward, lib=library)
torch_library.register_autograd("lmf_kernels::non_local", _differentiate, setup_context=_save, lib=library)
torch_library.register_autograd("lmf_kernels::non_local_backward", _refuse, lib=library)
for _device in ("cpu", "cuda"):
    torch_library.register_autocast("lmf_kernels::non_local", _device, torch.float32, lib=library)
