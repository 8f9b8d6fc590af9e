"""TIFF through tifffile: 8 and 16 bits of grey, RGB and alpha."""

import os

import numpy as np

from .. import optional
from .colour import Unsuitable

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, little and big endian
# Numbers of TIFF 6.0. Photometric interpretation, compression, extra samples, tags, unit of the resolution.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_KINDS = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
_JPEGS = (6, 7)
_PREMULTIPLIED, _STRAIGHT = 1, 2
_ICC, _ORIENTATION, _RESOLUTION = 34675, 274, 282
_INCH, _CENTIMETRE = 2, 3


def read_tiff(path, check_size):
    """(pixels (h, w, c) uint8 or uint16, ICC profile or None, orientation, number of pages, dpi or None) of a TIFF's
    first page.

    None if `path` is no TIFF, or one of palette, CMYK or another kind, which Pillow reads. `check_size(width, height)`
    may raise before anything large is read.

    Raises:
        InputError: tifffile is missing, or imagecodecs, which it needs for some compressions.
        Unsuitable: floating-point pixels, or another type without an agreed range.
        Many types: the file is damaged.
    """
    with open(path, "rb") as file:
        if file.read(4) not in _SIGNATURES:
            return None
    tifffile = optional.required("tifffile", "tifffile", f"Reading {path}, a TIFF,")
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength)
        if page.photometric not in _KINDS or page.bitspersample == 1 or page.compression in _JPEGS:
            return None
        if page.dtype not in (np.uint8, np.uint16):
            raise Unsuitable(f"it holds {'floating-point' if page.dtype.kind == 'f' else page.dtype} pixels, which "
                             "have no agreed range")
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts)]
        if not ends or max(ends) > os.path.getsize(path) or not all(page.databytecounts):
            raise ValueError("its pixels are not all there")
        icc, turn = page.tags.valueof(_ICC), page.tags.valueof(_ORIENTATION, 1)
        return _channels(page, _pixels(page, path)), icc, int(turn), len(file.pages), _dpi(page)


def _dpi(page):
    """Pixels per inch (x, y), None where the page has none in inches or centimetres."""
    if page.tags.valueof(_RESOLUTION) is None or page.resolutionunit not in (_INCH, _CENTIMETRE):
        return None
    x, y = page.get_resolution(_INCH)
    return (float(x), float(y)) if x > 0 and y > 0 else None


def _pixels(page, path):
    """All samples of a page: (planes, depth, h, w, samples)."""
    try:
        return page.asarray().reshape(page.shaped)
    except ValueError as error:
        if "imagecodecs" in str(error):  # tifffile's own message, where it is missing
            what = f"Reading {path}, a TIFF compressed by {page.compression.name},"
            optional.required("imagecodecs", "imagecodecs", what)
        raise


def _channels(
    page,
    pixels,  # (planes, depth, h, w, samples)
):
    """The pixels of a page with channels last: grey or RGB, then alpha where there is one, not premultiplied."""
    pixels = np.moveaxis(pixels[:, 0], 0, 2).reshape(*pixels.shape[2:4], -1)
    colours = 3 if page.photometric == _RGB else 1
    alpha = page.extrasamples[0] if page.extrasamples else None
    pixels = pixels[..., :colours + (alpha in (_PREMULTIPLIED, _STRAIGHT))]
    top = np.iinfo(pixels.dtype).max
    if page.photometric == _WHITE_IS_ZERO:
        pixels[..., 0] = top - pixels[..., 0]
    if alpha == _PREMULTIPLIED:
        cover = np.maximum(pixels[..., colours:].astype(np.float32), 1) / top
        pixels[..., :colours] = np.minimum(np.rint(pixels[..., :colours] / cover), top)
    return pixels
