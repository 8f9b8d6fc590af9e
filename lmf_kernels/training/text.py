"""Random text for drawn pictures."""

from .fonts import font

_LETTERS = list("abcdefghijklmnopqrstuvwxyzeeeaaooiinnrrttss")
_CAPITALS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_OTHERS = list("0123456789.,:;-+=/()[]{}<>#%&@!?*_|")


def random_words(rng, length):
    """About `length` characters: words, capitals, numbers and signs."""
    text = ""
    while len(text) < length:
        kind, count = rng.random(), rng.integers(1, 9)
        if kind < 0.6:
            word = "".join(rng.choice(_LETTERS, count))
        elif kind < 0.75:
            word = str(rng.choice(_CAPITALS)) + "".join(rng.choice(_LETTERS, count))
        elif kind < 0.85:
            word = "".join(rng.choice(_CAPITALS, count))
        else:
            word = "".join(rng.choice(_OTHERS, count))
        text += word + " "
    return text


def draw_text(
    rng,
    pen,  # ImageDraw
    side,
    size,
    colour,
    fonts=(),
):
    """Write one to four lines of text somewhere on a square picture.

    Args:
        side: of the picture, pixels. size: of the font, pixels. colour: as Pillow takes it.
        fonts: paths of font files; Pillow's own font takes a share in any case.
    """
    chosen = rng.integers(-1, len(fonts))
    face = font(None if chosen < 0 else fonts[chosen], size)
    x, y = (int(place) for place in rng.integers(-size, max(side - size, 1), size=2))
    for line in range(rng.integers(1, 5)):
        pen.text((x, y + round(1.25 * size * line)), random_words(rng, 2.5 * side / size), fill=colour, font=face)
