"""PSNR and SSIM on test sets, the way the literature measures them.

Y recipe (Set5, Set14, B100, Urban100): PSNR and SSIM of the Y channel of ITU-R BT.601, the factor's pixels shaved off
each side. RGB recipe (DIV2K tables of LIIF and its successors): all three channels, factor + 6 pixels shaved. In both,
HR is cropped to a multiple of the factor and reduced by antialiased bicubic interpolation with a = -0.5 (as MATLAB's
imresize), and every picture is rounded to 8 bits, as a file would hold it. SSIM: Wang et al. 2004, 11x11 Gaussian
window of sigma 1.5. Colours, PSNR and SSIM are scikit-image's.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from .errors import InputError
from .images import read_picture
from .images.colour import split
from . import optional
from .upscale import upscale

_WINDOW = 11  # SSIM's, pixels


@dataclass(frozen=True)
class Recipe:
    """How pictures are compared. rgb: all three channels, not Y."""

    rgb: bool = False

    def shave(self, scale):
        """Pixels left out at each side: the factor, fractional ones rounded up; 6 more for RGB."""
        return math.ceil(scale) + (6 if self.rgb else 0)

    def __str__(self):
        channels, shaved = ("RGB", "factor + 6") if self.rgb else ("Y channel (ITU-R BT.601)", "factor")
        return (f"{channels}, 8 bits; {shaved} pixels shaved off each side; HR cropped to a multiple of the factor; "
                "LR by antialiased bicubic, a = -0.5 (Pillow); SSIM 11x11 Gaussian, sigma 1.5")


@dataclass(frozen=True)
class Score:
    """psnr: dB, inf for equal pictures. ssim: at most 1."""

    psnr: float
    ssim: float


def read_hr(path):
    """A picture as evaluation takes it: (h, w, 3) uint8, alpha dropped, grey as three equal channels."""
    picture = read_picture(path)
    colours = split(picture, fill=False)[0]
    return colours if colours.dtype == np.uint8 else np.rint(colours / 257).astype(np.uint8)


def degrade(
    hr,  # (H, W, 3) uint8
    scale,
):
    """(hr, lr): the original cropped to a multiple of scale, and reduced by it. Fractional scales as LIIF has them:
    lr has floor(H / scale) rows, hr keeps the nearest whole number to scale times that.

    Raises:
        InputError: scale is no finite number of at least 1, or nothing would be left.
    """
    if not (math.isfinite(scale) and scale >= 1):
        raise InputError(f"A factor to evaluate is a finite number of at least 1, got {scale}.")
    small = [math.floor(side / scale + 1e-9) for side in hr.shape[:2]]
    if min(small) < 1:
        raise InputError(f"A picture of {hr.shape[1]}x{hr.shape[0]} pixels would be empty when reduced by {scale:g}; "
                         "give a smaller factor.")
    large = [min(round(side * scale), most) for side, most in zip(small, hr.shape)]
    hr = hr[:large[0], :large[1]]
    return hr, bicubic(hr, small)


def bicubic(
    image,  # (h, w, 3) uint8
    size,  # (H, W)
):
    """The picture at another size by bicubic interpolation, a = -0.5, antialiased where it shrinks: uint8."""
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def upscaled(
    model,
    lr,  # (h, w, 3) uint8
    size,  # (H, W)
    tta=False,
):
    """The model's picture of that size, with tta that of its self-ensemble: (H, W, 3) uint8."""
    weight = next(model.parameters())
    image = torch.from_numpy(lr.copy()).permute(2, 0, 1)[None].to(weight.device, weight.dtype) / 255
    return upscale(model, image, size=size, tta=tta, dtype=torch.uint8, layout="nhwc")[0].cpu().numpy()


def score(
    result,  # (H, W, 3) uint8
    hr,  # (H, W, 3) uint8
    scale,
    recipe=Recipe(),
):
    """How near a result is to the original: Score.

    Raises:
        InputError: too little is left within the shaved border, or scikit-image is missing.
    """
    color, metrics = _skimage()
    shave = recipe.shave(scale)
    if min(hr.shape[:2]) - 2 * shave < _WINDOW:
        raise InputError(f"A picture of {hr.shape[1]}x{hr.shape[0]} pixels is too small to evaluate at x{scale:g}: "
                         f"{shave} pixels are shaved off each side, and SSIM needs {_WINDOW}x{_WINDOW}.")
    result, hr = (image[shave:-shave, shave:-shave] for image in (result, hr))
    if recipe.rgb:
        result, hr = result.astype(np.float64), hr.astype(np.float64)
    else:
        result, hr = color.rgb2ycbcr(result)[..., 0], color.rgb2ycbcr(hr)[..., 0]
    psnr = math.inf if np.array_equal(result, hr) else metrics.peak_signal_noise_ratio(hr, result, data_range=255)
    ssim = metrics.structural_similarity(
        hr, result, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=-1 if recipe.rgb else None)
    return Score(float(psnr), float(ssim))


def evaluate(model, paths, scales, recipe=Recipe(), *, tta=False, progress=lambda share: None):
    """Scores of the model and of bicubic interpolation on originals at each scale; with tta its self-ensemble too.

    Returns:
        A list of {"scale", "picture", "size": (H, W) compared, "bicubic": Score, "model": Score}; with tta also
        "tta": Score.

    Raises:
        InputError: a picture cannot be read or used, a scale is unusable, or scikit-image is missing.
    """
    _skimage()
    rows = []
    for path in paths:
        original = read_hr(path)
        for scale in scales:
            try:
                hr, lr = degrade(original, scale)
                size = hr.shape[:2]
                results = {"bicubic": bicubic(lr, size), "model": upscaled(model, lr, size)}
                if tta:
                    results["tta"] = upscaled(model, lr, size, tta=True)
                scores = {name: score(result, hr, scale, recipe) for name, result in results.items()}
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
            rows.append({"scale": scale, "picture": str(path), "size": size, **scores})
            progress(len(rows) / (len(paths) * len(scales)))
    return rows


def means(rows):
    """{scale: {"bicubic": Score, "model": Score}}, with "tta" too where that was measured: each the mean over the
    pictures, as tables have it."""
    result = {}
    for scale in dict.fromkeys(row["scale"] for row in rows):
        here = [row for row in rows if row["scale"] == scale]
        result[scale] = {name: Score(*(float(np.mean([getattr(row[name], what) for row in here]))
                                       for what in ("psnr", "ssim"))) for name in ("bicubic", "model", "tta")
                         if name in here[0]}
    return result


def _skimage():
    optional.required("skimage", "scikit-image", "Evaluation", "'lmf-kernels[eval]'")
    from skimage import color, metrics

    return color, metrics
