"""What a picture file holds, as far as it matters here."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picture:
    """A picture, upright.

    pixels: (h, w, c) uint8 or uint16, full range; c is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not
        premultiplied). The values are the file's own, in the colour space of `icc`.
    icc: the colour profile's bytes, None for none (then sRGB is meant).
    exif: the camera's notes, orientation reset, None for none.
    notes: sentences about what was left out.
    dpi: (x, y), pixels per inch in print, None for none.
    jpeg_quality: of a JPEG file as libjpeg counts it, 1 to 100; None for other files.
    """

    pixels: np.ndarray
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple = ()
    dpi: tuple | None = None
    jpeg_quality: int | None = None

    @property
    def size(self):
        """(height, width) in pixels."""
        return self.pixels.shape[:2]

    @property
    def grey(self):
        """Whether it has one colour channel."""
        return self.pixels.shape[2] < 3

    @property
    def has_alpha(self):
        """Whether its last channel is alpha."""
        return self.pixels.shape[2] % 2 == 0

    @property
    def top(self):
        """The value of full intensity: 255 or 65535, or 1 for floating point."""
        return 1.0 if self.pixels.dtype.kind == "f" else np.iinfo(self.pixels.dtype).max
