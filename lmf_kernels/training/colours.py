"""Colours for drawn pictures: black and white, saturated, grey, any."""

import colorsys

import numpy as np


def draw_colour(rng):
    """(3,) uint8."""
    kind = rng.random()
    if kind < 0.25:
        return np.full(3, 255 * rng.integers(2), np.uint8)
    if kind < 0.45:
        return (255 * rng.integers(2, size=3)).astype(np.uint8)
    if kind < 0.6:
        return np.array([round(255 * part) for part in colorsys.hsv_to_rgb(rng.random(), 1, rng.random())], np.uint8)
    if kind < 0.75:
        return np.full(3, rng.integers(256), np.uint8)
    return rng.integers(256, size=3, dtype=np.uint8)


def draw_grey(rng):
    """(3,) uint8: black and white more often than what lies between, as in print."""
    return np.full(3, 255 * rng.integers(2) if rng.random() < 0.6 else rng.integers(256), np.uint8)


def draw_pair(rng):
    """Two colours, (3,) uint8 each, as different as any or only a little: contrasts of every size occur.

    Often the second is the first with some channels inverted, as blue beside black, red beside green, magenta beside
    white: channels that alternate against each other are the hardest to keep.
    """
    first = draw_colour(rng)
    inverted = rng.random() < 0.4
    second = np.where(rng.random(3) < 0.6, 255 - first, first) if inverted else draw_colour(rng)
    if rng.random() < 0.4:
        share = rng.uniform(0.1, 1)
        second = np.rint(first + share * (second.astype(float) - first)).astype(np.uint8)
    return first, second


def as_tuple(colour):
    """The colour as Pillow takes it."""
    return tuple(int(part) for part in colour)
