"""`upscale` for images that are no tensors: numpy arrays and PIL images, given back as what they came."""

import sys

import numpy as np
import torch
from PIL import Image

from .errors import InputError
from .images import Picture
from .images.colour import Unsuitable, fitting_profile, pixels_of
from .picture_job import Placement, rendered_rows
from .request import check_model, check_values, output_size

_TYPES = ("uint8", "uint16", "float16", "float32", "float64")
_KEPT = ("dpi", "exif")  # of what a PIL image knows besides its pixels


def upscale_other_kind(model, image, scale, size, max_memory, cmsr=None):
    """`upscale` of an array or a PIL image. Arguments and errors are those of `lmf_kernels.upscale`."""
    check_model(model)
    if isinstance(image, np.ndarray):
        pixels = _upscale_pixels(model, _checked(image), scale, size, max_memory, cmsr)
        return pixels if image.ndim == 3 else pixels[..., 0]
    if isinstance(image, Image.Image):
        return _upscale_pil(model, image, scale, size, max_memory, cmsr)
    raise InputError(f"The image is a tensor (B, 3, h, w) or (3, h, w), a numpy array (h, w, 3) or a PIL image, got a "
                     f"{type(image).__name__}.")


def _checked(
    image,  # numpy array
):
    """An array as (h, w, c) in the machine's byte order."""
    if image.dtype.name not in _TYPES:
        raise InputError(f"An array's values are {', '.join(_TYPES)}, got {image.dtype}.")
    if image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4):
        raise InputError("An array is (h, w), or (h, w, c) with 1 to 4 channels last, got "
                         f"{image.shape}; a batch comes as a tensor (B, 3, h, w).")
    if 0 in image.shape:
        raise InputError(f"The image is empty: its shape is {image.shape}.")
    if image.dtype.kind == "f":
        check_values(torch.from_numpy(np.ascontiguousarray(image, image.dtype.newbyteorder("="))))
    pixels = image if image.ndim == 3 else image[..., None]
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


def _upscale_pixels(
    model,
    pixels,  # (h, w, c), c as in Picture
    scale,
    size,
    max_memory,
    cmsr,
):
    """(H, W, c) of the same dtype."""
    whole = output_size(pixels.shape[:2], scale, size)
    placement = Placement(whole, whole)
    result = np.empty((*placement.size, pixels.shape[2]), pixels.dtype)
    for y0, rows in rendered_rows(model, Picture(pixels), placement, pixels.shape[2], pixels.dtype.type,
                                  max_memory=sys.maxsize if max_memory is None else max_memory, cmsr=cmsr):
        result[y0:y0 + len(rows)] = rows
    return result


def _upscale_pil(
    model,
    image,  # PIL image
    scale,
    size,
    max_memory,
    cmsr,
):
    """A PIL image with the profile, resolution and EXIF of the one given."""
    try:
        pixels, icc = pixels_of(image)
    except Unsuitable as error:
        raise InputError(f"This picture cannot be used: {error}.") from None
    result = _upscale_pixels(model, pixels, scale, size, max_memory, cmsr)
    if result.dtype == np.uint16:
        result = result[..., :1]  # PIL has 16 bits for grey alone
    out = Image.fromarray(result[..., 0] if result.shape[2] == 1 else result)
    out.info = {key: image.info[key] for key in _KEPT if key in image.info}
    icc = fitting_profile(icc, result.shape[2])
    if icc:
        out.info["icc_profile"] = icc
    return out
