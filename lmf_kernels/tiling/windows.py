"""Ranges of one axis: tiles and their halos. Whole numbers only; every range is half-open, [start, stop).

Which output positions belong to a tile, and what they read, is the families' knowledge: `families.maps`.
"""


def with_halo(start, stop, n, halo, align=1):
    """[start, stop) with `halo` more on each side, out to multiples of `align`, clipped to [0, n)."""
    return max(0, (start - halo) // align * align), min(n, -(-(stop + halo) // align) * align)


def edges(n, count, align=1):
    """Where `count` pieces of n begin, then n: pieces of about one size that begin at multiples of `align`."""
    units = -(-n // align)
    return tuple(min(n, units * i // count * align) for i in range(count)) + (n,)


def edges_before(starts, count, n):
    """Where `count` pieces of n begin, then n: pieces whose second cell begins a block, at some of `starts`.

    A piece reads one cell beyond its end (`families.maps.CellMap.held`), which is then the last one of its last block.
    """
    chosen = (starts[len(starts) * i // count] for i in range(count))
    return (*(max(start - 1, 0) for start in chosen), n)
