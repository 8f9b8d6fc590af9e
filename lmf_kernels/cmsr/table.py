"""Scale-to-modulation tables: {output scale: {decode scale: threshold}}, and the authors' YAML files of them.

Such a file is a mapping of mappings of numbers:

    6:
      1: 0.32
      2: 0.41
      6: 1

At an output scale up to 6, cells whose modulation intensity is at most 0.32 are decoded at x1, others up to 0.41 at x2.
An entry at the output scale itself says nothing: what remains is decoded there. The authors' files have it, so ours do.
"""

import math
import numbers
import os
from collections.abc import Mapping

import yaml

from ..errors import InputError
from ..files import atomic_write

Tables = Mapping[float, Mapping[float, float]]
_MOST_BYTES = 1 << 20  # of a file: a table has a few hundred


def checked(tables, what="A CMSR table"):
    """The tables with scales rising, as plain dicts.

    Raises:
        InputError: they are no such mapping; the message begins with `what`.
    """
    if not isinstance(tables, Mapping) or not tables or not all(isinstance(t, Mapping) and t for t in tables.values()):
        raise InputError(f"{what} maps output scales to mappings of decode scales to thresholds, such as "
                         "{6: {1: 0.32, 2: 0.41}}.")
    for scale in (*tables, *(scale for table in tables.values() for scale in table)):
        if not _is_number(scale) or scale <= 0:
            raise InputError(f"{what} has the scale {scale!r:.40}: scales are finite numbers above zero.")
    for table in tables.values():
        for threshold in table.values():
            if not _is_number(threshold) or threshold < 0:
                raise InputError(f"{what} has the threshold {threshold!r:.40}: thresholds are finite numbers from 0.")
    return {key: dict(sorted(tables[key].items())) for key in sorted(tables)}


def read_tables(path):
    """The tables of a YAML file, checked.

    Raises:
        InputError: the file cannot be read, or does not hold such tables.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    if len(text) > _MOST_BYTES:
        raise InputError(f"{path} is no CMSR table: it has more than {_MOST_BYTES} bytes.")
    try:
        stored = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{path} is no YAML file, as CMSR tables are.") from None
    return checked(stored, path)


def write_tables(path, tables, notes=()):
    """Write tables to a YAML file, whole or not at all. notes: lines of comment above them."""
    text = as_text(tables, notes)
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def as_text(tables, notes=()):
    """The YAML text of tables."""
    plain = {_plain(key): {_plain(scale): _plain(threshold) for scale, threshold in table.items()}
             for key, table in checked(tables).items()}
    return "".join(f"# {line}\n" for line in notes) + yaml.safe_dump(plain, sort_keys=False)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value):
    """A whole number as an int, as the authors write it, others as a float."""
    return int(value) if float(value).is_integer() else round(float(value), 6)
