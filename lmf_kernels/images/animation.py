"""Animated GIF, WebP and PNG: frames read one by one, written with their durations and loop count. Pillow does both."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from ..errors import InputError
from ..files import atomic_write
from .picture import Picture
from .read import quietly, reporting_damage, size_check
from .write import check_output, format_of, options_of

_FORMATS = ("GIF", "WEBP", "PNG")


@dataclass(frozen=True)
class Animation:
    """An animated picture, whose frames are read again by every `frames`.

    size: (h, w) in pixels. durations: milliseconds per frame. plays: how often it is played, 0 for endless.
    still_first: the first frame is shown only where animations are not (a PNG's default image). icc: colour profile.
    """

    path: str
    size: tuple
    durations: tuple
    plays: int
    has_alpha: bool
    still_first: bool = False
    icc: bytes | None = None

    @property
    def count(self):
        """How many frames there are."""
        return len(self.durations) + self.still_first

    def frames(self):
        """Yield each frame, composed with those before it: Picture, RGB, with alpha where any frame has it."""
        with reporting_damage(self.path):
            with quietly():
                opened = Image.open(self.path)
            with opened:
                for index in range(self.count):
                    with quietly():  # not while the receiver works: its own warnings are to be seen
                        opened.seek(index)
                        pixels = np.asarray(opened.convert("RGBA" if self.has_alpha else "RGB"))
                    yield Picture(pixels, self.icc)


def is_animated(path):
    """Whether a file holds an animation; False for a file that cannot be read."""
    try:
        with quietly(), Image.open(path, formats=_FORMATS) as opened:
            return bool(getattr(opened, "is_animated", False))
    except Exception:  # readers report damage with many types; whoever reads the picture says which
        return False


def read_animation(path, max_pixels=None):
    """The Animation that a file holds, or None if it holds a still picture or is of a kind that is not animated here.

    Args and errors are those of `read_picture`. Every frame is decoded once, to learn durations and transparency.
    """
    check_size = size_check(path, max_pixels)
    with reporting_damage(path), quietly():
        try:
            opened = Image.open(path, formats=_FORMATS)
        except UnidentifiedImageError:
            return None
        with opened:
            check_size(*opened.size)
            animated = getattr(opened, "is_animated", False) and not opened.mode.startswith("I")
            return _animation(path, opened) if animated else None


def write_animation(
    path,
    frames,  # iterable of (H, W, 3) or (H, W, 4) uint8, all of one shape
    animation,  # the Animation that they were made of
    quality=None,
):
    """Write an animation, whole or not at all. Pillow holds all its frames in memory.

    Raises:
        InputError: the folder cannot be written, or the format takes no animation, such frames or a quality.
    """
    form = format_of(path)
    pictures = [Image.fromarray(_opaque_or_clear(frame) if form.name == "GIF" else frame) for frame in frames]
    check_output(path, pictures[0].size[::-1])
    given = {"duration": list(animation.durations), "icc_profile": animation.icc, **_loop(form.name, animation.plays)}
    if form.name == "PNG":
        given["default_image"] = animation.still_first
    elif animation.still_first:
        pictures = pictures[1:]
    if form.name == "GIF" and animation.has_alpha:
        given["disposal"] = 2  # clear each frame before the next, which else would show through
    with atomic_write(path) as temporary, open(temporary, "w+b") as file:
        try:
            pictures[0].save(file, form.name, save_all=True, append_images=pictures[1:],
                             **options_of(path, quality), **given)
        except ValueError as error:
            raise InputError(f"Cannot write {path}: {error}.") from None


def _plays(form, loop):
    """How often a file is played, 0 for endless. A GIF counts its repeats, and is played once where it has no count."""
    if form == "GIF":
        return 1 if loop is None else loop and loop + 1
    return loop or 0


def _loop(form, plays):
    """The same as what Pillow writes for a format."""
    if form == "GIF":
        return {} if plays == 1 else {"loop": plays and plays - 1}
    return {"loop": plays}


def _opaque_or_clear(
    pixels,  # (H, W, 3) or (H, W, 4) uint8
):
    """Alpha as a GIF has it: all or nothing."""
    if pixels.shape[2] == 3:
        return pixels
    return np.concatenate((pixels[..., :3], np.where(pixels[..., 3:] < 128, 0, 255).astype(np.uint8)), axis=2)


def _animation(path, opened):
    """The Animation of an opened picture."""
    form, info = opened.format, dict(opened.info)
    still_first = bool(info.get("default_image"))
    durations, has_alpha = [], False
    for index, frame in enumerate(ImageSequence.Iterator(opened)):
        alpha = frame.convert("RGBA").getchannel("A")  # also decodes the frame, which WebP's duration waits for
        has_alpha = has_alpha or alpha.getextrema()[0] < 255
        if index or not still_first:
            durations.append(frame.info.get("duration", 0))
    return Animation(path, (opened.height, opened.width), tuple(durations), _plays(form, info.get("loop")), has_alpha,
                     still_first, info.get("icc_profile"))
