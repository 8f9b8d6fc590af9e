"""A picture file in, a larger picture file out: what `lmf-kernels upscale` does to each of its files.

Grey pictures run as three equal channels and come back as luma. Alpha is resized bicubically beside the model, and what
hides under full transparency plays no part. Profile and EXIF are handed on, the orientation is applied.
"""

from dataclasses import dataclass

import numpy as np
import torch

from .images import Picture, check_output, check_room, format_of, read_picture, write_bands
from .images.colour import AlphaRows, finished_rows, split
from .upscale import output_size, upscale_rows

_AT_ONCE = 1 << 22  # values converted and written at a time


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
        max_memory: as in `lmf_kernels.upscale_rows`; None: its own default.
        finished: called with a stage's name after each part of it: "encoder", "latent", "render", "write picture".
        progress: called with the share of the work that is done, 0 to 1.

    Raises:
        InputError: max_memory is too little, or the file cannot be written.
        BackendError: the backend that the model asks for cannot run this.
    """
    colours, alpha = split(job.picture)
    paper = alpha is not None and job.channels % 2 == 1
    plain = job.dtype == np.uint8 and job.channels == 3 and not paper
    limit = {} if max_memory is None else {"max_memory": max_memory}
    bands = upscale_rows(model, colours, size=job.size, dtype=torch.uint8 if plain else torch.float32, layout="nhwc",
                         finished=finished, progress=progress, **limit)
    alpha = None if alpha is None else AlphaRows(alpha, job.size)

    def rows():
        step = max(1, _AT_ONCE // (3 * job.size[1]))
        for y0, band in bands:
            for start in range(0, band.shape[1], step):
                part = band[0, start:start + step]
                top = y0 + start
                cover = None if alpha is None else alpha(top, top + len(part))
                yield top, finished_rows(part, job.dtype, grey=job.picture.grey, alpha=cover, paper=paper)
            del band, part
            finished("write picture")

    write_bands(job.target, rows(), job.size, job.channels, job.dtype, icc=job.picture.icc, exif=job.picture.exif)
    finished("write picture")
