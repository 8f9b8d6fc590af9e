"""Drawn pictures: text, lines, shapes, gratings, parts of user interfaces; drawn large and averaged down.

Lengths are in LR pixels, so that after any reduction a patch holds details from half a pixel to the whole patch.
"""

import numpy as np
from PIL import Image, ImageDraw

from .colours import as_tuple, draw_colour, draw_grey, draw_pair
from .text import draw_text

_SUPERSAMPLING = 2


def draw_graphic(rng, patch, side, fonts=()):
    """(side, side, 3) uint8, antialiased.

    Args:
        patch: side of the LR patch that it will be reduced to. side: of the picture.
        fonts: paths of font files, for text.
    """
    canvas = _Canvas(rng, patch, _SUPERSAMPLING * side, fonts)
    for _ in range(rng.integers(1, 8)):
        kind = rng.choice(_KINDS, p=_SHARES)
        kind(canvas)
    return np.asarray(canvas.picture.reduce(_SUPERSAMPLING))


class _Canvas:
    """A square picture being drawn, with what the shapes need."""

    def __init__(self, rng, patch, side, fonts):
        self.rng, self.side, self.fonts = rng, side, fonts
        self.unit = side / patch  # an LR pixel
        self.palette = [draw_grey(rng) if grey else draw_colour(rng) for grey in [rng.random() < 0.35] * 6]
        self.picture = Image.new("RGB", (side, side), self.colour())
        if rng.random() < 0.3:
            self.picture.paste(self.ramp())
        self.pen = ImageDraw.Draw(self.picture)

    def colour(self):
        """One of a picture's few; as Pillow takes it."""
        return as_tuple(self.palette[self.rng.integers(len(self.palette))])

    def length(self, low, high):
        """Random, in the canvas's pixels: from `low` to `high` LR pixels, small ones as often as large ones."""
        return max(1, round(self.unit * np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def box(self):
        """(left, top, right, bottom) somewhere; on the LR grid every other time, as a screen's boxes are."""
        width, height = self.length(3, 32), self.length(3, 32)
        left, top = self.rng.integers(-width // 2, self.side, size=2)
        ends = np.array([left, top, left + width, top + height])
        if self.rng.random() < 0.5:
            ends = np.rint(np.rint(ends / self.unit) * self.unit)
        left, top, right, bottom = (int(end) for end in ends)
        return left, top, max(right, left + 1) - 1, max(bottom, top + 1) - 1

    def ramp(self):
        """A gradient of two colours in any direction."""
        down, right = self.rng.uniform(-1, 1, 2)
        at = np.linspace(-0.5, 0.5, self.side)
        return self.mixed(np.clip(0.5 + down * at[:, None] + right * at, 0, 1))

    def mixed(
        self,
        share,  # (side, side) in [0, 1]
    ):
        """Two colours mixed, as a Pillow image."""
        first, second = (colour.astype(np.float32) for colour in draw_pair(self.rng))
        values = first + share.astype(np.float32)[..., None] * (second - first)
        return Image.fromarray(np.rint(values).astype(np.uint8))


# Things to draw

def _write(canvas):
    draw_text(canvas.rng, canvas.pen, canvas.side, canvas.length(5, 24), canvas.colour(), canvas.fonts)


def _draw_lines(canvas):
    colour, width = canvas.colour(), canvas.length(0.4, 4)
    for _ in range(canvas.rng.integers(1, 6)):
        ends = canvas.rng.integers(-canvas.side // 4, canvas.side + canvas.side // 4, size=4)
        if canvas.rng.random() < 0.4:
            axis = canvas.rng.integers(2)  # upright or level
            ends[2 + axis] = ends[axis]
        canvas.pen.line([int(place) for place in ends], fill=colour, width=width)


def _draw_round(canvas):
    fill = canvas.colour() if canvas.rng.random() < 0.4 else None
    canvas.pen.ellipse(canvas.box(), fill=fill, outline=canvas.colour(), width=canvas.length(0.4, 4))


def _draw_polygon(canvas):
    corners = canvas.rng.integers(canvas.side, size=(canvas.rng.integers(3, 7), 2))
    canvas.pen.polygon([tuple(int(place) for place in corner) for corner in corners], fill=canvas.colour())


def _draw_box(canvas):
    """A box of a user interface: filled, with a border, often rounded and with text."""
    box, border = canvas.box(), max(1, round(canvas.unit * canvas.rng.choice((1, 1, 2))))
    radius = canvas.length(1, 6) if canvas.rng.random() < 0.4 else 0
    canvas.pen.rounded_rectangle(box, radius=min(radius, (box[2] - box[0]) // 2, (box[3] - box[1]) // 2),
                                 fill=canvas.colour(), outline=canvas.colour() if canvas.rng.random() < 0.6 else None,
                                 width=border)
    if canvas.rng.random() < 0.5:
        _write(canvas)


def _fill_part(canvas, filling):
    """A box, an ellipse or all of the canvas with a filling."""
    where, kind = Image.new("1", canvas.picture.size, 0), canvas.rng.random()
    pen = ImageDraw.Draw(where)
    if kind < 0.3:
        pen.rectangle((0, 0, *canvas.picture.size), fill=1)
    else:
        (pen.rectangle if kind < 0.7 else pen.ellipse)(canvas.box(), fill=1)
    canvas.picture.paste(filling, mask=where)


def _draw_grating(canvas):
    """Waves or bars in any direction, from one and a half LR pixels a period; crossed: checkers."""
    rng, at = canvas.rng, np.arange(canvas.side, dtype=np.float32) + 0.5
    angle = rng.uniform(0, np.pi) if rng.random() < 0.7 else np.pi / 2 * rng.integers(2)
    wave = np.ones((), np.float32)
    for turn in (0, np.pi / 2)[:rng.integers(1, 3)]:
        along = np.sin(angle + turn) * at[:, None] + np.cos(angle + turn) * at
        period = canvas.unit * np.exp(rng.uniform(np.log(1.5), np.log(12)))
        wave = wave * np.sin(2 * np.pi / period * along + rng.uniform(0, 2 * np.pi))
    _fill_part(canvas, canvas.mixed(0.5 + 0.5 * wave if rng.random() < 0.4 else wave > 0))


def _draw_ramp(canvas):
    _fill_part(canvas, canvas.ramp())


_KINDS, _SHARES = zip((_write, 0.38), (_draw_lines, 0.17), (_draw_round, 0.09), (_draw_polygon, 0.06),
                      (_draw_box, 0.14), (_draw_grating, 0.12), (_draw_ramp, 0.04))
