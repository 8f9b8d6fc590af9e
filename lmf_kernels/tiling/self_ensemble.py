"""Self-ensemble: the mean of what a model makes of the eight flips and turns of a picture, each turned back.

Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super resolution", arXiv 1511.02228,
section 3.5. It works tile by tile: for a tile of the output all eight turned neighbourhoods are encoded and rendered
one after the other, and added up. So a row of a turned picture, which is a column of the output, is never needed as a
whole, and memory is that of one pass and one strip of sums.
"""

import torch

from ..errors import InputError
from . import windows
from .plan import Plan
from .turns import TURNS


_MORE = 1.4  # bytes of a stage: turned passes of two shapes leave holes in the C library's heap (measured: 1.3)


def costs_of(costs):
    """The StageBytes of the self-ensemble of a model with the StageBytes `costs`."""
    stages = ("encoder", "features", "latent", "fields")
    return costs._replace(**{name: _MORE * getattr(costs, name) for name in stages})


def check_plan(model, plan):
    """Raise InputError where a plan has tiles whose turned neighbourhoods would not be those of the whole picture."""
    if plan.tiles > 1 and plan.halo.starts is not None:
        raise InputError(f"tta cannot run in tiles with {model.name}, whose latent stage sees whole blocks of the "
                         "picture; allow more memory (max_memory), or leave tta out.")


def whole(source, size, halo):
    """The Plan of a picture in one piece."""
    h, w = source.shape[1:]
    return Plan((0, h), (0, w), "pixels", size[0], 0, halo)


@torch.no_grad()
def bands(
    model,
    source,  # a Source, (B, h, w)
    size,  # (H, W)
    plan,  # its `keep` plays no part
    *,
    dtype,
    layout,
    on_stage_end=lambda stage: None,
    progress=lambda fraction: None,
):
    """As `run.bands`, of the self-ensemble. Each value is clamped after the mean is taken."""
    lr_size, field_map, like = tuple(source.shape[1:]), plan.halo.map, next(model.parameters())
    columns = [field_map.owned(*part, lr_size[1], size[1]) for part in zip(plan.cols, plan.cols[1:])]
    columns = [part for part in columns if part[0] < part[1]]
    for first, end in zip(plan.rows, plan.rows[1:]):
        start, stop = field_map.owned(first, end, lr_size[0], size[0])
        if start == stop:  # shrinking: no pixel is this tile row's
            continue
        total = torch.zeros(source.shape[0], 3, stop - start, size[1], device=like.device,
                            dtype=torch.promote_types(like.dtype, torch.float32))
        done = 0
        for x in columns:
            for turn in TURNS:
                _Pass(model, source, size, plan, turn, on_stage_end).add_to(
                    total[:, :, :, x[0]:x[1]], (start, stop), x)
                done += 1
                progress((start + done / len(columns) / len(TURNS) * (stop - start)) / size[0])
        yield start, _finished(total, dtype, layout)


def _finished(total, dtype, layout):
    """The mean of values in [-1, 1] as the caller wants it."""
    values = total.mul_(0.5 / len(TURNS)).add_(0.5).clamp_(0, 1)
    if dtype == torch.uint8:
        values = values.mul_(255).round_()
    values = values.permute(0, 2, 3, 1) if layout == "nhwc" else values
    return values.to(dtype).contiguous()


class _Pass:
    """One turn of the picture, as far as a tile of the output needs it."""

    def __init__(self, model, source, size, plan, turn, on_stage_end):
        self.model, self.source, self.plan, self.turn, self.on_stage_end = model, source, plan, turn, on_stage_end
        self.lr_size, self.out_size = tuple(source.shape[1:]), size
        self.turned_lr, self.turned_out = turn.pair(*self.lr_size), turn.pair(*size)

    def add_to(self, total, y, x):
        """Add the output window of rows y and columns x, half-open ranges, to `total`, (B, 3, rows, cols)."""
        rows, cols = self._held(y, x)
        fields, inp = self._fields(rows, cols), self._input(*map(self._cells, (rows, cols)))
        for first in range(*y, self.plan.band):
            last = min(first + self.plan.band, y[1])
            (ty, ty_end), (tx, tx_end) = self.turn.window((first, last), x, self.out_size)
            pixels = self.model.render_grid(
                inp, self.turned_out, fields=fields, lr_size=self.turned_lr, fields_origin=(rows[0], cols[0]),
                window=(ty, tx, ty_end - ty, tx_end - tx), dtype=total.dtype)
            self.on_stage_end("render")
            total[:, :, first - y[0]:last - y[0]] += self.turn.back(pixels)

    def _held(self, y, x):
        """The rows and columns of the turned map that the output window reads."""
        window = self.turn.window(y, x, self.out_size)
        return [self.plan.halo.map.read(*part, *sides) for part, sides in
                zip(window, zip(self.turned_lr, self.turned_out))]

    def _cells(self, part):
        return self.plan.halo.map.cells(*part)

    def _fields(self, rows, cols):
        """The fields of a part of the turned map."""
        halo = self.plan.halo
        (ly, lb), (lx, lr) = near = [windows.with_halo(*self._cells(part), n, halo.latent)
                                     for part, n in zip((rows, cols), self.turned_lr)]
        (ey, eb), (ex, er) = far = [windows.with_halo(*part, n, halo.encoder, halo.align)
                                    for part, n in zip(near, self.turned_lr)]
        features = self.model.encode(self._input(*far))
        self.on_stage_end("encoder")
        if near != far:  # a copy, so that the whole is let go
            features = features[:, :, ly - ey:lb - ey, lx - ex:lr - ex].clone(memory_format=torch.channels_last)
        rel_cell = self.model.rel_cell_of(self.turned_lr, self.turned_out)
        fields = self.model.window_fields(features, rel_cell, self.turned_lr, (ly, lx))
        self.on_stage_end("latent")
        return fields[:, rows[0] - ly:rows[1] - ly, cols[0] - lx:cols[1] - lx]

    def _input(self, y, x):
        """The network's input of a window of the turned picture."""
        (top, bottom), (left, right) = self.turn.window_back(y, x, self.lr_size)
        like = next(self.model.parameters())
        return self.turn.tensor(self.source.window(top, left, bottom - top, right - left, like)).contiguous()
