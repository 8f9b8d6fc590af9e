"""Test pictures: pixel patterns, and scenes of text, line art and a screen. Drawn apart from the training pictures."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..area import resized_by_area

SIDE = 48  # of a pattern, LR pixels
SCENE = 96  # of a scene, LR pixels
_FINE = 12  # a scene is drawn so many times as large
_BAYER = np.array([[0, 2], [3, 1]])
_PAIRS = {  # colours from 0 to 255
    "black and white": ((0, 0, 0), (255, 255, 255)), "grey, amplitude 0.5": ((64, 64, 64), (191, 191, 191)),
    "light, amplitude 0.2": ((204, 204, 204), (255, 255, 255)), "blue and black": ((0, 0, 255), (0, 0, 0)),
    "red and green": ((255, 0, 0), (0, 255, 0)), "magenta and white": ((255, 0, 255), (255, 255, 255)),
    "orange and teal": ((240, 140, 20), (10, 110, 120)),
}


def patterns():
    """Yield (name, (SIDE, SIDE, 3) uint8): stripes, checkers, gratings and dither in several colours and amplitudes."""
    for colours, (first, second) in _PAIRS.items():
        first, second = np.array(first, float), np.array(second, float)
        for name, share in _shares():
            yield f"{name}, {colours}", np.rint(first + share[..., None] * (second - first)).astype(np.uint8)


def _shares():
    """Yield (name, (SIDE, SIDE) in [0, 1])."""
    y, x = np.mgrid[:SIDE, :SIDE]
    for direction, along in (("level", y), ("upright", x), ("diagonal", x + y)):
        for period in (2, 3, 4, 6)[direction == "diagonal":]:  # of period 2 they are checkers
            yield f"{direction} stripes of period {period}", (along % period < period // 2).astype(float)
    for width in (1, 2, 3):
        yield f"checkers of {width} pixels", ((y // width + x // width) % 2).astype(float)
    for period in (2, 3, 4, 5, 6):
        for degrees in (0, 30, 90) if period > 2 else (30,):  # along an axis they are stripes
            along = math.cos(math.radians(degrees)) * x + math.sin(math.radians(degrees)) * y
            yield (f"grating of period {period} at {degrees} degrees",
                   0.5 + 0.5 * np.cos(2 * math.pi * along / period))
    matrix = _BAYER
    for side in (2, 4, 8):
        thresholds = (matrix[y % side, x % side] + 0.5) / matrix.size
        for tone in (0.3, 0.8):  # 0.5 is checkers
            yield f"{side}x{side} dither of {tone:g}", (thresholds < tone).astype(float)
        yield f"{side}x{side} dither of a ramp", (thresholds < x / (SIDE - 1)).astype(float)
        matrix = np.block([[4 * matrix + part for part in row] for row in _BAYER])


# Scenes: a function of a pen, whose lengths are LR pixels times `unit`

_WORDS = ("The quick brown fox jumps", "over 13 lazy dogs; 24,680", "ILLUMINATION (fig. 7)", "sphinx of black quartz",
          "x^2 + y^2 = r^2 [m/s]", "judge my vow: #A0B1C2", "WAXY & zippy @ 98.6%")


def _text(pen, unit):
    pen.rectangle((0, 0, SCENE * unit, SCENE * unit), fill="white")
    pen.rectangle((0, 48 * unit, SCENE * unit, SCENE * unit), fill=(20, 24, 40))
    inks = ("black", (0, 0, 200), (190, 0, 0), (90, 90, 90), "white", (255, 210, 0), (0, 230, 160))
    for row, (words, ink, size) in enumerate(zip(_WORDS, inks, (9, 10, 11, 8, 9, 12, 10))):
        pen.text((2 * unit, (1 + 13.4 * row) * unit), words, fill=ink, font=ImageFont.load_default(size * unit))


def _lines(pen, unit):
    pen.rectangle((0, 0, SCENE * unit, SCENE * unit), fill="white")
    pen.rectangle((SCENE // 2 * unit, SCENE // 2 * unit, SCENE * unit, SCENE * unit), fill=(0, 60, 160))
    for turn in range(12):
        angle = math.pi * turn / 12 + 0.1
        ends = [(24 + sign * 22 * math.cos(angle), 24 + sign * 22 * math.sin(angle)) for sign in (-1, 1)]
        pen.line([(unit * x, unit * y) for x, y in ends], fill="black", width=unit)
    for radius in (4, 8, 13, 20):
        pen.ellipse([unit * (72 - radius), unit * (24 - radius), unit * (72 + radius), unit * (24 + radius)],
                    outline=("red", "black", "blue", (0, 140, 0))[radius % 4], width=unit)
    for inset in (2, 7, 14):
        pen.rectangle([unit * inset, unit * (50 + inset), unit * (45 - inset), unit * (93 - inset)],
                      outline=(30, 30, 30), width=unit)
        pen.rounded_rectangle([unit * (50 + inset), unit * (50 + inset), unit * (93 - inset), unit * (93 - inset)],
                              radius=5 * unit, outline=(255, 220, 40), width=unit)


def _screen(pen, unit):
    pen.rectangle((0, 0, SCENE * unit, SCENE * unit), fill=(236, 238, 242))
    pen.rectangle((0, 0, SCENE * unit, 14 * unit - 1), fill=(38, 90, 190))
    pen.text((4 * unit, 1 * unit), "Settings", fill="white", font=ImageFont.load_default(10 * unit))
    for row, label in enumerate(("Open file...", "Recent", "Export as", "Quit")):
        top = (18 + 19 * row) * unit
        pen.rounded_rectangle([4 * unit, top, 92 * unit - 1, top + 16 * unit - 1], radius=3 * unit, fill="white",
                              outline=(170, 175, 185), width=unit)
        pen.text((9 * unit, top + 1 * unit), label, fill=(25, 25, 30), font=ImageFont.load_default(10 * unit))
        pen.rectangle([76 * unit, top + 4 * unit, 84 * unit - 1, top + 12 * unit - 1],
                      fill=((46, 160, 67), (220, 40, 40), (250, 190, 20), (60, 60, 220))[row])


SCENES = {"text": _text, "line art": _lines, "screen": _screen}


def aliased(name):
    """(SCENE, SCENE, 3) uint8: a scene drawn pixel by pixel, nothing between two colours."""
    picture, pen = _canvas(1)
    pen.fontmode = "1"
    SCENES[name](pen, 1)
    return np.asarray(picture)


def antialiased(name, scale):
    """(high, low): a scene averaged down from a fine drawing, (H, W, 3) and (SCENE, SCENE, 3) uint8.

    H and W are floor(scale * SCENE), as `lmf_kernels.upscale` has them.
    """
    picture, pen = _canvas(_FINE)
    SCENES[name](pen, _FINE)
    fine = np.asarray(picture)
    return tuple(np.rint(resized_by_area(fine, (side, side))).astype(np.uint8)
                 for side in (math.floor(scale * SCENE), SCENE))


def _canvas(unit):
    picture = Image.new("RGB", (SCENE * unit, SCENE * unit))
    return picture, ImageDraw.Draw(picture)
