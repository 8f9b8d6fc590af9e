"""Runs a job: rows of the model's output brought to what the file holds, and written.

Grey pictures run as three equal channels and come back as luma. Alpha is resized bicubically beside the model, and what
hides under full transparency plays no part. Profile, EXIF and resolution in print are handed on, the orientation is
applied. Animations run frame by frame.
"""

import numpy as np
import torch

from ..errors import InputError
from ..images import write_animation, write_bands
from ..images.colour import AlphaRows, finished_rows, split
from ..tiling import memory
from ..upscale import upscale_rows

_AT_ONCE = 1 << 22  # values converted and written at a time
_MAX_MEMORY = "2GB"


@torch.no_grad()
def run(job, model, *, max_memory=None, cmsr=None, on_stage_end=lambda stage: None, progress=lambda fraction: None):
    """Upscale a Job's picture and write it, whole or not at all.

    Args:
        model: from `lmf_kernels.load_model`.
        max_memory: as in `lmf_kernels.upscale_rows`; None: 2 GB. All frames of an animation have to fit in too.
        cmsr: as in `lmf_kernels.upscale`.
        on_stage_end: called with a stage's name after each part of it: "encoder", "latent", "render", "write picture".
        progress: called with the fraction of the work that is done, 0 to 1.

    Raises:
        InputError: max_memory is too little, or the file cannot be written.
        BackendError: the backend that the model asks for cannot run this.
    """
    max_memory = _MAX_MEMORY if max_memory is None else max_memory
    if job.animated:
        frames = _frames(job, model, max_memory, cmsr, on_stage_end, progress)
        write_animation(job.target, frames, job.picture, job.quality)
    else:
        rows = rendered_rows(model, job.picture, job.placement, job.channels, job.dtype, max_memory=max_memory,
                             cmsr=cmsr, on_stage_end=on_stage_end, progress=progress)
        write_bands(job.target, rows, job.size, job.channels, job.dtype, icc=job.picture.icc, exif=job.picture.exif,
                    dpi=job.picture.dpi, quality=job.quality)
    on_stage_end("write picture")


def rendered_rows(model, picture, placement, channels, dtype, *, max_memory=_MAX_MEMORY, cmsr=None,
                  on_stage_end=lambda stage: None, progress=lambda fraction: None):
    """Yield (y0, rows (n, W, channels) of `dtype`, numpy) of an upscaled Picture, from top to bottom.

    Args:
        picture: a Picture; its pixels may be floating point in [0, 1] too.
        placement: the output's size and what is kept of it.
        channels, dtype: of the rows, as in Picture; with an odd number of channels alpha is laid on white.
        Others: as for `run`.
    """
    colours, alpha = split(picture)
    paper = alpha is not None and channels % 2 == 1
    plain = dtype == np.uint8 and channels == 3 and not paper
    if colours.dtype.kind == "f":
        weight = next(model.parameters())
        colours = torch.from_numpy(colours).permute(2, 0, 1)[None].to(weight.device, weight.dtype)
    bands = upscale_rows(model, colours, size=placement.rendered, dtype=torch.uint8 if plain else torch.float32,
                         layout="nhwc", max_memory=max_memory, cmsr=cmsr, on_stage_end=on_stage_end, progress=progress)
    alpha = None if alpha is None else AlphaRows(alpha, placement.rendered)
    (top, left), (height, width) = placement.origin, placement.size
    step = max(1, _AT_ONCE // (3 * width))
    for y0, band in bands:
        for start in range(max(y0, top), min(y0 + band.shape[1], top + height), step):
            stop = min(start + step, y0 + band.shape[1], top + height)
            part = band[0, start - y0:stop - y0, left:left + width]
            cover = None if alpha is None else alpha(start, stop)[:, left:left + width]
            yield start - top, finished_rows(part, dtype, grey=channels < 3, alpha=cover, paper=paper)
            del part
        del band
        on_stage_end("write picture")


def _frames(job, model, max_memory, cmsr, on_stage_end, progress):
    """Each frame of an animation, upscaled: (H, W, channels) uint8."""
    count = job.picture.count
    need = count * job.size[0] * job.size[1] * job.channels
    if need > memory.parse_size(max_memory):
        allowed = memory.format_bytes(memory.parse_size(max_memory))
        raise InputError(f"The {count} frames of {job.target} take {memory.format_bytes(need)} at once, more than "
                         f"max_memory allows ({allowed}); allow more (--max-memory), or ask for a smaller output.")
    for index, picture in enumerate(job.picture.frames()):
        pixels = np.empty((*job.size, job.channels), np.uint8)
        for y0, rows in rendered_rows(model, picture, job.placement, job.channels, np.uint8, max_memory=max_memory,
                                      cmsr=cmsr, on_stage_end=on_stage_end,
                                      progress=lambda fraction: progress((index + fraction) / count)):
            pixels[y0:y0 + len(rows)] = rows
        yield pixels
