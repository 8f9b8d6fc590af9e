"""What is asked of an upscaling, checked: one sentence for each way in which it can be wrong."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .models import Decoder

Scale = float | tuple[float, float] | list[float]  # one factor, or (y, x)
Size = tuple[int, int] | list[int]  # (H, W) in pixels
_LARGEST_SIDE = 2**31 - 1
_ROOM = 0.5  # beyond [0, 1]: what sharpening and interpolation leave behind is let through
_EAGER = (torch.Tensor, torch.nn.Parameter)  # and not what stands for a tensor while torch traces


def check_request(
    model: Decoder,
    image: Tensor,  # (B, 3, h, w)
    scale: Scale | None = None,
    size: Size | None = None,
) -> tuple[int, int]:
    """Check what `upscale` is given; the output size (H, W)."""
    check_model(model)
    weight = next(model.parameters())
    check_image(image, weight)
    if image.device != weight.device:
        raise InputError(f"The image is on {image.device}, the model on {weight.device}; move one of them.")
    size = output_size(image.shape[-2:], scale, size)
    check_values(image)
    return size


def output_size(lr_size: Any, scale: Scale | None = None, size: Size | None = None) -> tuple[int, int]:
    """The output size (H, W) of an image of lr_size (h, w).

    Args:
        scale: a positive number or (scale_y, scale_x); each side is floor(side * scale).
        size: (H, W), in place of scale.

    Raises:
        InputError: neither or both are given, or one is not usable.
    """
    if (scale is None) == (size is None):
        raise InputError("Give either scale or size" + ("." if size is None else ", not both."))
    if size is not None:
        pair = tuple(size) if isinstance(size, (tuple, list, torch.Size)) else (None,)
        if len(pair) != 2 or not all(_is_whole(side) and 0 < side <= _LARGEST_SIDE for side in pair):
            raise InputError(f"size is (height, width) in whole pixels from 1 to {_LARGEST_SIDE}, got {size!r:.60}.")
        return int(pair[0]), int(pair[1])
    pair = tuple(scale) if isinstance(scale, (tuple, list)) else (scale, scale)
    if len(pair) != 2 or not all(isinstance(s, numbers.Real) and not isinstance(s, bool) for s in pair):
        raise InputError(f"scale is a number or a pair (scale_y, scale_x), got {scale!r:.60}.")
    if not all(math.isfinite(s) and s > 0 for s in pair):
        raise InputError(f"scale is a finite number above zero, got {scale}.")
    exact = [n * float(s) for n, s in zip(lr_size, pair)]
    if min(exact) < 1:
        raise InputError(f"scale {scale} would produce an empty output from {lr_size[1]}x{lr_size[0]} pixels; give "
                         "a larger one.")
    if max(exact) > _LARGEST_SIDE:
        raise InputError(f"scale {scale} makes a side longer than {_LARGEST_SIDE} pixels; give a smaller one.")
    return math.floor(exact[0]), math.floor(exact[1])


def check_result(dtype: torch.dtype, layout: str) -> None:
    """What the render stage can write."""
    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype == torch.uint8):
        raise InputError(f"dtype is torch.uint8 or a floating-point torch dtype, got {dtype!r:.40}.")
    if layout not in ("nchw", "nhwc"):
        raise InputError(f"layout is 'nchw' or 'nhwc', got {layout!r:.40}.")


def check_model(model: Any) -> None:
    """The model is one of ours."""
    if not isinstance(model, Decoder):
        raise InputError(f"The model is one of lmf_kernels.load_model, got a {type(model).__name__}.")


def check_image(image: Any, weight: Tensor) -> None:
    """The image's kind, shape and type; not its values."""
    if not torch.is_tensor(image):
        raise InputError(f"The image is a tensor (B, 3, h, w) with values in [0, 1], got a {type(image).__name__}.")
    if image.dim() != 4 or image.shape[1] != 3:
        raise InputError("A tensor is (B, 3, h, w) or (3, h, w), three colour channels first, got "
                         f"{tuple(image.shape)}; a numpy array has its channels last.")
    if 0 in image.shape:
        raise InputError(f"The image is empty: its shape is {tuple(image.shape)}.")
    if image.dtype != weight.dtype:
        raise InputError(f"The image is {image.dtype}, the model {weight.dtype}; convert one of them.")


def check_values(
    image: Tensor,  # of any shape, floating point
) -> None:
    """Refuse NaN, infinity and values far outside [0, 1], such as 0 to 255. Not while torch traces or captures."""
    if (torch.compiler.is_compiling() or type(image) not in _EAGER or torch._C._len_torch_dispatch_stack()
            or torch._C._functorch.peek_interpreter_stack() is not None
            or image.is_cuda and torch.cuda.is_current_stream_capturing()):
        return
    low, high = (value.item() for value in torch.aminmax(image.detach()))
    if -_ROOM <= low and high <= 1 + _ROOM:  # false for NaN
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("The image holds NaN or infinity; its values are finite and in [0, 1].")
    raise InputError(f"The image's values go from {low:.6g} to {high:.6g}; floating point is in [0, 1]: divide values "
                     "of 0 to 255 by 255, or give them as uint8.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
