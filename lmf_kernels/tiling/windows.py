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
