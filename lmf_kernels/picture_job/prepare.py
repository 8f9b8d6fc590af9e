"""All that can be wrong with a picture's files and the size asked for, found before a model runs."""

import os
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..images import Animation, Picture, check_output, check_room, format_of, options_of, read_animation, read_picture
from .placement import Placement, place


@dataclass(frozen=True)
class Job:
    """One file's work, checked.

    picture: the input, a Picture or, where the output's format is animated too, an Animation. placement: the output's
    size and what is kept of it. channels, dtype: of the output, as in Picture. quality: of the output, None for its
    format's own. notes: sentences about what the output's format cannot keep, and what the input's reader left out.
    """

    source: str
    target: str
    picture: Picture | Animation
    placement: Placement
    channels: int
    dtype: type
    quality: int | None
    notes: tuple

    @property
    def size(self):
        """(H, W) of the output."""
        return self.placement.size

    @property
    def animated(self):
        """Whether all frames of an animation are upscaled."""
        return isinstance(self.picture, Animation)


def prepare(source, target, scale=None, box=None, *, quality=None, max_pixels=None, overwrite=False):
    """Read `source` and check everything: Job.

    Args:
        source, target: picture files; target's suffix names its format.
        scale, box: as in `place`.
        quality: 1 to 100, for formats that take one; None: 95, and 90 for AVIF.
        max_pixels: as in `images.read_picture`.
        overwrite: target may be source itself.

    Raises:
        InputError: a file, the scale, the size or the quality cannot be used, or the disk may be too small.
    """
    source, target = os.fspath(source), os.fspath(target)
    check_output(target)
    options_of(target, quality)
    if not overwrite and os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise InputError(f"{target} is the input itself; give another output, or allow to overwrite it (--overwrite).")
    form = format_of(target)
    animation = read_animation(source, max_pixels) if form.animated else None
    picture = animation or read_picture(source, max_pixels)
    placement = place(picture.size, scale, box)
    check_output(target, placement.size)
    alpha = picture.has_alpha and form.alpha
    deep = animation is None and picture.pixels.dtype == np.uint16
    dtype = np.uint16 if deep and form.sixteen else np.uint8
    notes = [] if animation else list(picture.notes)
    if picture.has_alpha and not alpha:
        notes.append(f"{target}: {form.name} keeps no transparency here; the picture is laid on white.")
    if deep and dtype == np.uint8:
        notes.append(f"{target}: {form.name} has no 16 bits a channel; 8 are written.")
    if form.name == "GIF":
        notes.append(f"{target}: GIF holds at most 256 colours per frame.")
    channels = (1 if animation is None and picture.grey else 3) + alpha
    check_room(target, placement.size, channels, dtype)
    return Job(source, target, picture, placement, channels, dtype, quality, tuple(notes))
