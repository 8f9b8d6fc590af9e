"""Which output pixels belong to a tile, and which LR pixels they need. One axis at a time, whole numbers only."""


def owned(first, end, n_in, n_out):
    """Output positions [start, stop) whose lower ensemble cell is one of the cells [first, end).

    The tiles of an axis own every position once, in order. They read the cells [first, end], the last one clipped.
    """
    return _start(first, n_in, n_out), n_out if end == n_in else _start(end, n_in, n_out)


def _start(cell, n_in, n_out):
    """The first position with floor(u) >= cell, u = (2 * position + 1) * n_in / (2 * n_out) - 1/2; all have it at 0."""
    return 0 if cell == 0 else min(max(-((n_in - n_out * (2 * cell + 1)) // (2 * n_in)), 0), n_out)


def grown(first, end, n, reach, align=1):
    """[first, end) with `reach` more on each side, out to multiples of `align`, clipped to [0, n)."""
    return max(0, (first - reach) // align * align), min(n, -(-(end + reach) // align) * align)


def edges(n, count, align=1):
    """Where `count` pieces of n begin, then n: pieces of about one size, their beginnings multiples of `align`."""
    units = -(-n // align)
    return tuple(min(n, units * i // count * align) for i in range(count)) + (n,)
