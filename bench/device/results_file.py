"""The file of a record (`report`), in bench/results or where a call is told to leave it."""

import json
import re

from bench import results_file

SCHEMA = 2


def name_of(record):
    """The name of a record's file, without suffix: the day of its first call and the device."""
    device = record["facts"].get("device", {}).get("name", "unknown")
    return f"{record['started'][:10]}-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}-gpu"


def write(record, folder):
    """Write the results file and return its path."""
    return results_file.write(record, folder, name_of(record))


def read(path):
    """A record of a run on a GPU.

    Raises:
        ValueError: the file holds none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        fits = record["on"] == "gpu" and record["schema"] == SCHEMA
    except (KeyError, TypeError, json.JSONDecodeError):
        fits = False
    if not fits:
        raise ValueError(f"{path} is no results file of bench/device.sh")
    return record
