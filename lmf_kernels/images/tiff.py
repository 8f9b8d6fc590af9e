"""TIFF through tifffile: 8 and 16 bits of grey, RGB and alpha read; written strip by strip."""

import os
import zlib

import numpy as np
import tifffile

from .colour import Unsuitable

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, little and big endian
_KINDS = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
_JPEGS = (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
_ALPHAS = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_ICC, _ORIENTATION = 34675, 274

_STRIP = 1 << 18  # bytes before compression
_LARGEST_CLASSIC = 2**32 - 2**25  # a classic TIFF counts in 32 bits; room for the tables


def read_tiff(path, check_size):
    """(pixels (h, w, c) uint8 or uint16, ICC profile or None, orientation, number of pages) of a TIFF's first page.

    None if `path` is no TIFF, or one of palette, CMYK or another kind, which Pillow reads. `check_size(width, height)`
    may raise before anything large is read.

    Raises:
        Unsuitable: floating-point pixels, or another type without an agreed range.
        Many types: the file is damaged.
    """
    with open(path, "rb") as file:
        if file.read(4) not in _SIGNATURES:
            return None
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
        return _channels(page), icc, int(turn), len(file.pages)


def _channels(page):
    """The pixels of a page with channels last: grey or RGB, then alpha where there is one, not premultiplied."""
    pixels = page.asarray().reshape(page.shaped)  # (planes, depth, h, w, samples)
    pixels = np.moveaxis(pixels[:, 0], 0, 2).reshape(*pixels.shape[2:4], -1)
    colours = 3 if page.photometric == tifffile.PHOTOMETRIC.RGB else 1
    alpha = page.extrasamples[0] if page.extrasamples else None
    pixels = pixels[..., :colours + (alpha in _ALPHAS)]
    top = np.iinfo(pixels.dtype).max
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels[..., 0] = top - pixels[..., 0]
    if alpha == tifffile.EXTRASAMPLE.ASSOCALPHA:
        cover = np.maximum(pixels[..., colours:].astype(np.float32), 1) / top
        pixels[..., :colours] = np.minimum(np.rint(pixels[..., :colours] / cover), top)
    return pixels


def write_tiff(
    file,  # binary, opened for writing
    bands,  # iterable of (n, W, c) arrays of one dtype, uint8 or uint16, that make up the rows
    size,  # (H, W)
    channels,
    dtype,
    *,
    icc=None,
    exif=None,  # not written: TIFF's own tags take its place
):
    """Write a TIFF from bands of rows, holding one band at a time: Deflate over horizontal differences."""
    row = size[1] * channels * np.dtype(dtype).itemsize
    rows = min(max(1, _STRIP // row), size[0])
    tifffile.imwrite(
        file, (_compressed(strip) for strip in _strips(bands, rows)), bigtiff=row * size[0] > _LARGEST_CLASSIC,
        shape=(*size, channels) if channels > 1 else size, dtype=dtype, rowsperstrip=rows,
        photometric="rgb" if channels > 2 else "minisblack", planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels % 2 == 0 else None, compression="zlib", predictor=True,
        iccprofile=icc, metadata=None, software=False)


def _compressed(strip):
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]
    return zlib.compress(differences.tobytes())


def _strips(bands, rows):
    """The bands cut anew into strips of `rows` rows; the last may be shorter."""
    kept = []
    count = 0
    for band in bands:
        while len(band):
            part, band = band[:rows - count], band[rows - count:]
            kept.append(part)
            count += len(part)
            if count == rows:
                yield np.concatenate(kept)
                kept, count = [], 0
    if kept:
        yield np.concatenate(kept)
