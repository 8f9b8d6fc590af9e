"""A model and bicubic interpolation over the drawn pictures, and over a folder's."""

import math
from dataclasses import dataclass

import numpy as np

from .. import evaluation
from ..errors import InputError
from . import measures, pictures

QUALITIES = (40, 75)  # of JPEG
_MOST = 192  # rows and columns that a folder's picture is cut to when it is itself the input
PATTERNS, FOLDER = "patterns", "the folder's pictures"  # what they are called in rows
METHODS = ("bicubic", "model")
RECIPE = ("Largest mean error: of a channel's mean, result against input, 0 to 1; consistency: PSNR in dB of the "
          "result reduced by area against the input; PSNR: in dB against the original, Y channel, the factor's pixels "
          "shaved; block edges: mean step across borders of JPEG's blocks over that across other LR pixels' borders; "
          "JPEG with 4:2:0 colours, originals reduced by antialiased bicubic, drawn ones by area")


@dataclass(frozen=True)
class Row:
    """One measured picture. what: the kind of picture. measure: "mean error", "consistency", "PSNR" or "block edges",
    see RECIPE."""

    scale: float
    what: str
    picture: str
    measure: str
    bicubic: float
    model: float


def robustness(model, scales, paths=(), *, progress=lambda share: None):
    """Measure a model on drawn pictures, and on a folder's pictures where there are any.

    Args:
        scales: numbers of at least 1.
        paths: pictures. Each is upscaled as it is, cut to its middle (mean error and consistency), and taken as an
            original: reduced, compressed as JPEG, upscaled, compared (`evaluation.score`, Y channel).

    Returns:
        [Row], sorted by scale.

    Raises:
        InputError: a scale or picture is unusable, or scikit-image is missing.
    """
    for scale in scales:
        if not (math.isfinite(scale) and scale >= 1):
            raise InputError(f"A factor to evaluate is a finite number of at least 1, got {scale}.")
    originals = [(str(path), evaluation.read_hr(path)) for path in paths]
    rows, steps = [], len(scales) * (2 + len(originals))
    for done, scale in enumerate(scales):
        rows += _drawn_patterns(model, scale)
        rows += _drawn_scenes(model, scale)
        for index, (path, original) in enumerate(originals):
            progress((done * (2 + len(originals)) + 2 + index) / steps)
            try:
                rows += _as_input(model, scale, FOLDER, path, _middle(original))
                high, low = evaluation.degrade(original, scale)
                rows += _compressed(model, scale, FOLDER, path, high, low)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
        progress((done + 1) / len(scales))
    return rows


def summary(rows):
    """{(scale, what, measure): {"bicubic", "model"}} over the pictures of a kind: the mean of each measure, but of mean
    errors the largest ("largest mean error"), and of several pictures' consistency also the lowest ("lowest
    consistency"). Those two have the name of the model's worst picture besides, as "picture"."""
    groups = {}
    for row in rows:
        groups.setdefault((row.scale, row.what, row.measure), []).append(row)
    found = {}
    for (scale, what, measure), group in groups.items():
        if measure == "mean error":
            found[scale, what, "largest mean error"] = _worst(group, max)
            continue
        found[scale, what, measure] = {method: float(np.mean([getattr(row, method) for row in group]))
                                       for method in METHODS}
        if measure == "consistency" and len(group) > 1:
            found[scale, what, "lowest consistency"] = _worst(group, min)
    return found


def _worst(group, extreme):
    """Each method's own extreme, and the picture of the model's."""
    picture = extreme(group, key=lambda row: row.model).picture
    return {**{method: extreme(getattr(row, method) for row in group) for method in METHODS}, "picture": picture}


def _drawn_patterns(model, scale):
    for name, low in pictures.patterns():
        yield from _as_input(model, scale, PATTERNS, name, low)


def _drawn_scenes(model, scale):
    for name in pictures.SCENES:
        yield from _as_input(model, scale, f"{name}, aliased", name, pictures.aliased(name))
        high, low = pictures.antialiased(name, scale)
        yield from _as_input(model, scale, f"{name}, antialiased", name, low, high)
        yield from _compressed(model, scale, "drawn scenes", name, high, low)


def _as_input(model, scale, what, name, low, high=None):
    """Rows of a picture as it is; high: its original, where there is one."""
    size = high.shape[:2] if high is not None else tuple(math.floor(side * scale) for side in low.shape[:2])
    results = _results(model, low, size)
    for measure, function in (("mean error", measures.mean_error), ("consistency", measures.consistency)):
        yield Row(scale, what, name, measure, *(function(result, low) for result in results))
    if high is not None:
        yield _psnr(scale, what, name, results, high)


def _compressed(model, scale, what, name, high, low):
    """Rows of a picture that went through JPEG."""
    for quality in QUALITIES:
        given = measures.compressed(low, quality)
        results, kind = _results(model, given, high.shape[:2]), f"{what}, JPEG {quality}"
        yield _psnr(scale, kind, name, results, high)
        yield Row(scale, kind, name, "block edges", *(measures.block_edges(one, given.shape[:2]) for one in results))


def _psnr(scale, what, name, results, high):
    return Row(scale, what, name, "PSNR", *(evaluation.score(result, high, scale).psnr for result in results))


def _results(model, low, size):
    """(H, W, 3) uint8 by each of METHODS."""
    return evaluation.bicubic(low, size), evaluation.upscaled(model, low, size)


def _middle(picture):
    y, x = (max(extent - _MOST, 0) // 2 for extent in picture.shape[:2])
    return np.ascontiguousarray(picture[y:y + _MOST, x:x + _MOST])
