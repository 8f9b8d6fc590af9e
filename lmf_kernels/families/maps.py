"""The maps on which fields live, and what parts of the output read of them. One axis at a time, whole numbers only.

A picture of n LR cells per axis is upscaled to n_out pixels. Output position X lies at `u = (2 X + 1) n / (2 n_out) -
1/2` in LR index units (half-pixel centres).
"""

from typing import Protocol

from python_ref import slices


class FieldMap(Protocol):
    """One axis of a map of fields. All ranges are half-open, [start, stop)."""

    def size(self, n_in):
        """Length of the whole map for n_in LR cells."""

    def owned(self, first, end, n_in, n_out):
        """Output positions that belong to the cells [first, end). A partition of the cells partitions the output."""

    def held(self, first, end, n_in):
        """Part of the map that the positions owned by the cells [first, end) read."""

    def cells(self, start, stop):
        """LR cells over which the part [start, stop) of the map lies: the pixels that a skip reads beside it. They may
        reach past the picture's borders."""

    def read(self, start, stop, n_in, n_out):
        """Part of the map that the output positions [start, stop), not empty, read."""


class CellMap:
    """One row of parameters per LR cell, read by the local ensemble (LIIF, section 3): a position reads the cells
    floor(u) and floor(u) + 1, clamped to the map. Without the ensemble it reads the nearer one of the two."""

    def size(self, n_in):
        return n_in

    def owned(self, first, end, n_in, n_out):
        """The positions with floor(u) in [first, end); those left of the first centre belong to the first cell."""
        return self._start(first, n_in, n_out), n_out if end == n_in else self._start(end, n_in, n_out)

    def held(self, first, end, n_in):
        return first, min(n_in, end + 1)

    def cells(self, start, stop):
        return start, stop

    def read(self, start, stop, n_in, n_out):
        first, last = (min(max(((2 * position + 1) * n_in - n_out) // (2 * n_out) + corner, 0), n_in - 1)
                       for position, corner in ((start, 0), (stop - 1, 1)))
        return first, last + 1

    @staticmethod
    def _start(cell, n_in, n_out):
        """The first position with floor(u) >= cell; every position has it for cell 0."""
        return 0 if cell == 0 else min(max(-((n_in - n_out * (2 * cell + 1)) // (2 * n_in)), 0), n_out)


class WithMargin:
    """Another map, of which windows of the output read `margin` more on each side."""

    def __init__(self, base, margin):
        self.base, self.margin = base, margin
        self.size, self.owned, self.cells = base.size, base.owned, base.cells

    def held(self, first, end, n_in):
        return self._wider(self.base.held(first, end, n_in), n_in)

    def read(self, start, stop, n_in, n_out):
        return self._wider(self.base.read(start, stop, n_in, n_out), n_in)

    def _wider(self, part, n_in):
        return max(0, part[0] - self.margin), min(self.size(n_in), part[1] + self.margin)


class VertexMap:
    """One row of parameters per vertex, n + 1 for n cells: vertex k lies between the cells k - 1 and k. A position reads
    both vertices of the cell nearest to it, which owns it (`python_ref.slices`)."""

    reach = 1  # vertices of a cell after its first

    def size(self, n_in):
        return n_in + self.reach

    def owned(self, first, end, n_in, n_out):
        return slices.first_position(first, n_in, n_out), slices.first_position(end, n_in, n_out)

    def held(self, first, end, n_in):
        return first, end + self.reach

    def cells(self, start, stop):
        """The cells that own, and the neighbours that a bilinear sample reads beside them."""
        return start - 1, stop + 1 - self.reach

    def read(self, start, stop, n_in, n_out):
        first, last = (slices.owner(position, n_in, n_out) for position in (start, stop - 1))
        return first, last + 1 + self.reach


class SliceCellMap(VertexMap):
    """One row of parameters per LR cell, read by the positions nearest to the cell."""

    reach = 0


CELLS, VERTICES, SLICE_CELLS = CellMap(), VertexMap(), SliceCellMap()
