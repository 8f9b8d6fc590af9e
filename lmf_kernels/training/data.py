"""Training patches from a folder of pictures, and from pictures drawn at random.

Every patch is a pure function of (pictures, fonts, recipe, step, place in the batch). So a resumed run goes on with
exactly the patches that an uninterrupted one would have seen, and several processes that share a step see those of one
alone.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..families.dense import random_pixels
from ..images import read_image
from .degradations import degrade, resized
from .graphics import draw_graphic
from .patterns import draw_pattern

SUFFIXES = (".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class Picture(NamedTuple):
    name: str
    pixels: np.ndarray  # (height, width, 3) uint8


class Batch(NamedTuple):
    """Patches as numpy arrays, in the pictures' 8 bits where they can be."""

    low: np.ndarray  # (B, patch, patch, 3) uint8: the LR patches
    coord: np.ndarray  # (B, Q, 2) float32: query centres (y, x) in [-1, 1]
    cell: np.ndarray  # (B,) float32: extent of a query on either axis, in the same units
    rgb: np.ndarray  # (B, Q, 3) uint8: the HR pixels at the queries


def read_pictures(folder, least_side, threads=2):
    """Decode every picture of a folder (not of its subfolders), in the order of their names.

    Args:
        folder: its other files, by suffix, play no part.
        least_side: pictures with a shorter side, in pixels, are left out.

    Returns:
        [Picture], and the names of those left out.

    Raises:
        InputError: the folder is missing, holds no picture that is large enough, or holds a damaged one.
    """
    if not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder}; give a folder of pictures.")
    try:
        names = sorted(name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in SUFFIXES)
    except OSError as error:
        raise InputError(f"Cannot read {folder}: {error.strerror or error}.") from None
    if not names:
        raise InputError(f"{folder} holds no pictures; their names end in {' '.join(SUFFIXES)}.")
    with ThreadPoolExecutor(threads) as pool:
        try:
            read = list(pool.map(lambda name: Picture(name, _pixels(os.path.join(folder, name))), names))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    large = [picture for picture in read if min(picture.pixels.shape[:2]) >= least_side]
    if not large:
        raise InputError(f"No picture in {folder} has {least_side} pixels or more on its shorter side.")
    kept = {picture.name for picture in large}
    return large, [name for name in names if name not in kept]


def fingerprint(pictures):
    """A short text that changes with the pictures' names, sizes or order."""
    text = "\n".join(f"{picture.name} {picture.pixels.shape}" for picture in pictures)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def draw_patch(pictures, recipe, step, place, fonts=(), pixels=random_pixels):
    """(low, coord, cell, rgb) of one patch, as in `Batch` without the first axis.

    The HR patch is round(patch * r) pixels square with r uniform in [1, max_scale]. By the recipe's shares it is a part
    of a photograph, a drawn graphic or a pixel pattern. `degradations` bring the first two down to the LR patch; a
    pattern has an LR patch of its own. The queries are HR pixels drawn without repetition (LIIF, section 4.1), or as
    `pixels` draws them; what the patches show and how they are brought down is ours, see `Recipe`.

    Args:
        fonts: paths of font files, for drawn text.
        pixels: draws the queries: (rng, side of the LR patch, side of the HR patch, count) to sorted indices.
    """
    rng = np.random.default_rng((recipe.seed, step, place))
    side = round(recipe.patch * rng.uniform(1, recipe.max_scale))
    kind = rng.random()
    if kind < recipe.patterns:
        low, high = draw_pattern(rng, recipe.patch, side, fonts)
    else:
        if kind < recipe.patterns + recipe.graphics:
            high = draw_graphic(rng, recipe.patch, side, fonts)
        else:
            high = _part_of_photograph(rng, pictures, side, recipe.shrink)
        low, side = degrade(rng, high, recipe), high.shape[0]
    chosen = pixels(rng, low.shape[0], side, recipe.queries)
    coord = np.stack((chosen // side, chosen % side), axis=-1)
    coord = ((2 * coord + 1 - side) / side).astype(np.float32)
    return low, coord, np.float32(2 / side), high.reshape(-1, 3)[chosen]


def draw_batch(pictures, recipe, step, places, fonts=(), pixels=random_pixels):
    """The patches of one step at these places of the batch: a Batch."""
    patches = (draw_patch(pictures, recipe, step, place, fonts, pixels) for place in places)
    return Batch(*(np.stack(part) for part in zip(*patches)))


class Loader:
    """Batches of one step after another, drawn ahead by background threads. A context manager and an iterator.

    Args:
        first: the step to begin with.
        places: which places of every batch to draw.
        threads: how many batches are drawn at the same time; Pillow and numpy let go of the interpreter's lock.
        fonts: paths of font files, for drawn text.
        pixels: as in `draw_patch`.
    """

    def __init__(self, pictures, recipe, first, places, threads=1, fonts=(), pixels=random_pixels):
        self._pool = ThreadPoolExecutor(threads)
        self._draw = lambda step: draw_batch(pictures, recipe, step, places, fonts, pixels)
        self._next = first
        self._ahead = deque()
        for _ in range(2 * threads):
            self._order()

    def _order(self):
        self._ahead.append(self._pool.submit(self._draw, self._next))
        self._next += 1

    def __iter__(self):
        return self

    def __next__(self):
        batch = self._ahead.popleft().result()
        self._order()
        return batch

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)


def _part_of_photograph(rng, pictures, side, shrink):
    """(side, side, 3) uint8, of fewer pixels where the picture is smaller: cut out of a random picture larger by a
    factor uniform in [1, shrink], flipped and transposed at random, and reduced by that factor."""
    pixels = pictures[rng.integers(len(pictures))].pixels
    cut = min(round(side * rng.uniform(1, shrink)), *pixels.shape[:2])
    y, x = (rng.integers(extent - cut + 1) for extent in pixels.shape[:2])
    part = pixels[y:y + cut, x:x + cut]
    flip_y, flip_x, transpose = rng.integers(2, size=3)
    part = part[::-1] if flip_y else part
    part = part[:, ::-1] if flip_x else part
    part = np.ascontiguousarray(part.transpose(1, 0, 2) if transpose else part)
    return resized(part, min(side, cut))


def _pixels(path):
    """(height, width, 3) uint8."""
    return read_image(path)[0].mul(255).round_().byte().permute(1, 2, 0).contiguous().numpy()
