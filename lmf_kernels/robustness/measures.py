"""What is measured of an upscaled picture, without an original or with one."""

import io
import math

import numpy as np
from PIL import Image

from ..area import resized_by_area

BLOCK = 8  # JPEG's, pixels


def mean_error(
    result,  # (H, W, 3) uint8
    low,  # (h, w, 3) uint8
):
    """The largest difference of the mean over a channel, from 0 to 1: what upscaling does to a picture's colours."""
    return float(np.abs(result.mean(axis=(0, 1)) - low.mean(axis=(0, 1))).max()) / 255


def consistency(
    result,  # (H, W, 3) uint8
    low,  # (h, w, 3) uint8
):
    """PSNR in dB between the result reduced again by area and the input: inf where they are equal.

    At a fractional factor HR pixels lie across the borders of LR pixels, and even an original has a finite value.
    """
    error = np.mean((resized_by_area(result, low.shape[:2]) - low) ** 2)
    return 10 * math.log10(255 ** 2 / error) if error else math.inf


def block_edges(
    result,  # (H, W, 3) uint8
    low_size,  # (h, w)
):
    """Mean difference between neighbours across the borders of JPEG blocks over that across the other LR pixels'
    borders. 1: blocks do not show."""
    result = result.mean(axis=2)
    at_blocks, elsewhere = [], []
    for picture, count in ((result, low_size[0]), (result.T, low_size[1])):
        steps = np.abs(np.diff(picture, axis=0)).mean(axis=1)  # steps[i]: from row i to row i + 1
        for index in range(1, count):
            step = steps[round(index * picture.shape[0] / count) - 1]
            (elsewhere if index % BLOCK else at_blocks).append(step)
    return float(np.mean(at_blocks) / np.mean(elsewhere)) if at_blocks and np.any(elsewhere) else math.nan


def compressed(
    low,  # (h, w, 3) uint8
    quality,
):
    """The picture as a JPEG file of this quality gives it back, colours at half the resolution: (h, w, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(low).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(buffer) as picture:
        return np.asarray(picture)
