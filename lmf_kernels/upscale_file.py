"""A picture file in, a larger picture file out."""

import os
from dataclasses import dataclass

from .cmsr import Multiscale, resolve
from .errors import InputError
from .models import Decoder
from .request import Scale, check_model


@dataclass(frozen=True)
class UpscaledFile:
    """path: of the file that was written. size: (H, W) in pixels. notes: sentences about what its format could not
    keep."""

    path: str
    size: tuple[int, int]
    notes: tuple[str, ...]


def upscale_file(
    model: Decoder,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scale: Scale | None = None,
    size: tuple[int | None, int | None] | list[int | None] | None = None,
    *,
    fit: str = "inside",
    quality: int | None = None,
    max_memory: int | str = "2GB",
    max_pixels: int | None = None,
    overwrite: bool = False,
    cmsr: Multiscale = None,
) -> UpscaledFile:
    """Upscale a picture file by any factor or to any size, in bounded memory, and write it whole or not at all.

    Grey stays grey, 16 bits stay 16 bits in PNG and TIFF; transparency, colour profile, EXIF and resolution in print
    are kept where the format has a place for them. Animated GIF, WebP and PNG become animations again, frame by frame,
    where the target's format has them.

    Args:
        model: from `lmf_kernels.load_model`.
        source: the picture file, of any kind that Pillow or tifffile reads.
        target: the file to write; its suffix names the format: .png, .jpg, .webp, .tif, .bmp, .gif or .avif. What is
            there is replaced.
        scale: a number, or (scale_y, scale_x), as for `upscale`.
        size: (H, W) in pixels in place of scale; one of them may be None and then follows from the other.
        fit: "inside": as large as fits into size, keeping the aspect ratio; "fill": exactly size, keeping the aspect
            ratio, what reaches beyond it cut off; "stretch": exactly size.
        quality: 1 to 100, for JPEG, WebP and AVIF; None: 95, for AVIF 90.
        max_memory: as for `upscale_rows`; all frames of an animation have to fit in too.
        max_pixels: refuse larger pictures; None: twice Pillow's MAX_IMAGE_PIXELS.
        overwrite: target may be source itself.
        cmsr: as for `upscale`.

    Returns:
        UpscaledFile.

    Raises:
        InputError: a file, the scale, the size or an option cannot be used; the message says which and why.
        BackendError: the backend that the model asks for cannot run this.
    """
    from .picture_job import Box, prepare, run  # imports Pillow, which tensors do not need

    check_model(model)
    if (scale is None) == (size is None):
        raise InputError("Give either scale or size" + ("." if size is None else ", not both."))
    box = None
    if size is not None:
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise InputError(f"size is (height, width) in pixels, one of which may be None, got {size!r:.60}.")
        box = Box(*size, fit)
    job = prepare(os.fspath(source), os.fspath(target), scale, box, quality=quality, max_pixels=max_pixels,
                  overwrite=overwrite)
    run(job, model, max_memory=max_memory, cmsr=resolve(cmsr, model))
    return UpscaledFile(job.target, job.size, job.notes)
