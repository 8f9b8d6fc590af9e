"""Cuts an upscaling into tiles and bands that fit a number of bytes.

The encoder and the latent stage run tile by tile, a row of tiles after the other; the render stage follows in bands of
output rows. A tile's neighbourhood, as far as it reaches the tile's features, is computed again for every tile, so
larger tiles cost less time: the plan is the cheapest one that fits. On a CPU there is a limit to that: the C library
fetches blocks of 32 MB and more from the system and gives them back, so that a larger feature map costs a page fault
for every 4 kB, each time. Measured in processor seconds per megapixel, EDSR with 3 blocks: 2.2 up to 320 x 320 pixels,
3.9 from 512 x 512 on.

What a tile row hands on is kept in the smaller of two forms, "fields" (LR rows of parameters, rendered in bands of any
height) or "pixels" (output rows; a tile is rendered as soon as its fields exist). At x2 an LR pixel of
LM-LIIF's fields takes 832 bytes and its pixels 12; at x30 the pixels take 2700.

The cost model, in bytes (B images, r the bytes of an output row, per-pixel rates from `probe.stage_bytes`):

    stage   1.25 * max(encoder * px_e, features * (px_e + px_l), latent * px_l), px_e and px_l the LR pixels that the
            encoder and the latent stage see of the largest tile; 2.2 instead of 1.25 for attention in windows
    render  1.5 * render * px, px the output pixels that the backend takes at once
    fields  64 MB + kept + max(stage + band, 2 * band + render), kept = (fields + 24) * B * rows * w
    pixels  64 MB + 2 * r * rows + max(stage, fields * px_l + 2 * tile's band + render)

Two bands (or strips): whoever asks for rows still holds the last one while the next is made. 24 bytes a pixel: the
normalised picture, for the LR skip, and one copy in conversion. The constants are for what the rates cannot see
(copies within an operator, freed memory that the C library keeps, thread pools, compiled convolutions): growth of the
resident size, measured on LM-LIIF, LM-LTE, LIIF and LTE with EDSR, 2 and 16 blocks, budgets from 150 MB to 1 GB, was
0.4 to 0.8 of the peak predicted with the fused kernels and up to 0.9 with the reference. RDN grows by 0.93 of the bytes
counted; SwinIR by 2.0 times as many, because its many blocks of different sizes leave holes in the C library's heap
(0.97 with every block mapped on its own).
"""

import sys
from typing import Any, NamedTuple

from ..errors import InputError
from ..families.maps import CELLS, WithMargin
from . import memory, windows

FIXED = 64 * 10**6
HEADROOM, HEADROOM_OF_ATTENTION = 1.25, 2.2
OVERLAP_WINDOWS = 4  # kept around a tile by an encoder that attends in windows
_SMALLEST_SIDE = 8
_INSIDE = 1 << 40  # a cell far from every border
_LARGEST_BAND = 32 * 10**6
_TILE_COST = 4096  # of starting a tile, in LR pixels of encoding
_PAGED, _PAGED_COST = 2**25, 1.75  # bytes of a feature map from which on a CPU takes so many times as long


class Job(NamedTuple):
    """What is to be made: batch, (h, w) in, (H, W) out, bytes of an output pixel's three values, on a CPU or not."""

    batch: int
    lr_size: tuple
    size: tuple
    pixel_bytes: int
    on_cpu: bool = True


class Halo(NamedTuple):
    """LR pixels around a tile that its fields depend on, per side: those of the encoder and of the latent stage.

    align: tile origins are multiples of it. exact: tiles change nothing; else only little (with shifted attention
    windows the view grows from layer to layer to hundreds of pixels, and its rim counts ever less). map: the
    `families.maps.FieldMap` of the fields. starts: None, or a function of a picture's (h, w) that gives the rows and
    the columns at which blocks of cells begin that the latent stage sees as a whole (`Decoder.tile_starts`).
    """

    encoder: int
    latent: int
    align: int
    exact: bool
    map: Any = CELLS
    starts: Any = None

    @classmethod
    def of(cls, model, rendering=None):
        """The halo of a model. An encoder that attends in windows has an attribute `window`, their side.

        rendering: a cmsr.Rendering, whose windows read `margin` more cells, or None.
        """
        fields_map = model.family.map_of(model.render_spec)
        if rendering is not None:
            fields_map = WithMargin(fields_map, rendering.margin)
        encoder = model.encoder.receptive_field
        latent, window = model.receptive_field - encoder, getattr(model.encoder, "window", 1)
        overlap = encoder if window == 1 else min(encoder, OVERLAP_WINDOWS * window)
        return cls(overlap, latent, window, overlap == encoder, fields_map,
                   None if model.tile_starts((1, 1)) is None else model.tile_starts)

    def cuts(self, lr_size):
        """The ways to cut rows and columns of a picture (h, w) that are worth trying: two lists of edges."""
        if self.starts is None:
            return [[windows.edges(n, count, self.align)
                     for count in _counts(n // max(self.align, _SMALLEST_SIDE))] for n in lr_size]
        return [[windows.edges_before(starts, count, n) for count in _counts(len(starts))]
                for starts, n in zip(self.starts(lr_size), lr_size)]

    def held(self, side):
        """Rows or columns of the map that a tile of `side` cells reads, clipped nowhere."""
        start, stop = self.map.held(_INSIDE, _INSIDE + side, sys.maxsize)
        return stop - start


class Plan(NamedTuple):
    """rows, cols: LR rows and columns where tiles begin, then h or w. keep: "fields" or "pixels". band: output rows
    rendered at once. peak: bytes by the cost model, beyond model and picture. halo: a Halo."""

    rows: tuple
    cols: tuple
    keep: str
    band: int
    peak: int
    halo: Halo

    @property
    def tiles(self):
        """How many there are."""
        return (len(self.rows) - 1) * (len(self.cols) - 1)

    def __str__(self):
        side = f"{max(_sizes(self.cols))}x{max(_sizes(self.rows))}"
        tiles = "one tile" if self.tiles == 1 else (
            f"{self.tiles} tiles of at most {side} LR pixels and {self.halo.encoder + self.halo.latent} around each")
        inexact = "" if self.halo.exact or self.tiles == 1 else " (attention further out is left out)"
        return f"{tiles}{inexact}, bands of {self.band} rows, about {memory.format_bytes(self.peak)}"


def make_plan(job, costs, halo, budget, besides=0):
    """The cheapest Plan whose peak is at most `budget` bytes.

    Args:
        job: a Job. costs: the model's StageBytes. halo: the model's Halo.
        besides: bytes that max_memory pays for already, such as the result's: only the message counts them.

    Raises:
        InputError: even the smallest tiles need more. The message has the least amount.
    """
    best, least = None, None
    all_rows, all_cols = halo.cuts(job.lr_size)
    for rows in all_rows:
        for cols in all_cols:
            work = _work(job, costs, halo, rows, cols)
            if best is not None and work >= best[0]:
                continue
            for keep in ("fields", "pixels"):
                band, peak = _peak(job, costs, halo, rows, cols, keep, budget)
                least = peak if least is None else min(least, peak)
                if peak <= budget and (best is None or (work, peak) < (best[0], best[1].peak)):
                    best = (work, Plan(rows, cols, keep, band, peak, halo))
    if best is None:
        raise InputError(
            f"max_memory of {memory.format_bytes(budget + besides)} is too little for this picture and model "
            f"even in the smallest tiles; allow {memory.format_bytes(least + besides)} or more.")
    return best[1]


def _work(job, costs, halo, rows, cols):
    """What a way to cut costs in time, in LR pixels of encoding."""
    h, w = job.lr_size
    tall, wide = _side_with_halo(max(_sizes(rows)), h, halo), _side_with_halo(max(_sizes(cols)), w, halo)
    paged = job.on_cpu and costs.features * job.batch * tall * wide >= _PAGED
    seen = _seen(rows, h, halo) * _seen(cols, w, halo)
    return seen * (_PAGED_COST if paged else 1) + _TILE_COST * (len(rows) - 1) * (len(cols) - 1)


def untiled_peak(job, costs, halo):
    """Bytes, by the same model, of running each stage once over everything, the result included."""
    pixels = job.batch * job.lr_size[0] * job.lr_size[1]
    out = job.batch * job.size[0] * job.size[1]
    fields = (costs.fields + 24) * pixels + out * job.pixel_bytes + _scratch(job, costs, job.batch * job.size[1], out)
    return int(FIXED + max(24 * pixels + _stage(costs, halo, pixels, pixels), fields))


def _peak(job, costs, halo, rows, cols, keep, budget):
    """(band, bytes) of a way to cut: the tallest band that fits, or one row where none does."""
    (h, w), (height, width) = job.lr_size, job.size
    tall, wide = halo.held(max(_sizes(rows))), halo.held(max(_sizes(cols)))
    latent = job.batch * min(h, tall + 2 * halo.latent) * min(w, wide + 2 * halo.latent)
    encoder = job.batch * _side_with_halo(max(_sizes(rows)), h, halo) * _side_with_halo(max(_sizes(cols)), w, halo)
    stage = _stage(costs, halo, encoder, latent)
    out_rows = min(height, -(-tall * height // h) + 1)
    out_cols = min(width, -(-wide * width // w) + 1)
    row_bytes = job.batch * width * job.pixel_bytes
    across = job.batch * (width if keep == "fields" else out_cols)
    band = max(1, min(out_rows, _LARGEST_BAND // (across * job.pixel_bytes)))
    while True:
        band_bytes, scratch = band * across * job.pixel_bytes, _scratch(job, costs, across, band * across)
        if keep == "fields":
            kept = (costs.fields + 24) * job.batch * min(h, tall) * w
            total = kept + max(stage + band_bytes, 2 * band_bytes + scratch)
        else:
            total = 2 * row_bytes * out_rows + max(stage, costs.fields * latent + 2 * band_bytes + scratch)
        peak = int(FIXED + total)
        if peak <= budget or band == 1:
            return band, peak
        band = band // 2


def _stage(costs, halo, encoder, latent):
    """Bytes of encoding `encoder` LR pixels and running the latent stage on `latent` of them.

    A latent stage in pieces holds those of a piece, and features and fields twice: extended, and piece by piece.
    """
    fields = costs.latent * latent
    if costs.latent_at_once is not None:
        fields = min(fields, 2 * (costs.features + costs.fields) * latent + costs.latent * costs.latent_at_once)
    most = max(costs.encoder * encoder, costs.features * (encoder + latent), fields)
    return (HEADROOM if halo.align == 1 else HEADROOM_OF_ATTENTION) * most


def _scratch(job, costs, across, pixels):
    """Bytes that a render call takes beyond fields and output; a backend may work in pieces of whole rows."""
    return 1.5 * costs.render * (pixels if costs.at_once is None else min(pixels, max(costs.at_once, across)))


def _counts(most):
    """Numbers of pieces worth trying for an axis of at most so many: all small ones, then in steps of a sixth."""
    most = max(1, most)
    count, counts = 1, []
    while count < most:
        counts.append(count)
        count += max(1, count // 6)
    return [*counts, most]


def _seen(edges, n, halo):
    """LR pixels of one axis that the encoder sees over all its tiles."""
    total = 0
    for first, end in zip(edges, edges[1:]):
        cells = halo.map.cells(*halo.map.held(first, end, n))
        low, high = windows.with_halo(*cells, n, halo.encoder + halo.latent, halo.align)
        total += high - low
    return total


def _side_with_halo(side, n, halo):
    """The most that the encoder sees of one axis for a tile of `side` LR cells."""
    start, stop = halo.map.cells(*halo.map.held(_INSIDE, _INSIDE + side, sys.maxsize))
    return min(n, stop - start + 2 * (halo.encoder + halo.latent) + 2 * (halo.align - 1))


def _sizes(edges):
    return [end - first for first, end in zip(edges, edges[1:])]
