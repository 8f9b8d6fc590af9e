"""How a low-resolution (LR) patch comes from a high-resolution (HR) one: reduction, noise, compression."""

import io

import numpy as np
from PIL import Image

_FILTERS = {"box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS,
            "nearest": Image.Resampling.NEAREST}
_SIGMA = (0.5, 4.0)  # of noise, in 8-bit steps
_QUALITY = (30, 95)  # of JPEG and WebP; low ones are drawn more often, for they are harder
_BLOCK = 16  # JPEG's blocks of 8 pixels, of colours at half the resolution


def degrade(
    rng,
    high,  # (n, n, 3) uint8
    recipe,
):
    """(recipe.patch, recipe.patch, 3) uint8: the HR patch reduced by a filter drawn by the recipe's shares, at random
    noisy, at random compressed."""
    low = resized(high, recipe.patch, _filter(rng, recipe))
    if rng.random() < recipe.noise:
        low = _noisy(rng, low)
    if rng.random() < recipe.compression:
        low = _compressed(rng, low)
    return low


def resized(
    square,  # (n, n, 3) uint8
    side,
    resample=Image.Resampling.BICUBIC,
):
    """(side, side, 3) uint8, antialiased by all filters but nearest."""
    if square.shape[0] == side:
        return square
    return np.asarray(Image.fromarray(square).resize((side, side), resample))


def _filter(rng, recipe):
    """One of Pillow's filters; bicubic has what the recipe's other shares leave."""
    at = rng.random()
    for name, resample in _FILTERS.items():
        at -= getattr(recipe, name)
        if at < 0:
            return resample
    return Image.Resampling.BICUBIC


def _noisy(rng, low):
    """With Gaussian noise, the same in all channels or not."""
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.normal(0, rng.uniform(*_SIGMA), (*low.shape[:2], channels))
    return np.clip(np.rint(low + noise), 0, 255).astype(np.uint8)


def _compressed(rng, low):
    """As JPEG or WebP gives it back. The corner of the blocks is drawn: pictures are not cut along them."""
    top, left = rng.integers(_BLOCK, size=2)
    picture = Image.fromarray(np.pad(low, ((top, 0), (left, 0), (0, 0)), mode="edge"))
    lowest, highest = _QUALITY
    quality, buffer = lowest + round((highest - lowest) * rng.random() ** 1.5), io.BytesIO()
    if rng.random() < 0.8:
        picture.save(buffer, "JPEG", quality=quality, subsampling=int(rng.choice((0, 2))))
    else:
        picture.save(buffer, "WEBP", quality=quality, method=2)
    with Image.open(buffer) as back:
        return np.asarray(back.convert("RGB"))[top:, left:]
