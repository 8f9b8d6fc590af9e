"""Between a picture's values and what the model takes and gives: RGB in [0, 1], alpha beside it."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Unsuitable(Exception):
    """A picture whose values have no agreed range; the message says which."""


def pixels_of(
    opened,  # PIL.Image.Image, of at most 8 bits a channel, or 16 bits of grey alone
):
    """(pixels (h, w, c) uint8 or uint16, ICC profile or None) of a picture that Pillow reads.

    Raises:
        Unsuitable: it holds values without an agreed range.
    """
    icc = opened.info.get("icc_profile")
    mode, key = opened.mode, opened.info.get("transparency")
    if mode == "F":
        raise Unsuitable("it holds floating-point pixels, which have no agreed range")
    if mode.startswith("I"):
        return _sixteen_bit_grey(np.asarray(opened), key), icc
    if mode in ("CMYK", "LAB"):
        opened, icc = _to_srgb(opened, icc), None
    elif mode in ("P", "PA"):
        opened = opened.convert("RGBA" if mode == "PA" or key is not None else "RGB")
    elif mode in ("1", "L") and key is not None:
        opened = opened.convert("L")
        alpha = Image.fromarray(np.where(np.asarray(opened) == _key_of_grey(mode, key), 0, 255).astype(np.uint8))
        opened = Image.merge("LA", (opened, alpha))
    elif mode == "RGB" and key is not None:
        opened = opened.convert("RGBA")
    else:
        into = {"1": "L", "La": "LA", "RGBa": "RGBA"}.get(mode, mode)
        opened = opened.convert(into if into in ("L", "LA", "RGB", "RGBA") else "RGB")
    pixels = np.array(opened)
    return (pixels if pixels.ndim == 3 else pixels[..., None]), icc


def fitting_profile(icc, channels):
    """The ICC profile, when it speaks of grey for a grey picture or of RGB for one in colours; else None."""
    return icc if icc and icc[16:20] == (b"GRAY" if channels < 3 else b"RGB ") else None


def split(picture, *, fill=True):
    """(colours, alpha) of a Picture: (h, w, 3) of its dtype, grey as three equal channels; (h, w) float32 in [0, 1] or
    None. Pixels may be floating point in [0, 1] too.

    fill: give pixels that are wholly transparent the colours of their neighbours, so that what hides under them never
    bleeds into what is seen.
    """
    pixels = picture.pixels
    colours = np.repeat(pixels[..., :1], 3, axis=2) if picture.grey else pixels[..., :3]
    if not picture.has_alpha:
        return np.ascontiguousarray(colours), None
    alpha = pixels[..., -1].astype(np.float32) / picture.top
    if fill and not alpha.all():
        colours = torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)[None]
        colours = _filled(colours, torch.from_numpy(alpha > 0)[None, None].to(torch.float32))
        colours = colours[0].permute(1, 2, 0).numpy()
        colours = (colours if pixels.dtype.kind == "f" else np.rint(colours)).astype(pixels.dtype)
    return np.ascontiguousarray(colours), alpha


def finished_rows(
    rows,  # (n, W, 3) uint8, or floating point in [0, 1]; any device
    dtype,  # numpy's uint8 or uint16, or a floating-point type for values in [0, 1]
    *,
    grey,
    alpha=None,  # (n, W) float32 in [0, 1], numpy; None: the picture has none
    paper=False,
):
    """Rows as a file holds them: (n, W, c) of `dtype`, c as in Picture. grey: luma alone. paper: laid on white, for
    formats without alpha."""
    if rows.dtype == torch.uint8 and dtype == np.uint8 and not grey and alpha is None:
        return rows.cpu().numpy()
    values = rows.to(torch.float32) / 255 if rows.dtype == torch.uint8 else rows.to(torch.float32)
    if grey:
        values = (values * values.new_tensor(_LUMA)).sum(dim=-1, keepdim=True)
    values = values.cpu().numpy()
    if alpha is not None:
        alpha = alpha[..., None]
        values = values * alpha + (1 - alpha) if paper else np.concatenate((values, alpha), axis=-1)
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


class AlphaRows:
    """Alpha at another size, any rows of it: bicubic (a = -0.5), antialiased where it shrinks."""

    def __init__(
        self,
        alpha,  # (h, w) float32 in [0, 1], numpy
        size,  # (H, W)
    ):
        self._picture = Image.fromarray(alpha)
        self._size = size

    def __call__(self, start, stop):
        """Rows start to stop (exclusive): (stop - start, W) float32 in [0, 1]."""
        step = self._picture.height / self._size[0]
        box = (0, start * step, self._picture.width, min(stop * step, self._picture.height))
        # Pillow's filter reaches beyond the box, so bands join without a seam.
        rows = self._picture.resize((self._size[1], stop - start), Image.Resampling.BICUBIC, box=box)
        return np.asarray(rows).clip(0, 1)


def _sixteen_bit_grey(values, key):
    """Modes I;16 and I (which Pillow gives to 16-bit PGM, and to 32-bit TIFF: refused)."""
    if values.min() < 0 or values.max() > 65535:
        raise Unsuitable("it holds 32-bit integers, which have no agreed range")
    pixels = values.astype(np.uint16)[..., None]
    if key is None:
        return pixels
    return np.concatenate((pixels, (pixels != key) * np.uint16(65535)), axis=2)


def _key_of_grey(mode, key):
    return 255 * bool(key) if mode == "1" else key


def _to_srgb(opened, icc):
    """CMYK or Lab as sRGB: through the profile where there is a good one, else by Pillow's plain formula."""
    try:
        source = ImageCms.createProfile("LAB") if opened.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(opened, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError):  # no profile, or one of no use
        return opened.convert("RGB")


def _filled(
    colours,  # (1, 3, h, w)
    seen,  # (1, 1, h, w), 1 where the colours count, else 0
):
    """Colours with those that do not count replaced by the mean of the nearest that do, coarse to fine (push-pull)."""
    if seen.all() or not seen.any() or seen.shape[-2:] == (1, 1):
        return colours
    pool = {"kernel_size": 2, "stride": 2, "ceil_mode": True}
    weight = F.avg_pool2d(seen, **pool)
    mean = F.avg_pool2d(colours * seen, **pool) / weight.clamp_min(1e-6)
    coarse = _filled(mean, (weight > 0).to(seen.dtype))
    size = colours.shape[-2:]
    fine = F.interpolate(coarse, scale_factor=2, mode="nearest")[..., :size[0], :size[1]]
    return colours * seen + fine * (1 - seen)
