"""An image in, a larger image out."""

import math
import numbers

import torch

from . import tiling
from .errors import InputError
from .models import Decoder
from .tiling import memory

_LARGEST_SIDE = 2**31 - 1


@torch.no_grad()
def upscale(
    model,
    image,  # (B, 3, h, w), values in [0, 1]
    scale=None,
    size=None,
    *,
    max_memory=None,
    dtype=torch.float32,
    layout="nchw",
):
    """Upscale images by any factor or to any size. No gradients: train through the model itself.

    Args:
        model: from `lmf_kernels.load_model`.
        image: floating point, of the model's dtype and on its device.
        scale: a number, or (scale_y, scale_x); the output is floor(h * scale_y) x floor(w * scale_x), exactly as
            torch.nn.functional.interpolate makes it. Models were trained at x1 to x4 and reach up to about x30.
        size: (H, W) in pixels, in place of scale.
        max_memory: bytes, or text such as "2GB", that this call may take beyond the image and the model, its result
            included; None: no limit. Where it asks for tiles, encoders with a finite receptive field (EDSR, RDN) give
            the same features but for rounding; attention (SwinIR) nearly the same.
        dtype: torch.float32 or another floating-point type, or torch.uint8 for values 0 to 255, rounded half to even.
        layout: "nchw" for (B, 3, H, W), "nhwc" for (B, H, W, 3).

    Returns:
        Tensor (B, 3, H, W) in [0, 1], clamped.

    Raises:
        InputError: the image, scale, size, dtype or layout cannot be used, or max_memory is too little; the message
            says which and why.
        BackendError: the backend that the model asks for cannot run this.
    """
    size = check_request(model, image, scale, size)
    check_result(dtype, layout)  # before the encoder runs, which takes longest
    if max_memory is None:
        return run_stages(model, image, size, dtype=dtype, layout=layout)
    return _upscale_within(model, image, size, memory.parse_size(max_memory), dtype, layout)


def upscale_rows(
    model,
    image,  # (B, 3, h, w) float in [0, 1]; or integers, channels last: (h, w, 3) or (B, h, w, 3)
    scale=None,
    size=None,
    *,
    max_memory="2GB",
    dtype=torch.uint8,
    layout="nhwc",
    finished=lambda stage: None,
    progress=lambda share: None,
):
    """Upscale in bounded memory, giving finished rows as they come: for results too large to hold.

        for y0, rows in lmf_kernels.upscale_rows(model, pixels, scale=30, max_memory="1GB"):
            ...                                       # rows (B, n, W, 3): output rows y0 to y0 + n - 1

    The arguments are checked when it is called; the work happens while one iterates.

    Args:
        model, scale, size: as for `upscale`.
        image: a floating-point tensor as for `upscale`, on any device; or a numpy array or tensor of integers, uint8 (0
            to 255) or uint16 (0 to 65535), whose floating-point copy never exists as a whole.
        max_memory: bytes, or text such as "2GB", that this may take beyond the image and the model, with two bands of
            rows: the one being made and the one given last.
        dtype, layout: of the rows, as for `upscale`: (B, n, W, 3) for "nhwc", (B, 3, n, W) for "nchw".
        finished: called with "encoder", "latent" or "render" after each piece of that stage, to measure time.
        progress: called with the share of the rows that is done, 0 to 1, several times a band of tiles.

    Returns:
        Iterator of (y0, rows), from top to bottom, every row once. Rows are on the model's device. Its attribute `plan`
        (a `tiling.Plan`; print it) says how the picture is cut.

    Raises:
        InputError: as for `upscale`.
        BackendError: the backend that the model asks for cannot run this.
    """
    check_model(model)
    weight = next(model.parameters())
    source = tiling.Source(image)
    if torch.is_tensor(image) and image.is_floating_point():
        _check_image(image, weight)
    size = output_size(source.shape[1:], scale, size)
    check_result(dtype, layout)
    budget = memory.parse_size(max_memory)
    plan = tiling.make_plan(_job(model, source.shape, size, dtype), tiling.stage_bytes(model, dtype),
                            tiling.Halo.of(model), budget)
    return _Rows(plan, tiling.bands(model, source, size, plan, dtype=dtype, layout=layout, on_stage_end=finished,
                                    progress=progress))


class _Rows:
    """An iterator that can tell its plan."""

    def __init__(self, plan, bands):
        self.plan, self._bands = plan, bands

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._bands)


def _upscale_within(model, image, size, budget, dtype, layout):
    """`upscale` in at most `budget` bytes: in one piece where that fits, else in tiles, else image by image."""
    batch = image.shape[0]
    job = _job(model, (batch, *image.shape[2:]), size, dtype)
    result = batch * size[0] * size[1] * job.pixel_bytes
    if result > budget:
        raise InputError(
            f"The result alone, {batch} x {size[1]}x{size[0]} pixels of {dtype}, takes {memory.format_bytes(result)}, "
            f"more than max_memory allows ({memory.format_bytes(budget)}); allow more, or take it in rows with "
            "upscale_rows.")
    costs, halo = tiling.stage_bytes(model, dtype), tiling.Halo.of(model)
    if tiling.untiled_peak(job, costs, halo) <= budget:
        return run_stages(model, image, size, dtype=dtype, layout=layout)
    plan = tiling.make_plan(job._replace(batch=1), costs, halo, budget - result, result)
    shape = (batch, 3, *size) if layout == "nchw" else (batch, *size, 3)
    out = torch.empty(shape, dtype=dtype, device=image.device)
    down = 2 if layout == "nchw" else 1
    for one, picture in zip(out.split(1), image.split(1)):
        source = tiling.Source(picture)
        for y0, rows in tiling.bands(model, source, size, plan, dtype=dtype, layout=layout):
            one.narrow(down, y0, rows.shape[down]).copy_(rows)
    return out


def _job(model, shape, size, dtype):
    """The tiling.Job of a batch of pictures, (B, h, w)."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return tiling.Job(shape[0], tuple(shape[1:]), tuple(size), 3 * dtype.itemsize, on_cpu)


def run_stages(
    model,
    image,  # (B, 3, h, w), values in [0, 1], checked
    size,  # (H, W)
    *,
    dtype=torch.float32,
    layout="nchw",
    finished=lambda stage: None,
):
    """The stages of `upscale` on checked arguments; `finished(name)` is called after encoder, latent and render."""
    inp = image * 2 - 1
    features = model.encode(inp)
    finished("encoder")
    fields = model.fields(features, model.rel_cell_of(image.shape[-2:], size))
    finished("latent")
    pixels = model.render_grid(inp, size, fields=fields, epilogue="unit", dtype=dtype, layout=layout)
    finished("render")
    return pixels


def check_request(model, image, scale=None, size=None):
    """Check what `upscale` is given; the output size (H, W)."""
    check_model(model)
    weight = next(model.parameters())
    _check_image(image, weight)
    if image.device != weight.device:
        raise InputError(f"The image is on {image.device}, the model on {weight.device}; move one of them.")
    return output_size(image.shape[-2:], scale, size)


def output_size(lr_size, scale=None, size=None):
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
        raise InputError(f"scale {scale} would produce an empty output from {lr_size[1]}x{lr_size[0]} pixels; give a "
                         "larger one.")
    if max(exact) > _LARGEST_SIDE:
        raise InputError(f"scale {scale} makes a side longer than {_LARGEST_SIDE} pixels; give a smaller one.")
    return math.floor(exact[0]), math.floor(exact[1])


def check_result(dtype, layout):
    """What the render stage can write."""
    if not isinstance(dtype, torch.dtype) or not (dtype.is_floating_point or dtype == torch.uint8):
        raise InputError(f"dtype is torch.uint8 or a floating-point torch dtype, got {dtype!r:.40}.")
    if layout not in ("nchw", "nhwc"):
        raise InputError(f"layout is 'nchw' or 'nhwc', got {layout!r:.40}.")


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_model(model):
    if not isinstance(model, Decoder):
        raise InputError(f"The model is one of lmf_kernels.load_model, got a {type(model).__name__}.")


def _check_image(image, weight):
    """One sentence for each way in which an image can be wrong."""
    if not torch.is_tensor(image):
        raise InputError(f"The image is a tensor (B, 3, h, w) with values in [0, 1], got a {type(image).__name__}.")
    if image.dim() == 3:
        raise InputError(f"The image is (B, 3, h, w), got {tuple(image.shape)}; add a batch with image[None].")
    if image.dim() != 4 or image.shape[1] != 3:
        raise InputError(f"The image is (B, 3, h, w), three colour channels, got {tuple(image.shape)}.")
    if 0 in image.shape:
        raise InputError(f"The image is empty: its shape is {tuple(image.shape)}.")
    if image.dtype == torch.uint8:
        raise InputError("The image is uint8; give floating point in [0, 1], as image / 255.")
    if image.dtype != weight.dtype:
        raise InputError(f"The image is {image.dtype}, the model {weight.dtype}; convert one of them.")
