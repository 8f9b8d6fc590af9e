"""Picture files, written whole or not at all, band by band where the format lets us."""

import numbers
import os
import shutil
from dataclasses import dataclass

import numpy as np
from PIL import Image, features

from ..errors import InputError
from ..files import atomic_write, check_writable
from ..streaming import can_stream, write_rows, writing_module


@dataclass(frozen=True)
class Format:
    """What a kind of file can hold. largest: pixels a side. lossy: so files are far smaller than the pixels. animated:
    more than one frame. options: of Pillow, which writes what cannot be streamed; "quality" among them is the
    user's choice."""

    name: str
    largest: int
    sixteen: bool = False
    alpha: bool = False
    grey: bool = True
    lossy: bool = True
    animated: bool = False
    options: tuple = ()

    @property
    def takes_quality(self):
        """Whether files of this kind have a quality from 1 to 100."""
        return "quality" in dict(self.options)


_PNG = Format("PNG", 2**31 - 1, sixteen=True, alpha=True, lossy=False, animated=True)
_TIFF = Format("TIFF", 2**31 - 1, sixteen=True, alpha=True, lossy=False)
_JPEG = Format("JPEG", 65500, options=(("quality", 95), ("subsampling", 0)))
_FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": Format("WEBP", 16383, alpha=True, grey=False, animated=True, options=(("quality", 95),)),
    ".gif": Format("GIF", 65535, alpha=True, grey=False, animated=True),
    ".bmp": Format("BMP", 2**31 - 1, lossy=False),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
if features.check("avif"):
    _FORMATS[".avif"] = Format("AVIF", 65535, alpha=True, grey=False,
                               options=(("quality", 90), ("subsampling", "4:4:4")))
WRITE_SUFFIXES = tuple(_FORMATS)
_LOSSY_SHARE = 4  # a lossy file takes at most a quarter of its pixels


def format_of(path):
    """The Format that `path`'s suffix names.

    Raises:
        InputError: it names none that can be written.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise InputError(f"Cannot write {path}: the suffix is one of {' '.join(_FORMATS)}.")
    return _FORMATS[suffix]


def options_of(path, quality=None):
    """Pillow's options for a file's format.

    Raises:
        InputError: a quality is given and the format takes none, or it is not from 1 to 100.
    """
    form = format_of(path)
    if quality is None:
        return dict(form.options)
    if not form.takes_quality:
        why = "has no quality" if form.lossy else "is lossless"
        able = " ".join(suffix for suffix, other in _FORMATS.items() if other.takes_quality)
        raise InputError(f"Cannot write {path} with a quality: {form.name} {why}; leave the quality out, or write one "
                         f"of {able}.")
    if not isinstance(quality, numbers.Integral) or isinstance(quality, bool) or not 1 <= quality <= 100:
        raise InputError(f"quality is a whole number from 1 to 100, got {quality!r:.40}.")
    return {**dict(form.options), "quality": int(quality)}


def check_output(path, size=None):
    """Raise InputError, before any work, where `path` cannot be written, its format's package is missing, or the format
    cannot hold `size` (H, W) pixels."""
    form = format_of(path)
    check_writable(path)
    if can_stream(path):
        writing_module(path)
    if size is not None and max(size) > form.largest:
        raise InputError(f"Cannot write {path} with {size[1]}x{size[0]} pixels: {form.name} holds at most "
                         f"{form.largest} a side; .png and .tif hold more.")


def check_room(path, size, channels, dtype):
    """Raise InputError where the disk may be too small for `size` (H, W) pixels of `channels` and numpy dtype.

    The estimate is the pixels' own size, a quarter of it for lossy formats: more than a file usually takes.
    """
    form = format_of(path)
    need = size[0] * size[1] * channels * np.dtype(dtype).itemsize // (_LOSSY_SHARE if form.lossy else 1)
    folder = os.path.dirname(os.path.realpath(path))
    free = shutil.disk_usage(folder).free
    if need > free:
        raise InputError(f"Cannot write {path}: {size[1]}x{size[0]} pixels may take {need / 1e9:.1f} GB, but {folder} "
                         f"has {free / 1e9:.1f} GB free; ask for a smaller output or another place.")


def write_bands(
    path,
    bands,  # iterable of (y0, rows (n, W, c) of `dtype`), from top to bottom
    size,  # (H, W)
    channels,  # as in Picture; the format can hold them
    dtype,  # numpy's uint8 or, where the format can, uint16
    *,
    icc=None,
    exif=None,
    dpi=None,
    quality=None,
):
    """Write a picture from bands of rows, whole or not at all. PNG and TIFF hold one band in memory at a time.

    dpi: (x, y), pixels per inch; WebP, AVIF and GIF have no place for it. quality: 1 to 100, for formats that take one.

    Raises:
        InputError: the suffix is unknown, the folder cannot be written, or the format cannot hold the picture or takes
            no quality.
    """
    check_output(path, size)
    options = options_of(path, quality)
    if can_stream(path):
        write_rows(path, bands, width=size[1], height=size[0], channels=channels, bits=8 * np.dtype(dtype).itemsize,
                   icc=icc, exif=exif, dpi=dpi)
    else:
        metadata = {"icc_profile": icc, "exif": exif, "dpi": dpi}
        _write_with_pillow(path, bands, size, channels, options, metadata)


def write_image(
    path,
    pixels,  # (H, W, 3) uint8, any device
):
    """Write an RGB picture, whole or not at all; the suffix names the format.

    Raises:
        InputError: as `write_bands`.
    """
    write_bands(path, [(0, pixels.cpu().numpy())], tuple(pixels.shape[:2]), 3, np.uint8)


def _write_with_pillow(path, bands, size, channels, options, metadata):
    form = format_of(path)
    pixels = np.empty((*size, channels), np.uint8)
    for y0, rows in bands:
        pixels[y0:y0 + len(rows)] = rows
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    if not form.grey and channels < 3:
        picture = picture.convert("RGBA" if channels == 2 else "RGB")
    given = {key: value for key, value in metadata.items() if value and (form.name != "BMP" or key == "dpi")}
    with atomic_write(path) as temporary, open(temporary, "w+b") as file:
        try:
            picture.save(file, form.name, **options, **given)
        except ValueError as error:
            raise InputError(f"Cannot write {path} with {size[1]}x{size[0]} pixels: {error}.") from None
