"""From a picture's size and what was asked for to the size that is rendered and the part of it that is kept."""

from typing import NamedTuple

from ..errors import InputError
from ..request import output_size

FITS = ("inside", "fill", "stretch")


class Box(NamedTuple):
    """A size in pixels to bring pictures to.

    height, width: either may be None, but not both: it follows from the other and the picture's aspect ratio.
    fit: "inside": as large as fits inside the box, keeping the aspect ratio. "fill": the exact box, keeping the aspect
        ratio; what reaches beyond it is cut off, the same on both sides. "stretch": the exact box.
    """

    height: int | None
    width: int | None
    fit: str = "inside"


class Placement(NamedTuple):
    """rendered: (H, W) that the whole picture is brought to. size: (H, W) of the part of it that is kept. origin:
    (y, x) where that part begins."""

    rendered: tuple
    size: tuple
    origin: tuple = (0, 0)


def place(lr_size, scale=None, box=None):
    """The Placement of a picture of lr_size (h, w).

    Args:
        scale: as in `lmf_kernels.upscale`.
        box: a Box, in place of scale.

    Raises:
        InputError: neither or both are given, or one is not usable.
    """
    if scale is not None and box is not None:
        raise InputError("Give either scale or size, not both.")
    if box is None:
        size = output_size(lr_size, scale)
        return Placement(size, size)
    sides = (box.height, box.width)
    given = [side for side in sides if side is not None]
    if box.fit not in FITS:
        raise InputError(f"fit is one of {', '.join(map(repr, FITS))}, got {box.fit!r:.40}.")
    if not given or len(given) < 2 and box.fit != "inside":
        raise InputError(f"A size has a height and a width in pixels; only the fit 'inside' takes one of them alone, "
                         f"got {sides} and {box.fit!r}.")
    output_size(lr_size, size=(given * 2)[:2])  # whole numbers from 1
    if box.fit == "stretch":
        return Placement(sides, sides)
    ratios = [side / n for side, n in zip(sides, lr_size) if side is not None]
    ratio = max(ratios) if box.fit == "fill" else min(ratios)
    rendered = output_size(lr_size, size=tuple(max(1, round(n * ratio)) for n in lr_size))
    if box.fit == "inside":
        return Placement(rendered, rendered)
    rendered = tuple(map(max, rendered, sides))
    return Placement(rendered, sides, tuple((whole - kept) // 2 for whole, kept in zip(rendered, sides)))
