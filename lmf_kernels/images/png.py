"""PNG with 16 bits a channel in colours or with alpha, which Pillow has no mode for: read by imagecodecs."""

import numpy as np

from .. import optional

_GREY = 0  # colour type


def read_sixteen_bits(path, key=None):
    """The pixels (h, w, c) uint16 of a PNG with 16 bits in colours or with alpha, which Pillow has no mode for; None of
    any other PNG. key: the colour that the file names transparent, if it does.

    Raises:
        InputError: imagecodecs is missing.
    """
    with open(path, "rb") as file:
        content = file.read(26)
        if content[24] != 16 or content[25] == _GREY:
            return None
        content += file.read()
    what = f"Reading {path}, a PNG with 16 bits in colours or with alpha,"
    imagecodecs = optional.required("imagecodecs", "imagecodecs", what)
    pixels = imagecodecs.png_decode(content)
    if key is None or pixels.shape[2] != 3:
        return pixels
    seen = (pixels != np.asarray(key, pixels.dtype)).any(axis=2, keepdims=True)
    return np.concatenate((pixels, seen * np.uint16(65535)), axis=2)
