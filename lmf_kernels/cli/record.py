"""What the program has made in a folder, so that a folder done again is done again only where it has to be.

    .lmf-kernels.jsonl    one line of JSON per picture, the last one of a name counts:
                          {"name", "bytes", "source", "source_bytes", "made": {"scale" | "size" and "fit", "model",
                          "dtype", "quality"}}

"model" is the SHA-256 of the weights' file. What changes a result by rounding at most (device, backend, threads,
memory) is not recorded.
"""

import enum
import hashlib
import json
import os

from ..errors import InputError
from ..files import atomic_write

NAME = ".lmf-kernels.jsonl"


class State(enum.Enum):
    """Of an output: to be made; made already, the same way; or there, but not as this program left it."""

    TO_DO = enum.auto()
    DONE = enum.auto()
    FOREIGN = enum.auto()


class Record:
    """The record of one folder, which need not exist yet."""

    def __init__(self, folder):
        self._path = os.path.join(folder, NAME)
        self._entries, self._lines = {}, 0
        try:
            with open(self._path, encoding="utf-8") as file:
                lines = file.readlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        for line in lines:
            self._lines += 1
            try:
                entry = json.loads(line)
                self._entries[entry["name"]] = entry
            except (ValueError, KeyError, TypeError):
                pass  # a line that a kill has cut

    def state(self, source, target, made):
        """The State of `target`, a file in this folder, as the result of `source` made in the way `made`."""
        if not os.path.exists(target) or not os.path.exists(source):  # a missing source is reported when it is read
            return State.TO_DO
        entry = self._entries.get(os.path.basename(target))
        if entry is None or entry.get("bytes") != os.path.getsize(target):
            return State.FOREIGN
        newer = os.path.getmtime(source) > os.path.getmtime(target)
        same = entry == _entry(source, target, made)
        return State.DONE if same and not newer else State.TO_DO

    def add(self, source, target, made):
        """Note that `target` is there now.

        Raises:
            InputError: the record cannot be written.
        """
        entry = _entry(source, target, made)
        self._entries[entry["name"]] = entry
        if self._lines > 2 * len(self._entries):  # most lines are out of date: write the file anew
            with atomic_write(self._path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.writelines(map(_line, self._entries.values()))
            self._lines = len(self._entries)
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(entry))
        except OSError as error:
            raise InputError(f"Cannot write {self._path}: {error.strerror or error}.") from None
        self._lines += 1


def digest(path):
    """The SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _entry(source, target, made):
    return {"name": os.path.basename(target), "bytes": os.path.getsize(target), "source": os.path.basename(source),
            "source_bytes": os.path.getsize(source), "made": made}


def _line(entry):
    return json.dumps(entry) + "\n"
