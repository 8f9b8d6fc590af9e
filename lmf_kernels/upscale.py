"""An image in, a larger image out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

import torch
from torch import Tensor

from . import tiling
from .cmsr import Multiscale, resolve
from .errors import InputError
from .models import Decoder
from .request import Scale, Size, check_image, check_model, check_request, check_result, check_values, output_size
from .tiling import memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixel = TypeVar("Pixel", bound=np.generic)


@overload
def upscale(model: Decoder, image: Tensor, scale: Scale | None = None, size: Size | None = None, *,
            max_memory: int | str | None = None, tta: bool = False, dtype: torch.dtype | None = None,
            layout: str = "nchw", cmsr: Multiscale = None) -> Tensor: ...


@overload
def upscale(model: Decoder, image: NDArray[Pixel], scale: Scale | None = None, size: Size | None = None, *,
            max_memory: int | str | None = None, tta: bool = False,
            cmsr: Multiscale = None) -> NDArray[Pixel]: ...


@overload
def upscale(model: Decoder, image: Image, scale: Scale | None = None, size: Size | None = None, *,
            max_memory: int | str | None = None, tta: bool = False,
            cmsr: Multiscale = None) -> Image: ...


@torch.no_grad()
def upscale(
    model: Decoder,
    image: Any,  # tensor (B, 3, h, w) or (3, h, w); array (h, w, 3), (h, w) and the like; PIL image
    scale: Scale | None = None,
    size: Size | None = None,
    *,
    max_memory: int | str | None = None,
    tta: bool = False,
    dtype: torch.dtype | None = None,
    layout: str = "nchw",
    cmsr: Multiscale = None,
) -> Any:
    """Upscale images by any factor or to any size. No gradients: train through the model itself.

    The result is of the image's kind:

        tensor          floating point in [0, 1], of the model's dtype, or uint8; on the model's device
        numpy array     (h, w), (h, w, 1) grey, (h, w, 2) grey and alpha, (h, w, 3) RGB or (h, w, 4) RGB and alpha, of
                        uint8, uint16 or floating point in [0, 1]
        PIL image       palettes come back as colours, CMYK as sRGB; 16 bits of grey stay

    Floating point may leave [0, 1] by up to 0.5; NaN and values of 0 to 255 are refused.

    Args:
        model: from `lmf_kernels.load_model`.
        image: one of the above.
        scale: a number, or (scale_y, scale_x); the output is floor(h * scale_y) x floor(w * scale_x), exactly as
            torch.nn.functional.interpolate makes it. Models were trained at x1 to x4 and reach up to about x30.
        size: (H, W) in pixels, in place of scale.
        max_memory: bytes, or text such as "2GB", that this call may take beyond the image and the model, its result
            included; None: no limit. Where it asks for tiles, encoders with a finite receptive field (EDSR, RDN) give
            the same features but for rounding; attention (SwinIR) nearly the same.
        tta: self-ensemble: the mean over the eight flips and quarter turns of the image. Takes eight times as long.
            Not together with cmsr.
        dtype: of a tensor's result: torch.float32 or another floating-point type, or torch.uint8 for values 0 to 255,
            rounded half to even; None: torch.uint8 for uint8, else torch.float32.
        layout: of a tensor's result: "nchw" for (B, 3, H, W), "nhwc" for (B, H, W, 3).
        cmsr: multi-scale rendering (LMF, section 3.4), which renders smooth parts at lower scales: "auto" or a
            precision such as 1e-4 for a table that ships with the model, a table's file, a table, or a `CMSR`, which
            also counts the work; None: everything in full. Up to x4 it does nothing.

    Returns:
        An image of the same kind and number of dimensions, H pixels high and W wide; values are clamped to their range.

    Raises:
        InputError: the image, scale, size, dtype or layout cannot be used, or max_memory is too little; the message
            says which and why.
        BackendError: the backend that the model asks for cannot run this.
    """
    if not torch.is_tensor(image):
        from .image_kinds import upscale_other_kind  # numpy and Pillow, for those who use them

        if dtype is not None or layout != "nchw":
            raise InputError("dtype and layout are for tensors; other images come back as they are given.")
        return upscale_other_kind(model, image, scale, size, max_memory, tta, cmsr)
    check_model(model)
    batch = image[None] if image.dim() == 3 else image
    if image.dtype == torch.uint8:
        dtype = torch.uint8 if dtype is None else dtype
        weight = next(model.parameters())
        batch = batch.to(torch.promote_types(weight.dtype, torch.float32)).div(255).to(weight.dtype)
    dtype = torch.float32 if dtype is None else dtype
    size = check_request(model, batch, scale, size)
    check_result(dtype, layout)  # before the encoder runs, which takes longest
    cmsr = _resolved(cmsr, model, tta)
    if max_memory is not None:
        result = _upscale_within(model, batch, size, memory.parse_size(max_memory), dtype, layout, tta, cmsr)
    elif tta:
        result = _ensembled(model, batch, size, dtype, layout)
    else:
        result = run_stages(model, batch, size, dtype=dtype, layout=layout, cmsr=cmsr)
    return result if image.dim() == 4 else result[0]


def upscale_rows(
    model: Decoder,
    image: Tensor | NDArray[Any],  # (B, 3, h, w) float in [0, 1]; or integers, channels last: (h, w, 3), (B, h, w, 3)
    scale: Scale | None = None,
    size: Size | None = None,
    *,
    max_memory: int | str = "2GB",
    tta: bool = False,
    dtype: torch.dtype = torch.uint8,
    layout: str = "nhwc",
    cmsr: Multiscale = None,
    on_stage_end: Callable[[str], object] = lambda stage: None,
    progress: Callable[[float], object] = lambda fraction: None,
) -> Rows:
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
        tta: self-ensemble, as for `upscale`; in tiles too, but for LM-CiaoSR.
        dtype, layout: of the rows, as for `upscale`: (B, n, W, 3) for "nhwc", (B, 3, n, W) for "nchw".
        cmsr: as for `upscale`.
        on_stage_end: called with "encoder", "latent" or "render" after each piece of that stage, to measure time.
        progress: called with the fraction of the rows that is done, 0 to 1, several times a band of tiles.

    Returns:
        Iterator of (y0, rows), from top to bottom, every row once. Rows are on the model's device. Its attribute `plan`
        says how the picture is cut; print it.

    Raises:
        InputError: as for `upscale`.
        BackendError: the backend that the model asks for cannot run this.
    """
    check_model(model)
    weight = next(model.parameters())
    source = tiling.Source(image)
    floating = torch.is_tensor(image) and image.is_floating_point()
    if floating:
        check_image(image, weight)
    size = output_size(source.shape[1:], scale, size)
    if floating:
        check_values(image)
    check_result(dtype, layout)
    budget = memory.parse_size(max_memory)
    rendering = _rendering(_resolved(cmsr, model, tta), model, source.shape[1:], size)
    job, costs = _job(model, source.shape, size, dtype), tiling.stage_bytes(model, dtype, rendering)
    plan, bands = _planned(model, job, costs, tiling.Halo.of(model, rendering), budget, tta, rendering)
    return Rows(plan, bands(model, source, size, plan, dtype=dtype, layout=layout, on_stage_end=on_stage_end,
                            progress=progress))


class Rows(Iterator[tuple[int, Tensor]]):
    """What `upscale_rows` gives: iterates over (y0, rows). plan: how the picture is cut, a `tiling.Plan`."""

    def __init__(self, plan: tiling.Plan, bands: Iterator[tuple[int, Tensor]]) -> None:
        self.plan, self._bands = plan, bands

    def __next__(self) -> tuple[int, Tensor]:
        return next(self._bands)


def _upscale_within(model, image, size, budget, dtype, layout, tta, cmsr):
    """`upscale` in at most `budget` bytes: in one piece where that fits, else in tiles, else image by image."""
    batch = image.shape[0]
    job = _job(model, (batch, *image.shape[2:]), size, dtype)
    result = batch * size[0] * size[1] * job.pixel_bytes
    if result > budget:
        raise InputError(
            f"The result alone, {batch} x {size[1]}x{size[0]} pixels of {dtype}, takes {memory.format_bytes(result)}, "
            f"more than max_memory allows ({memory.format_bytes(budget)}); allow more, or take it in rows with "
            "upscale_rows.")
    rendering = _rendering(cmsr, model, image.shape[-2:], size)
    costs, halo = tiling.stage_bytes(model, dtype, rendering), tiling.Halo.of(model, rendering)
    if not tta and tiling.untiled_peak(job, costs, halo) <= budget:
        return run_stages(model, image, size, dtype=dtype, layout=layout, cmsr=cmsr)
    plan, bands = _planned(model, job._replace(batch=1), costs, halo, budget - result, tta, rendering, result)
    shape = (batch, 3, *size) if layout == "nchw" else (batch, *size, 3)
    out = torch.empty(shape, dtype=dtype, device=image.device)
    down = 2 if layout == "nchw" else 1
    for one, picture in zip(out.split(1), image.split(1)):
        source = tiling.Source(picture)
        for y0, rows in bands(model, source, size, plan, dtype=dtype, layout=layout):
            one.narrow(down, y0, rows.shape[down]).copy_(rows)
    return out


def _planned(model, job, costs, halo, budget, tta, rendering, besides=0):
    """(plan, the function that runs it) within `budget` bytes."""
    if not tta:
        return tiling.make_plan(job, costs, halo, budget, besides), partial(tiling.bands, rendering=rendering)
    summed = job._replace(pixel_bytes=job.pixel_bytes + 3 * 8)  # sums in at most float64
    costs = tiling.self_ensemble.costs_of(costs)
    plan = tiling.make_plan(summed, costs, halo, budget, besides, keeps=("pixels",))
    tiling.self_ensemble.check_plan(model, plan)
    return plan, tiling.self_ensemble.bands


def _ensembled(model, image, size, dtype, layout):
    """The self-ensemble of whole images."""
    source = tiling.Source(image)
    plan = tiling.self_ensemble.whole(source, size, tiling.Halo.of(model))
    (_, rows), = tiling.self_ensemble.bands(model, source, size, plan, dtype=dtype, layout=layout)
    return rows


def _resolved(cmsr, model, tta):
    """What `cmsr` names, checked against tta."""
    if tta and cmsr is not None:
        raise InputError("tta and cmsr exclude each other: give one of them.")
    return resolve(cmsr, model)


def _rendering(cmsr, model, lr_size, size):
    """The cmsr.Rendering of pictures of lr_size at a size, None where everything is rendered in full."""
    return None if cmsr is None else cmsr.rendering(model, lr_size, size)


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
    cmsr=None,
    on_stage_end=lambda stage: None,
):
    """The stages of `upscale` on checked arguments; `on_stage_end(name)` is called after encoder, latent and render.

    cmsr: a cmsr.CMSR, or None to render everything in full.
    """
    inp = image * 2 - 1
    features = model.encode(inp)
    on_stage_end("encoder")
    fields = model.fields(features, model.rel_cell_of(image.shape[-2:], size))
    on_stage_end("latent")
    rendering = _rendering(cmsr, model, image.shape[-2:], size)
    render = model.render_grid if rendering is None else rendering.grid
    pixels = render(inp, size, fields=fields, epilogue="unit", dtype=dtype, layout=layout)
    on_stage_end("render")
    return pixels
