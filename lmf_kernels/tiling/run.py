"""Runs a plan: the stages of an upscaling tile by tile. Yields output rows as soon as they are complete."""

import torch

from . import windows


@torch.no_grad()
def bands(
    model,
    source,  # a Source, (B, h, w)
    size,  # (H, W)
    plan,
    *,
    dtype,
    layout,
    rendering=None,
    on_stage_end=lambda stage: None,
    progress=lambda fraction: None,
):
    """Yield (y0, rows) from top to bottom, every output row once: rows (B, 3, n, W), or (B, n, W, 3) for "nhwc".

    Args:
        rendering: a cmsr.Rendering, for which the plan was made, or None to render everything in full.
        on_stage_end: called with "encoder", "latent" or "render" after each piece of that stage.
        progress: called with the fraction of the work done so far, 0 to 1.
    """
    work = _Work(model, source, size, plan, dtype, layout, rendering, on_stage_end)
    make = work.rows_from_fields if plan.keep == "fields" else work.rows_from_pixels
    for first, end in zip(plan.rows, plan.rows[1:]):
        start, stop = plan.halo.map.owned(first, end, source.shape[1], size[0])
        if start == stop:  # shrinking: no pixel is this tile row's
            work.pass_over(first, end)
            continue
        # No loop variable keeps a band: while the next one is made, only its receiver holds it.
        yield from make(first, end, start, stop,
                        lambda part: progress((start + part * (stop - start)) / size[0]))


class _Work:
    """State common to all tiles of one upscaling."""

    def __init__(self, model, source, size, plan, dtype, layout, rendering, on_stage_end):
        self.model, self.source, self.size, self.plan, self.map = model, source, size, plan, plan.halo.map
        self.dtype, self.layout, self.on_stage_end = dtype, layout, on_stage_end
        self.render_grid = model.render_grid if rendering is None else rendering.grid
        self.batch, *self.lr_size = source.shape
        self.like = next(model.parameters())
        self.rel_cell = model.rel_cell_of(self.lr_size, size)
        self.last_row = self.last_column = None  # fields of cells that tiles to come read again, where there are blocks

    def tiles(self, first, end):
        """Yield each tile of the LR rows [first, end): its LR columns [col_first, col_end), the rows and columns of
        the map that it holds, and its fields there, (B, rows, cols, C) with the channel dense."""
        (h, w), make = self.lr_size, self._fields if self.plan.halo.starts is None else self._fields_in_blocks
        rows = self.map.held(first, end, h)
        for col_first, col_end in zip(self.plan.cols, self.plan.cols[1:]):
            cols = self.map.held(col_first, col_end, w)
            yield (col_first, col_end), rows, cols, make(rows, cols)

    def pass_over(self, first, end):
        """Leave out the tiles of these LR rows, but for what the tiles below read of them."""
        if self.plan.halo.starts is not None:
            for _ in self.tiles(first, end):
                pass

    def _fields(self, rows, cols):
        """The fields of a part of the map."""
        (h, w), halo, (top, bottom), (left, right) = self.lr_size, self.plan.halo, rows, cols
        (ly, lb), (lx, lr) = (windows.with_halo(*self.map.cells(*part), n, halo.latent)
                              for part, n in ((rows, h), (cols, w)))
        (ey, eb), (ex, er) = (windows.with_halo(*side, n, halo.encoder, halo.align)
                              for side, n in (((ly, lb), h), ((lx, lr), w)))
        features = self.model.encode(self.source.window(ey, ex, eb - ey, er - ex, self.like))
        self.on_stage_end("encoder")
        if (ey, eb, ex, er) != (ly, lb, lx, lr):  # a copy, so that the whole is let go
            features = features[:, :, ly - ey:lb - ey, lx - ex:lr - ex].clone(memory_format=torch.channels_last)
        fields = self.model.window_fields(features, self.rel_cell, tuple(self.lr_size), (ly, lx))
        self.on_stage_end("latent")
        return fields[:, top - ly:bottom - ly, left - lx:right - lx]

    def _fields_in_blocks(self, rows, cols):
        """The same where tiles hold whole blocks, and a row and a column of cells of the blocks before.

        Those are kept from the tiles before: to make them again would take their whole blocks.
        """
        top, left = rows[0] + (rows[0] > 0), cols[0] + (cols[0] > 0)
        own = fields = self._fields((top, rows[1]), (left, cols[1]))
        if self.last_row is None:
            self.last_row = own.new_empty(self.batch, 1, self.lr_size[1], own.shape[3])
        if top > 0:
            fields = torch.cat((self.last_row[:, :, left:cols[1]], fields), dim=1)
        if left > 0:
            fields = torch.cat((self.last_column, fields), dim=2)
        self.last_row[:, :, left:cols[1]] = own[:, -1:]
        self.last_column = fields[:, :, -1:].clone()
        return fields

    def rows_from_fields(self, first, end, start, stop, progress):
        """Gather the fields of a whole tile row, then render bands of it."""
        h, w = self.lr_size
        (top, bottom), across, kept, ready = self.map.held(first, end, h), self.map.size(w), None, 0
        for _, _, (left, right), fields in self.tiles(first, end):
            if fields.shape[2] == across:
                kept = fields
            else:
                kept = fields.new_empty(self.batch, bottom - top, across, fields.shape[3]) if kept is None else kept
                kept[:, :, left:right] = fields
            del fields
            ready += 1
            progress(ready / (len(self.plan.cols) - 1) / 2)
        inp = self._input((top, bottom), (0, across))
        for y0 in range(start, stop, self.plan.band):
            rows = min(self.plan.band, stop - y0)
            yield y0, self._render(inp, kept, (top, 0), (y0, 0, rows, self.size[1]))
            progress(0.5 + 0.5 * (y0 + rows - start) / (stop - start))

    def rows_from_pixels(self, first, end, start, stop, progress):
        """Render each tile into the output rows of its tile row, and yield them together."""
        dims = (stop - start, self.size[1])
        shape = (self.batch, 3, *dims) if self.layout == "nchw" else (self.batch, *dims, 3)
        strip = torch.empty(shape, dtype=self.dtype, device=self.like.device)
        down, across = (2, 3) if self.layout == "nchw" else (1, 2)
        ready = 0
        for columns, rows, cols, fields in self.tiles(first, end):
            x0, x_stop = self.map.owned(*columns, self.lr_size[1], self.size[1])
            inp = self._input(rows, cols)
            for y0 in range(start, stop, self.plan.band) if x_stop > x0 else ():
                count = min(self.plan.band, stop - y0)
                part = strip.narrow(down, y0 - start, count).narrow(across, x0, x_stop - x0)
                part.copy_(self._render(inp, fields, (rows[0], cols[0]), (y0, x0, count, x_stop - x0)))
            del fields
            ready += 1
            progress(ready / (len(self.plan.cols) - 1))
        yield start, strip

    def _input(self, rows, cols):
        """The network's input at the LR pixels over which a part of the map lies."""
        (y0, y1), (x0, x1) = (windows.with_halo(*self.map.cells(*part), n, 0) for part, n in
                              zip((rows, cols), self.lr_size))
        return self.source.window(y0, x0, y1 - y0, x1 - x0, self.like)

    def _render(self, inp, fields, origin, window):
        pixels = self.render_grid(
            inp, self.size, fields=fields, lr_size=tuple(self.lr_size), fields_origin=origin, window=window,
            epilogue="unit", dtype=self.dtype, layout=self.layout)
        self.on_stage_end("render")
        return pixels
