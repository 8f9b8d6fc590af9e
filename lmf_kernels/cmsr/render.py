"""The render stage with CMSR: levels of a window from coarse to fine, each rendered only where its cells are."""

import math

import torch
from python_ref import cmsr as rule

from ..ops import render_cells
from .bilinear import resize_into, resized, source_range

PIXELS_AT_ONCE = 1 << 20  # of the output: what a piece takes stays below about 100 MB
GPU_FACTOR = 8
BYTES_PER_PIXEL = 96  # of a piece: the level below, its resizing, and the lists of pixels where there is no cell mask


def pixels_at_once(device):
    """Output pixels that are rendered at a time, or one row if that is more."""
    return PIXELS_AT_ONCE * (1 if device.type == "cpu" else GPU_FACTOR)


class Rendering:
    """Renders an (h, w) picture at (H, W) with CMSR; `grid` takes the place of `Decoder.render_grid`.

    Every pixel has the same bits, whatever the window that it is rendered in.

    Args:
        model: a models.Decoder.
        tables: as in `table`.
        lr_size, size: (h, w) and (H, W).
        count: called with (queries rendered, full-rate queries), two 0-d tensors in full-rate LR cells, once per piece.

    Attributes:
        levels: of `python_ref.cmsr`. margin: LR cells beyond those of a full rendering that a window reads, per side.
    """

    def __init__(self, model, tables, lr_size, size, count):
        self.model, self.lr_size, self.size, self.count = model, tuple(lr_size), tuple(size), count
        self.levels = rule.levels(tables, self.lr_size, self.size)
        # One pixel of every level below, and of the LR picture, beside each other; a cell for rounding.
        sides = [self.lr_size, *(level.size for level in self.levels[:-1])]
        self.margin = 1 + max(math.ceil(sum(n / side[axis] for side in sides)) for axis, n in enumerate(self.lr_size))

    @property
    def is_full(self):
        """Whether everything is rendered at the output's scale, so that CMSR does nothing."""
        return len(self.levels) == 1

    def grid(self, inp, size, *, fields, lr_size=None, fields_origin=(0, 0), window=None, epilogue="none", dtype=None,
             layout="nchw"):
        """As `models.Decoder.render_grid`; size and lr_size are those of this object."""
        y0, x0, rows, cols = (0, 0, *self.size) if window is None else window
        dtype = torch.promote_types(inp.dtype, torch.float32) if dtype is None else dtype
        batch = inp.shape[0]
        shape = (batch, rows, cols, 3) if layout == "nhwc" else (batch, 3, rows, cols)
        out = torch.empty(shape, dtype=dtype, device=inp.device)
        step = max(1, pixels_at_once(inp.device) // max(1, batch * cols))
        for row in range(0, rows, step) if cols else ():
            count = min(step, rows - row)
            self._piece(inp, fields, fields_origin, (y0 + row, x0, count, cols),
                        out.narrow(1 if layout == "nhwc" else 2, row, count), epilogue, layout)
        return out

    def _piece(self, inp, fields, origin, window, out, epilogue, layout):
        """Render a window into `out`."""
        spans = [self._spans(axis, window[axis], window[axis] + window[2 + axis]) for axis in (0, 1)]
        (top, bottom), (left, right) = (axis[0] for axis in spans)  # LR cells
        held = slice(top - origin[0], bottom - origin[0]), slice(left - origin[1], right - origin[1])
        fields, inp = fields[:, held[0], held[1]], inp[:, :, held[0], held[1]]
        level_of = rule.assign(self.model.modulation_intensity(fields), self.levels)
        self._count(level_of, (top, left), window)
        picture = inp.permute(0, 2, 3, 1).to(torch.promote_types(inp.dtype, torch.float32))
        first, n_in = (top, left), self.lr_size
        for index, level in enumerate(self.levels):
            (y0, y1), (x0, x1) = (axis[1 + index] for axis in spans)
            part = y0, x0, y1 - y0, x1 - x0
            where = {"first": first, "source_size": n_in, "size": level.size, "window": part}
            first, n_in = (y0, x0), level.size
            if index == len(self.levels) - 1:
                pixels = out if layout == "nhwc" else out.permute(0, 2, 3, 1)
                resize_into(pixels, picture, **where, epilogue=epilogue)
                self._render(inp, fields, (top, left), level, None, level_of == index, part, out, epilogue, layout)
            else:
                picture = resized(picture, **where)
                cell = tuple(rel / n for rel, n in zip(level.rel_cell, self.lr_size))
                self._render(inp, fields, (top, left), level, cell, level_of == index, part, picture, "none", "nhwc")

    def _render(self, inp, fields, origin, level, cell, mask, window, out, epilogue, layout):
        model = self.model
        render_cells(
            model.family, fields, model.render_weights(), model.render_spec, level.size, mask, out,
            skip=inp if model.has_skip else None, cell=cell, window=window, lr_size=self.lr_size, lr_origin=origin,
            epilogue=epilogue, layout=layout, backend=model.backend)

    def _spans(self, axis, start, stop):
        """What the output positions [start, stop) of an axis need: the range of LR cells, then of each level."""
        sides = [self.lr_size[axis], *(level.size[axis] for level in self.levels)]
        spans = [(start, stop)]
        for n_in, n_out in zip(sides[-2::-1], sides[:0:-1]):
            spans.insert(0, source_range(*spans[0], n_in, n_out))
        cells = [spans[0], *(self.model.family.map_of(self.model.render_spec).read(*span, sides[0], side)
                             for span, side in zip(spans[1:], sides[1:]))]
        spans[0] = min(low for low, _ in cells), max(high for _, high in cells)
        return spans

    def _count(self, level_of, origin, window):
        """Count each cell in the window that has its first pixel."""
        cells = []
        for axis in (0, 1):
            n, out = self.lr_size[axis], self.size[axis]
            low, high = (-(-position * n // out) - origin[axis]
                         for position in (window[axis], window[axis] + window[2 + axis]))
            cells.append(slice(low, high))
        own = level_of[:, cells[0], cells[1]]
        cost = torch.tensor([(level.scale / self.levels[-1].scale) ** 2 for level in self.levels], dtype=torch.float64,
                            device=own.device)
        self.count(cost[own].sum(), own.numel())

