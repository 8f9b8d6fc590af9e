"""Pictures from files and to files, as RGB."""

import os

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError, features

from .errors import InputError
from .files import atomic_write, check_writable

# What a picture may be written as, with what Pillow is told for each.
_FORMATS = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}
if features.check("avif"):
    _FORMATS[".avif"] = ("AVIF", {"quality": 90, "subsampling": "4:4:4"})


def read_image(path):
    """Read a picture upright, as colours: tensor (1, 3, h, w), float32 in [0, 1].

    Grey and palette pictures become RGB, an alpha channel is dropped, 16-bit grey keeps its upper 8 bits.

    Raises:
        InputError: there is no such file, or it is not a picture that Pillow reads.
    """
    if os.path.isdir(path):
        raise InputError(f"Cannot read {path}: it is a folder; give a picture.")
    try:
        with Image.open(path) as picture:
            picture = _rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture of a kind that Pillow reads.") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path} claims more pixels than Pillow accepts ({2 * Image.MAX_IMAGE_PIXELS}).") from None
    except PermissionError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's readers raise on damaged files
        raise InputError(f"{path} is a damaged picture: {error}.") from None
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1)[None].to(torch.float32).div_(255)


def check_output(path):
    """Raise InputError, before any work, where `write_image` would refuse `path`."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise InputError(f"Cannot write {path}: the suffix is one of {' '.join(_FORMATS)}.")
    check_writable(path)


def write_image(
    path,
    pixels,  # (H, W, 3) uint8, any device
):
    """Write a picture, whole or not at all; the suffix names the format.

    Raises:
        InputError: the suffix is unknown, the folder cannot be written, or the format cannot hold the picture.
    """
    check_output(path)
    form, options = _FORMATS[os.path.splitext(path)[1].lower()]
    picture = Image.fromarray(pixels.cpu().numpy())
    with atomic_write(path) as temporary:
        try:
            picture.save(temporary, form, **options)
        except (ValueError, OSError) as error:
            height, width = pixels.shape[:2]
            raise InputError(f"Cannot write {path} with {width}x{height} pixels: {error}.") from None


def _rgb(picture):
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        return Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("it holds floating-point pixels, which have no agreed range")
    return picture.convert("RGB")
