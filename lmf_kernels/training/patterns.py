"""Pixel patterns: LR patches with the finest detail that a picture can hold.

Stripes and checkers of single pixels, dither, pixel noise, aliased lines and text. No reduced photograph has them, and
a network that has never seen them shifts their colours. The HR patch is the LR patch enlarged by area: each HR pixel is
the mean of the LR picture over its footprint, so that the mean of the colours is kept exactly, at fractional scales
too. Smooth gratings of three pixels a period and more are the exception: their HR patch is the same sinusoid, sampled
more densely.
"""

import numpy as np
from PIL import Image, ImageDraw

from ..area import resized_by_area
from .colours import as_tuple, draw_colour, draw_pair
from .text import draw_text

_BAYER = np.array([[0, 2], [3, 1]])


def draw_pattern(rng, patch, side, fonts=()):
    """(low, high): (patch, patch, 3) and (side, side, 3) uint8.

    Args:
        patch, side: pixels of the LR and of the HR patch.
        fonts: paths of font files, for text.
    """
    if rng.random() < 0.15:
        return _grating(rng, patch, side)
    low = _drawn(rng, patch, fonts)
    if rng.random() < 0.3:  # two of them meet
        top, left = rng.integers(patch, size=2)
        low[top:, left:] = _drawn(rng, patch, fonts)[top:, left:]
    return low, _enlarged(low, side)


def _enlarged(
    low,  # (n, n, 3) uint8
    side,
):
    """(side, side, 3) uint8, by area."""
    return np.rint(resized_by_area(low, (side, side))).astype(np.uint8)


def _drawn(rng, patch, fonts):
    """(patch, patch, 3) uint8, writable."""
    kind = rng.choice(_KINDS, p=_SHARES)
    if kind is _pixel_art:
        return kind(rng, patch)
    first, second = draw_pair(rng)
    if kind is _aliased:
        return kind(rng, patch, first, second, fonts)
    return np.where(kind(rng, patch)[..., None], first, second)


# Masks, (patch, patch) bool

def _stripes(rng, patch):
    """Level, upright or diagonal, two to six pixels a period, the two colours of equal width or not."""
    y, x = _places(rng, patch)
    along = (y, x, y + x, y - x)[rng.integers(4)]
    period = rng.choice((2, 3, 4, 5, 6), p=(0.3, 0.3, 0.2, 0.1, 0.1))
    return along % period < (period // 2 if rng.random() < 0.6 else rng.integers(1, period))


def _checkers(rng, patch):
    y, x = _places(rng, patch)
    height, width = rng.choice((1, 2, 3, 4), size=2, p=(0.6, 0.2, 0.1, 0.1))
    width = height if rng.random() < 0.7 else width
    return (y // height + x // width) % 2 == 0


def _dither(rng, patch):
    """A flat tone or a ramp, by Bayer's ordered dither of 2x2, 4x4 or 8x8 thresholds."""
    y, x = _places(rng, patch)
    matrix = _BAYER
    for _ in range(rng.integers(3)):
        matrix = np.block([[4 * matrix + part for part in row] for row in _BAYER])
    thresholds = (matrix[y % len(matrix), x % len(matrix)] + 0.5) / matrix.size
    tone = np.full((patch, patch), rng.random())
    if rng.random() < 0.5:
        slope_y, slope_x = rng.uniform(-1, 1, 2) / patch
        tone = tone + slope_y * (y - y.mean()) + slope_x * (x - x.mean())
    return tone > thresholds


def _noise(rng, patch):
    return rng.random((patch, patch)) < rng.uniform(0.02, 0.98)


def _flat(rng, patch):
    return np.ones((patch, patch), bool)


def _places(rng, patch):
    """Rows and columns of pixels, (patch, patch) each, counted from a random corner."""
    start_y, start_x = rng.integers(64, size=2)
    return np.mgrid[start_y:start_y + patch, start_x:start_x + patch]


# Pictures, (patch, patch, 3) uint8

def _pixel_art(rng, patch):
    """Blobs of a few colours with stray pixels, or pixels of any colour."""
    if rng.random() < 0.2:
        return rng.integers(256, size=(patch, patch, 3), dtype=np.uint8)
    palette = np.stack([draw_colour(rng) for _ in range(rng.integers(2, 9))])
    block = rng.integers(1, 5)
    coarse = rng.integers(len(palette), size=(patch // block + 1,) * 2)
    index = np.kron(coarse, np.ones((block, block), int))[:patch, :patch]
    stray = rng.random((patch, patch)) < 0.1
    return palette[np.where(stray, rng.integers(len(palette), size=(patch, patch)), index)]


def _aliased(rng, patch, first, second, fonts):
    """Lines, circles and text without antialiasing."""
    picture = Image.new("RGB", (patch, patch), as_tuple(first))
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "1"
    for _ in range(rng.integers(1, 6)):
        colour, width = as_tuple(second if rng.random() < 0.7 else draw_colour(rng)), int(rng.choice((1, 1, 1, 2, 3)))
        kind = rng.random()
        ends = rng.integers(-4, patch + 4, size=4)
        if kind < 0.3:
            pen.line([int(place) for place in ends], fill=colour, width=width)
        elif kind < 0.55:
            (left, right), (top, bottom) = np.sort(ends[:2]), np.sort(ends[2:])
            draw = pen.ellipse if rng.random() < 0.6 else pen.rectangle
            draw((int(left), int(top), int(right), int(bottom)), outline=colour, width=width)
        else:
            draw_text(rng, pen, patch, int(rng.integers(7, 21)), colour, fonts)
    return np.array(picture)


_KINDS, _SHARES = zip((_stripes, 0.27), (_checkers, 0.17), (_dither, 0.15), (_noise, 0.08), (_flat, 0.05),
                      (_pixel_art, 0.1), (_aliased, 0.18))


def _grating(rng, patch, side):
    """(low, high): a sinusoid of any direction, two to eight LR pixels a period, sampled at the pixels' centres."""
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(2, 8), rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.4:  # along an axis
        angle = np.pi / 2 * rng.integers(2)
    first, second = (colour.astype(float) for colour in draw_pair(rng))

    def sampled(count):
        at = (np.arange(count) + 0.5) * (patch / count)
        wave = 0.5 + 0.5 * np.sin(2 * np.pi / period * (np.sin(angle) * at[:, None] + np.cos(angle) * at) + phase)
        return np.rint(first + wave[..., None] * (second - first)).astype(np.uint8)

    low = sampled(patch)
    return low, sampled(side) if period >= 3 else _enlarged(low, side)
