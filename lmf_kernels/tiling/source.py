"""The picture that is being upscaled, converted window by window: a large one never exists as floating point."""

import numpy as np
import torch

from ..errors import InputError

_INTEGERS = {"uint8": 255.0, "uint16": 65535.0}  # what stands for 1


class Source:
    """A batch of pictures to read windows from.

    Args:
        image: floating-point tensor (B, 3, h, w) in [0, 1]; or integers, as a numpy array or a tensor, uint8 (0 to 255)
            or uint16 (0 to 65535), channels last: (h, w, 3) or (B, h, w, 3). It is kept as it is.

    Attributes:
        shape: (B, h, w).

    Raises:
        InputError: it is none of these.
    """

    def __init__(self, image):
        self._unit = None
        if torch.is_tensor(image) and image.is_floating_point():
            if image.dim() != 4 or image.shape[1] != 3:
                raise InputError(f"A floating-point image is (B, 3, h, w), got {tuple(image.shape)}.")
            self._pixels, self.shape = image, (image.shape[0], *image.shape[2:])
        else:
            self._pixels = _channels_last(image)
            self._unit = _INTEGERS[_type_name(image)]
            self.shape = tuple(self._pixels.shape[:3])
        if 0 in self.shape:
            raise InputError(f"The image is empty: its shape is {tuple(image.shape)}.")

    def window(self, y0, x0, rows, cols, like):
        """The network's input, 2 * image - 1, of a window: (B, 3, rows, cols), dtype and device those of `like`."""
        if self._unit is None:
            image = self._pixels[:, :, y0:y0 + rows, x0:x0 + cols].to(like.device)
            return image * 2 - 1
        image = self._pixels[:, y0:y0 + rows, x0:x0 + cols]
        if isinstance(image, np.ndarray):  # a copy, so that the array may be read-only or byte-swapped
            image = torch.from_numpy(image.astype(np.float32))
        image = image.to(like.device, torch.promote_types(like.dtype, torch.float32), copy=True).div_(self._unit)
        return image.permute(0, 3, 1, 2).mul_(2).sub_(1).to(like.dtype)


def _channels_last(image):
    """Integer pixels as (B, h, w, 3)."""
    if not isinstance(image, (np.ndarray, torch.Tensor)):
        raise InputError("The image is a floating-point tensor (B, 3, h, w) or an array of integers (h, w, 3), "
                         f"got a {type(image).__name__}.")
    if _type_name(image) not in _INTEGERS:
        raise InputError(f"An array's pixels are {' or '.join(_INTEGERS)}, got {image.dtype}; "
                         "floating point comes as a tensor (B, 3, h, w).")
    if image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise InputError(f"Integer pixels are (h, w, 3) or (B, h, w, 3), got {tuple(image.shape)}.")
    return image if image.ndim == 4 else image[None]


def _type_name(image):
    """The name of an array's or a tensor's type, whatever its byte order."""
    return image.dtype.name if isinstance(image, np.ndarray) else str(image.dtype).removeprefix("torch.")
