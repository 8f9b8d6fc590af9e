"""Picture files, read: whole, upright, as the values they hold."""

import os
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError, features

from ..errors import InputError
from . import colour, jpeg, png, tiff
from .picture import Picture

# What a folder is searched for; a file given by name may be of any kind that Pillow reads.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".apng", ".ppm", ".pgm") + (
    (".avif",) if features.check("avif") else ())

_TURNS = {  # EXIF orientation: (swap the axes first, then flip rows, flip columns)
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False)}
_WITH_EXIF = ("PNG", "JPEG", "MPO", "WEBP", "AVIF")  # TIFF's tags describe the file, not only the picture


def read_image(path):
    """Read a picture upright, as colours: tensor (1, 3, h, w), float32 in [0, 1].

    Grey and palette pictures become RGB, 16 bits stay 16 bits, an alpha channel is dropped.

    Raises:
        InputError: as `read_picture`.
    """
    picture = read_picture(path)
    pixels = torch.from_numpy(colour.split(picture, fill=False)[0].astype(np.float32))
    return pixels.permute(2, 0, 1)[None].contiguous().div_(picture.top)


def read_picture(path, max_pixels=None):
    """Read a picture file with all that belongs to it: Picture.

    Palettes become RGB, one bit becomes grey, a transparent colour becomes alpha; CMYK, YCbCr and Lab become sRGB
    (through the file's own profile, where it has one). 16 bits stay 16 bits. Of several frames or pages the first is
    read, with a note.

    Args:
        path: the file.
        max_pixels: refuse pictures with more; None: twice Pillow's MAX_IMAGE_PIXELS (179 million unless changed).

    Raises:
        InputError: there is no such file, it is not a picture of a known kind, damaged, or larger than max_pixels.
    """
    path = os.fspath(path)
    with reporting_damage(path):
        check_size = size_check(path, max_pixels)
        pixels, icc, orientation, exif, frames, dpi, jpeg_quality = _tiff(path, check_size) or _any(path, check_size)
    swap, rows, columns = _TURNS.get(orientation, _TURNS[1])
    if swap:
        pixels, dpi = pixels.swapaxes(0, 1), dpi and dpi[::-1]
    pixels = np.ascontiguousarray(pixels[::-1 if rows else 1, ::-1 if columns else 1])
    notes = (f"{path} holds {frames} frames; the first is used.",) if frames > 1 else ()
    return Picture(pixels, colour.fitting_profile(icc, pixels.shape[2]), exif, notes, dpi, jpeg_quality)


def size_check(path, max_pixels):
    """check(width, height), which raises InputError for pictures of more than max_pixels (see `read_picture`)."""
    if max_pixels is None:
        max_pixels = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else float("inf")

    def check(width, height):
        if width * height > max_pixels:
            raise InputError(f"{path} claims {width}x{height} pixels, more than the limit of {max_pixels}; "
                             "raise the limit (--max-megapixels) if you trust the file.")

    return check


@contextmanager
def reporting_damage(path):
    """Turn whatever reading a picture file raises into one sentence, as InputError."""
    if os.path.isdir(path):
        raise InputError(f"Cannot read {path}: it is a folder; give a picture.")
    try:
        if os.path.getsize(path) == 0:
            raise InputError(f"{path} is not a picture: it is empty (0 bytes).")
        yield
    except (InputError, MemoryError):
        raise
    except colour.Unsuitable as error:
        raise InputError(f"Cannot use {path}: {error}.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture of a kind that Pillow reads.") from None
    except PermissionError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except Exception as error:  # readers report damage with many types
        raise InputError(f"{path} is a damaged picture: {error}.") from None


@contextmanager
def quietly():
    """Run Pillow without its own limit on pixels (ours has its own sentence, and a way to raise it) and without its
    warnings of odd metadata (either the picture reads or we say why not)."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _tiff(path, check_size):
    """(pixels, icc, orientation, exif, frames, dpi, jpeg_quality) of a TIFF of the usual kinds, else None. Not by
    Pillow: it knows no colours of 16 bits, and its TIFF library writes to stderr."""
    found = tiff.read_tiff(path, check_size)
    return found and (*found[:3], None, *found[3:], None)


def _any(path, check_size):
    """The same of any picture that Pillow opens."""
    with quietly(), Image.open(path) as opened:
        check_size(*opened.size)
        frames = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)  # MPO: photograph and previews
        pixels, icc = colour.pixels_of(opened)
        if opened.format == "PNG":
            sixteen = png.read_sixteen_bits(path, opened.info.get("transparency"))
            pixels = pixels if sixteen is None else sixteen
        return pixels, icc, *_camera(opened), frames, _dpi(opened), jpeg.quality_of(opened)


def _dpi(opened):
    """Pixels per inch (x, y) of an opened picture, None where it says none that can be."""
    try:
        x, y = (float(value) for value in opened.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if x > 0 and y > 0 else None


def _camera(opened):
    """(orientation, EXIF bytes without it) of an opened picture; damaged EXIF counts as none."""
    try:
        exif = opened.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        if opened.format not in _WITH_EXIF or not exif:
            return orientation, None
        exif[ExifTags.Base.Orientation] = 1
        return orientation, exif.tobytes()  # leaves out the thumbnail, which would be that of the old size
    except Exception:  # Pillow reports damaged EXIF with many types, and the picture is whole without it
        return 1, None
