"""Tile sizes per architecture: a fixed table, and a file of measured configurations that takes precedence.

The table was made without a GPU. All its entries compile without spilling (tests/test_triton_compiled.py). At small
scales a square tile reads the fewest LR cells; at large scales a flat tile stores longer runs.
"""

import json
import os
from functools import cache
from typing import NamedTuple

from ...errors import InputError

FILE = "LMF_TRITON_CONFIGURATIONS"  # path of a file that `lmf-kernels tune` wrote


class Configuration(NamedTuple):
    """A program's tile of output pixels (rows x cols, powers of two, at least 16 pixels) and its number of warps."""

    rows: int
    cols: int
    warps: int


# What a warp of the kernel by columns has (modulated_columns.py). It stands for that kernel, which has no other tile.
COLUMNS = Configuration(2, 8, 1)


class Range(NamedTuple):
    """A configuration for output scales, sqrt(H W / (h w)), up to scale_to, or for all larger scales if it is None."""

    scale_to: float | None
    configuration: Configuration


_SQUARE_THEN_FLAT = (Range(3.0, Configuration(8, 8, 4)), Range(None, Configuration(4, 16, 4)))
TABLE = {  # architecture: {dtype of the fields: ranges in ascending order}
    architecture: dict.fromkeys(("float32", "float16", "bfloat16"), _SQUARE_THEN_FLAT)
    for architecture in ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942")
}
# The interpreter's time depends on the number of programs, not pixels.
TABLE["interpreter"] = dict.fromkeys(("float32", "float16", "bfloat16"), (Range(None, Configuration(16, 64, 4)),))
RELATIVES = (("sm_9", "sm_90"), ("sm_10", "sm_100"), ("sm_11", "sm_100"), ("sm_12", "sm_120"), ("gfx", "gfx942"))


def choose(architecture, element, scale, by_columns=False):
    """The Configuration for an architecture, a dtype of the fields ("float16") and an output scale. COLUMNS only if
    by_columns: the call can be rendered by columns.

    The scale is that of the whole image, so that a window uses the same configuration. Architectures that are not in
    the table use the entry of their nearest relative.
    """
    ranges = measured().get(architecture, {}).get(element)
    if ranges is not None:
        found = _at(ranges, scale)
        if by_columns or found != COLUMNS:
            return found
    return _at(TABLE[relative(architecture)][element], scale)


def _at(ranges, scale):
    return next(r.configuration for r in ranges if r.scale_to is None or scale <= r.scale_to)


def relative(architecture):
    """The architecture in the table whose entry this one uses."""
    if architecture in TABLE:
        return architecture
    return next((known for start, known in RELATIVES if architecture.startswith(start)), "sm_80")


def measured():
    """The table in the file that LMF_TRITON_CONFIGURATIONS names, or an empty one if it is unset. Raises InputError."""
    path = os.environ.get(FILE)
    return _read(path) if path else {}


@cache
def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return {architecture: {element: _ranges(rows) for element, rows in elements.items()}
                    for architecture, elements in json.load(file)["configurations"].items()}
    except OSError as error:
        raise InputError(f"{FILE}={path} cannot be read ({error.strerror}): name a file that `lmf-kernels tune` "
                         "wrote, or unset it.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{FILE}={path} is not a file that `lmf-kernels tune` wrote: write it again, or unset the "
                         "variable.") from None


def _ranges(rows):
    """Ranges from their JSON form, [{"scale_to", "rows", "cols", "warps"}]. Raises ValueError."""
    ranges = tuple(Range(row["scale_to"], Configuration(row["rows"], row["cols"], row["warps"])) for row in rows)
    limits = [r.scale_to for r in ranges]
    good = limits and limits[-1] is None and all(a < b for a, b in zip(limits, limits[1:-1]))
    for *tile, warps in (r.configuration for r in ranges):
        powers = all(type(n) is int and n > 0 and n & (n - 1) == 0 for n in (*tile, warps))
        good = good and powers and tile[0] * tile[1] >= 16 and warps <= 32
    if not good:
        raise ValueError
    return ranges


def to_json(ranges):
    """Ranges in the JSON form that `measured` reads."""
    return [{"scale_to": r.scale_to, **r.configuration._asdict()} for r in ranges]
