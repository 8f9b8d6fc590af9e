"""Quick validation of a model in training: PSNR on a few crops, beside bicubic's."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

SCALES = (2, 4)
_SIDE = 192  # of a crop at most; a multiple of every scale


class Validation:
    """Crops from the middle of pictures, with their antialiased bicubic reductions, kept ready.

    Values are means over the crops of the PSNR in dB over RGB, a border as wide as the scale left out. This is a sign
    of progress, not a benchmark; bicubic's is torch's.

    Args:
        pictures: [data.Picture].
        device: where the model is.
    """

    def __init__(self, pictures, device):
        self._cases = [(scale, *_case(picture.pixels, scale, device)) for scale in SCALES for picture in pictures]
        self.bicubic = self._means(lambda low, size: F.interpolate(low, size, mode="bicubic").clamp(0, 1))

    @torch.no_grad()
    def __call__(self, model):
        """{scale: dB} of a model in evaluation mode."""
        return self._means(lambda low, size: model.render_grid(low * 2 - 1, size, epilogue="unit"))

    def _means(self, upscale):
        found = {scale: [] for scale in SCALES}
        for scale, low, high in self._cases:
            error = (upscale(low, high.shape[-2:]) - high)[..., scale:-scale, scale:-scale]
            found[scale].append(-10 * error.square().mean().clamp_min(1e-10).log10().item())
        return {scale: sum(values) / len(values) for scale, values in found.items()}


def _case(pixels, scale, device):
    """(1, 3, h, w) and (1, 3, h * scale, w * scale) in [0, 1]."""
    height, width = (min(_SIDE, extent) // scale * scale for extent in pixels.shape[:2])
    y, x = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    high = Image.fromarray(pixels[y:y + height, x:x + width])
    low = high.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    return (_tensor(low, device), _tensor(high, device))


def _tensor(picture, device):
    return torch.from_numpy(np.array(picture)).to(device).permute(2, 0, 1)[None].float().div(255)
