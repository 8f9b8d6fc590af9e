"""How hard JPEG has compressed a picture."""

import functools
import io

from PIL import Image


def quality_of(opened):
    """The quality of an opened JPEG as libjpeg counts it, 1 to 100; None for other files.

    Programs count differently, or have tables of their own. So it is the quality whose table of luma steps is the most
    alike in its sum, which every program that quantises more coarsely raises.
    """
    tables = getattr(opened, "quantization", None)
    if opened.format not in ("JPEG", "MPO") or not tables:
        return None
    found = sum(tables[min(tables)])
    return min(range(1, 101), key=lambda quality: abs(_sums()[quality - 1] - found))


@functools.cache
def _sums():
    """Sums of libjpeg's luma table at qualities 1 to 100, taken from files that it writes."""
    sums = []
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as opened:
            sums.append(sum(opened.quantization[0]))
    return sums
