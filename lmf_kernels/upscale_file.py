"""A picture file in, a larger picture file out: what `lmf-kernels upscale` does to each of its files.

Grey pictures run as three equal channels and come back as luma. Alpha is resized bicubically beside the model, and what
hides under full transparency plays no part. Profile and EXIF are handed on, the orientation is applied.
"""

from dataclasses import dataclass

import numpy as np
import torch

from .images import Picture, check_output, check_room, format_of, read_picture, write_bands
from .images.colour import AlphaRows, finished_rows, planes
from .upscale import check_request, output_size, run_stages, upscale

_ROWS_AT_ONCE = 1 << 22  # values: what is converted and written at a time


@dataclass(frozen=True)
class Job:
    """One file's work, checked. size: (H, W) of the output. channels, dtype: of the output, as in Picture. notes:
    sentences about what the output's format cannot keep, and what the input's reader left out."""

    source: str
    target: str
    picture: Picture
    size: tuple
    channels: int
    dtype: type
    notes: tuple


def prepare(source, target, scale=None, size=None, *, max_pixels=None):
    """Read `source` and find out all that can be wrong before a model runs: Job.

    Args:
        source, target: picture files; target's suffix names its format.
        scale, size: as in `lmf_kernels.upscale`.
        max_pixels: as in `images.read_picture`.

    Raises:
        InputError: a file, the scale or the size cannot be used, or the disk may be too small.
    """
    check_output(target)
    picture = read_picture(source, max_pixels)
    size = output_size(picture.size, scale, size)
    check_output(target, size)
    form = format_of(target)
    alpha = picture.has_alpha and form.alpha
    sixteen = picture.pixels.dtype == np.uint16 and form.sixteen
    dtype = np.uint16 if sixteen else np.uint8
    notes = list(picture.notes)
    if picture.has_alpha and not alpha:
        notes.append(f"{target}: {form.name} keeps no transparency here; the picture is laid on white.")
    if picture.pixels.dtype == np.uint16 and not sixteen:
        notes.append(f"{target}: {form.name} has no 16 bits a channel; 8 are written.")
    channels = (1 if picture.grey else 3) + alpha
    check_room(target, size, channels, dtype)
    return Job(source, target, picture, size, channels, dtype, tuple(notes))


@torch.no_grad()
def run(job, model, *, max_memory=None, finished=lambda stage: None, progress=lambda share: None):
    """Upscale a Job's picture and write it, whole or not at all.

    Args:
        model: from `lmf_kernels.load_model`.
        max_memory: as in `lmf_kernels.upscale`.
        finished: called with a stage's name after each part of it; "write picture" is the last.
        progress: called with the share of rows written, above 0 and up to 1.

    Raises:
        InputError: the file cannot be written.
        BackendError: the backend that the model asks for cannot run this.
    """
    colours, alpha = planes(job.picture)
    weight = next(model.parameters())
    image = colours.to(weight.device, weight.dtype)
    check_request(model, image, size=job.size)
    paper = alpha is not None and job.channels % 2 == 1
    plain = job.dtype == np.uint8 and job.channels == 3 and not paper
    alpha = None if alpha is None else AlphaRows(alpha, job.size)

    def rows():
        top = 0
        for band in _bands(model, image, job.size, torch.uint8 if plain else torch.float32, max_memory, finished):
            step = max(1, _ROWS_AT_ONCE // (3 * job.size[1]))
            for start in range(0, len(band), step):
                part = band[start:start + step]
                cover = None if alpha is None else alpha(top, top + len(part))
                yield finished_rows(part, job.dtype, grey=job.picture.grey, alpha=cover, paper=paper)
                top += len(part)
                progress(top / job.size[0])
            finished("write picture")

    write_bands(job.target, rows(), job.size, job.channels, job.dtype, icc=job.picture.icc, exif=job.picture.exif)
    finished("write picture")


def _bands(model, image, size, dtype, max_memory, finished):
    """The output's rows from top to bottom in bands (n, W, 3) of torch dtype `dtype`, values as in `upscale`."""
    if max_memory is None:
        yield run_stages(model, image, size, dtype=dtype, layout="nhwc", finished=finished)[0]
    else:
        yield upscale(model, image, size=size, dtype=dtype, layout="nhwc", max_memory=max_memory)[0]
        finished("upscale")
