"""PNG beyond Pillow: 16 bits a channel in colours read (by imagecodecs), and pictures written row by row.

No library at hand takes rows as they come, in 8 and 16 bits, with a profile: so the chunks and filters of the PNG
specification (W3C, third edition) are written here, and zlib compresses.
"""

import struct
import zlib

import imagecodecs
import numpy as np

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: grey, grey and alpha, RGB, RGB and alpha
_SUB, _UP = 1, 2
_CHUNK = 1 << 18


def read_sixteen_bits(path, key=None):
    """The pixels (h, w, c) uint16 of a PNG with 16 bits in colours or with alpha, which Pillow has no mode for; None of
    any other PNG. key: the colour that the file names transparent, if it does."""
    with open(path, "rb") as file:
        content = file.read(26)
        if content[24] != 16 or content[25] == _COLOUR_TYPES[1]:
            return None
        content += file.read()
    pixels = imagecodecs.png_decode(content)
    if key is None or pixels.shape[2] != 3:
        return pixels
    seen = (pixels != np.asarray(key, pixels.dtype)).any(axis=2, keepdims=True)
    return np.concatenate((pixels, seen * np.uint16(65535)), axis=2)


def write_png(
    file,  # binary, opened for writing
    bands,  # iterable of (n, W, c) arrays of one dtype, uint8 or uint16, that make up the rows
    size,  # (H, W)
    channels,
    dtype,
    *,
    icc=None,
    exif=None,
):
    """Write a PNG from bands of rows, holding one band at a time."""
    height, width = size
    depth = 8 * np.dtype(dtype).itemsize
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0))
    if icc:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        _chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    deflate = zlib.compressobj(6)
    pending = bytearray()
    above = np.zeros(width * channels * depth // 8, np.uint8)
    for band in bands:
        rows = _bytes_of(band)
        pending += deflate.compress(_filtered(rows, above, channels * depth // 8))
        above = rows[-1]
        if len(pending) >= _CHUNK:
            _chunk(file, b"IDAT", pending)
            pending = bytearray()
    _chunk(file, b"IDAT", pending + deflate.flush())
    _chunk(file, b"IEND", b"")


def _chunk(file, kind, content):
    file.write(struct.pack(">I", len(content)))
    file.write(kind)
    file.write(content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _bytes_of(band):
    """(n, bytes of a row), 16 bits with the high byte first."""
    if band.dtype == np.uint16:
        band = band.astype(">u2")
    return np.ascontiguousarray(band).view(np.uint8).reshape(len(band), -1)


def _filtered(rows, above, pixel):
    """The rows with their filter bytes: each as the difference to its left or to its upper neighbour, by the usual
    rule of thumb whichever has the smaller sum of absolute values."""
    left = rows.copy()
    left[:, pixel:] -= rows[:, :-pixel]
    up = rows.copy()
    up[0] -= above
    up[1:] -= rows[:-1]
    cost = [np.abs(difference.view(np.int8)).astype(np.uint8).sum(axis=1, dtype=np.int64) for difference in (left, up)]
    take_up = cost[1] < cost[0]
    result = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    result[:, 0] = np.where(take_up, _UP, _SUB)
    result[:, 1:] = np.where(take_up[:, None], up, left)
    return result
