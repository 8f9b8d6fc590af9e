"""Amounts of memory: read from what people write, and written as people read them."""

import numbers
import re

from ..errors import InputError

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_size(value, what="max_memory"):
    """Bytes, from a whole number or from text: "2GB", "1.5 GiB", "800M", "3000000000".

    K, M, G and T are powers of 1000, Ki, Mi, Gi and Ti powers of 1024; the closing B may be left out.

    Raises:
        InputError: it is neither, or less than one byte; the message names `what`.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        count = int(value)
    else:
        match = isinstance(value, str) and re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([kmgt]i?)?b?\s*", value,
                                                        re.IGNORECASE | re.ASCII)
        if not match or len(value) > 40:
            raise InputError(f"{what} is a number of bytes or text such as '2GB' or '512MiB', got {value!r:.40}.")
        count = int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    if count < 1:
        raise InputError(f"{what} is one byte or more, got {value!r:.40}.")
    return count


def format_bytes(count):
    """A number of bytes as text, rounded up: "2.9 GB", "640 MB", "12 kB"."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            tenths = -(-count * 10 // size)
            return f"{tenths / 10:.1f} {unit}" if tenths < 100 else f"{-(-count // size)} {unit}"
    return f"{count} bytes"


def resident():
    """Bytes of this process in main memory now, or None where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None
