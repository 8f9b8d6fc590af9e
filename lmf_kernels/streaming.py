"""Writing a picture row by row, for those too large to hold: PNG and TIFF, 8 and 16 bits, whole file or none."""

import os
import zlib

import numpy as np

from .errors import InputError
from .files import atomic_write, check_writable
from . import optional

_PIECE = 1 << 20  # bytes handled at once: small enough for the processor's caches
_METRE = 0.0254  # an inch in metres
_DTYPES = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}
_TIFFFILE = ("tifffile", "tifffile")
_PACKAGES = {".png": ("png", "pypng"), ".tif": _TIFFFILE, ".tiff": _TIFFFILE}  # module and package that write it


def can_stream(path):
    """Whether `write_rows` knows the format that path's suffix names."""
    return _suffix(path) in _WRITERS


def writing_module(path):
    """The imported module that writes the format of path's suffix, which `can_stream` allows.

    Raises:
        InputError: its package is missing.
    """
    return optional.required(*_PACKAGES[_suffix(path)], f"Writing {path}")


def write_rows(
    path,
    bands,  # iterable of (y0, rows), rows (n, width[, channels]) or (1, n, width, channels)
    *,
    width,
    height,
    channels,
    bits=8,
    icc=None,
    exif=None,
    dpi=None,
):
    """Write a picture from bands of rows as they come, holding about one band. The suffix names the format.

    Args:
        bands: from top to bottom, every row once, as `upscale_rows` gives them; tensors or numpy arrays, channels last,
            of uint8 (8 bits), uint16 (16 bits), or floating point in [0, 1], which is rounded half to even.
        width, height: of the whole picture, in pixels.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not premultiplied).
        bits: 8 or 16 a channel.
        icc: an ICC profile (bytes) to embed, or None.
        exif: EXIF (bytes) to embed, or None. TIFF takes none: its own tags are in the way.
        dpi: (x, y), pixels per inch in print, or None.

    Raises:
        InputError: the format cannot be written in rows, its package is missing, the folder cannot be written, the
            disk is full, or the bands are not this picture's. The file at `path` is then as it was.
    """
    if not can_stream(path):
        raise InputError(f"Cannot write {path} row by row: {_suffix(path) or 'this format'} needs the whole picture in "
                         f"memory; write {' or '.join(_WRITERS)}, or allow more memory.")
    if channels not in (1, 2, 3, 4) or bits not in _DTYPES:
        raise InputError(f"A picture has 1 to 4 channels of 8 or 16 bits, got {channels} of {bits}.")
    check_writable(path)
    module = writing_module(path)
    row_bytes = width * channels * bits // 8
    pieces = _regrouped(bands, (height, width, channels), _DTYPES[bits], max(1, _PIECE // row_bytes))
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        _WRITERS[_suffix(path)](module, file, pieces, (height, width, channels), bits, icc, exif, dpi)


def _write_png(png, file, pieces, shape, bits, icc, exif, dpi):
    """PNG (ISO 15948). Rows are filtered as its section 12.7 advises: the filter with the least sum of differences."""
    height, width, channels = shape
    density = {} if dpi is None else dict(zip(("x_pixels_per_unit", "y_pixels_per_unit"),
                                              (round(value / _METRE) for value in dpi)), unit_is_meter=True)
    writer = png.Writer(width, height, greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=bits, **density)
    writer.write_preamble(file)
    if icc:
        png.write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        png.write_chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    deflate = _deflater()
    above = np.zeros(width * channels * bits // 8, np.uint8)
    for piece in pieces:
        raw = np.ascontiguousarray(piece, ">u2" if bits == 16 else np.uint8).view(np.uint8).reshape(len(piece), -1)
        data = deflate.compress(_filtered(raw, above, channels * bits // 8).data)
        above = raw[-1].copy()
        if data:
            png.write_chunk(file, b"IDAT", data)
    png.write_chunk(file, b"IDAT", deflate.flush())
    png.write_chunk(file, b"IEND")


def _filtered(
    raw,  # (n, bytes a row) uint8
    above,  # (bytes a row,) uint8: the row before
    step,
):
    """Rows as PNG stores them, each with its filter's number in front: (n, 1 + bytes a row). step: bytes a pixel."""
    up = np.concatenate((above[None], raw[:-1]))
    left, corner = np.zeros_like(raw), np.zeros_like(raw)
    left[:, step:], corner[:, step:] = raw[:, :-step], up[:, :-step]
    by_left, by_up = left.astype(np.int16) - corner, up.astype(np.int16) - corner
    # Paeth: the neighbour nearest to left + up - corner, in this order where they tie.
    to_left, to_up, to_corner = np.abs(by_up), np.abs(by_left), np.abs(by_left + by_up)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    best, kind, least = None, np.empty((len(raw), 1), np.uint8), None
    for number, guess in ((1, left), (2, up), (4, paeth)):
        rest = raw - guess
        cost = np.minimum(rest, 0 - rest).sum(axis=1, dtype=np.int64)  # bytes as signed numbers, modulo 256
        if best is None:
            best, least = rest, cost
            kind[:] = number
        else:
            better = cost < least
            best[better], kind[better], least[better] = rest[better], number, cost[better]
    return np.concatenate((kind, best), axis=1)


def _write_tiff(tifffile, file, pieces, shape, bits, icc, exif, dpi):
    """TIFF: deflated strips with horizontal differences; 64-bit offsets where 4 GB may not do."""
    height, width, channels = shape
    dtype = _DTYPES[bits]
    total = height * width * channels * dtype.itemsize
    rows = max(1, _PIECE // (width * channels * dtype.itemsize))

    def strips():
        for piece in pieces:
            coded = piece.copy()
            coded[:, 1:] -= piece[:, :-1]
            deflate = _deflater()
            yield deflate.compress(coded) + deflate.flush()

    with tifffile.TiffWriter(file, bigtiff=total > 4 * 10**9) as writer:
        writer.write(
            strips(), shape=shape if channels > 1 else shape[:2], dtype=dtype, rowsperstrip=rows, compression="zlib",
            predictor=2, photometric="rgb" if channels > 2 else "minisblack", planarconfig="contig",
            extrasamples=["unassalpha"] if channels in (2, 4) else None, iccprofile=icc, metadata=None, software=False,
            resolution=dpi, resolutionunit=None if dpi is None else "INCH")


def _deflater():
    """Differences of photographs hardly repeat: run lengths alone cost 3 % of size and save nine tenths of the time."""
    return zlib.compressobj(strategy=zlib.Z_RLE)


_WRITERS = {".png": _write_png, ".tif": _write_tiff, ".tiff": _write_tiff}


def _suffix(path):
    return os.path.splitext(path)[1].lower()


def _regrouped(bands, shape, dtype, count):
    """The rows of bands, checked, in arrays (count, width, channels) of `dtype`; the last may have fewer rows."""
    height, width, channels = shape
    done, kept = 0, np.empty((0, width, channels), dtype)
    for y0, rows in bands:
        rows = _as_array(rows, width, channels)
        if y0 != done or rows is None or done + len(rows) > height:
            raise InputError(f"A band of rows does not fit: the picture is {width}x{height} with {channels} channels, "
                             f"rows up to {done} are written, and this one begins at row {y0}.")
        done += len(rows)
        for first in range(0, len(rows), count):
            kept = np.concatenate((kept, _as_integers(rows[first:first + count], dtype)))
            if len(kept) >= count:
                yield kept[:count]
                kept = kept[count:]
        del rows
    if done != height:
        raise InputError(f"The bands end at row {done} of a picture with {height} rows.")
    if len(kept):
        yield kept


def _as_array(rows, width, channels):
    """A band as (n, width, channels), or None where it is not that."""
    rows = rows.detach().cpu().numpy() if hasattr(rows, "detach") else np.asarray(rows)
    rows = rows[0] if rows.ndim == 4 and rows.shape[0] == 1 else rows
    rows = rows[..., None] if rows.ndim == 2 and channels == 1 else rows
    return rows if rows.ndim == 3 and rows.shape[1:] == (width, channels) else None


def _as_integers(rows, dtype):
    """Floating point in [0, 1] as integers, half to even; integers must be of the file's type already."""
    if rows.dtype.kind == "f":
        most = np.iinfo(dtype).max
        return np.rint(np.clip(rows.astype(np.float32, copy=False), 0, 1) * np.float32(most)).astype(dtype)
    if rows.dtype != dtype:
        raise InputError(f"The rows are {rows.dtype}, the file takes {dtype} or floating point in [0, 1].")
    return rows
