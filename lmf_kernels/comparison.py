"""Crops side by side, with captions: bicubic interpolation, the model, the original where there is one."""

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .errors import InputError
from .evaluation import bicubic, degrade, read_hr, upscaled
from .request import output_size

_FONT_SIZE = 16
_LINE = 24  # pixels of a caption
_GAP = 8
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Row:
    """One picture's crops. title: what stands over them. crops: {caption: (n, m, 3) uint8}, all of one size."""

    title: str
    crops: dict


def row_of(model, path, scale, *, name="model", reference=False, crop=None, crop_size=160):
    """Upscale a picture and cut the same window out of each version: Row.

    Args:
        model: from `lmf_kernels.load_model`; name: its caption.
        path: the picture.
        scale: the factor.
        reference: the picture is the original: it is first reduced by the factor, and joins the comparison.
        crop: (x, y, width, height) in pixels of the output; None: a square of crop_size where the output has most
            detail.

    Raises:
        InputError: the picture, scale or crop cannot be used.
    """
    image = read_hr(path)
    if reference:
        original, lr = degrade(image, scale)
        size = original.shape[:2]
    else:
        original, lr = None, image
        size = output_size(lr.shape[:2], scale)
    if crop is not None:
        _check_crop(path, crop, size)  # before the model runs
    versions = {"bicubic": bicubic(lr, size), name: upscaled(model, lr, size)}
    if reference:
        versions["original"] = original
    x, y, width, height = crop or busiest(list(versions.values())[-1], crop_size)
    crops = {caption: version[y:y + height, x:x + width] for caption, version in versions.items()}
    return Row(f"{os.path.basename(path)}, x{scale:g}: {lr.shape[1]}x{lr.shape[0]} to {size[1]}x{size[0]}, "
               f"{width}x{height} pixels at ({x}, {y})", crops)


def busiest(
    image,  # (H, W, 3) uint8
    side,
):
    """(x, y, width, height) of the square, at most `side` wide and high, that has most detail: the largest sum of
    absolute differences between neighbours."""
    luma = image.astype(np.float64).mean(axis=2)
    detail = np.abs(np.diff(luma, axis=0, prepend=luma[:1])) + np.abs(np.diff(luma, axis=1, prepend=luma[:, :1]))
    height, width = min(side, luma.shape[0]), min(side, luma.shape[1])
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # of all above and to the left
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(sums.argmax(), sums.shape)
    return int(x), int(y), width, height


def sheet(rows, zoom=2):
    """All rows on one picture: PIL.Image.Image, RGB. zoom: each crop pixel becomes zoom x zoom pixels."""
    font = ImageFont.load_default(size=_FONT_SIZE)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    placed, top, right = [], _GAP, 0
    for row in rows:
        placed.append((_GAP, top, row.title))
        right = max(right, _GAP + pen.textlength(_printable(row.title), font=font))
        top += _LINE
        left, lowest = _GAP, top
        for caption, crop in row.crops.items():
            height, width = crop.shape[0] * zoom, crop.shape[1] * zoom
            placed += [(left, top, caption), (left, top + _LINE, crop)]
            left += max(width, int(pen.textlength(_printable(caption), font=font)) + 1) + _GAP
            lowest = max(lowest, top + _LINE + height)
        right, top = max(right, left - _GAP), lowest + 2 * _GAP
    page = Image.new("RGB", (int(right) + _GAP, top - _GAP), _PAPER)
    pen = ImageDraw.Draw(page)
    for left, top, what in placed:
        if isinstance(what, str):
            pen.text((left, top), _printable(what), _INK, font=font)
        else:
            crop = Image.fromarray(np.ascontiguousarray(what))
            page.paste(crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST), (left, top))
    return page


def _printable(text):
    """Only what Pillow's own font can show in one line."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _check_crop(path, crop, size):
    x, y, width, height = crop
    if min(x, y) < 0 or min(width, height) < 1 or x + width > size[1] or y + height > size[0]:
        raise InputError(f"The crop of {width}x{height} pixels at ({x}, {y}) does not lie within the output of {path}, "
                         f"which has {size[1]}x{size[0]} pixels.")
