"""`-` on the command line: a picture from standard input, a picture to standard output."""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager

import click

from ..errors import InputError

DASH = "-"


@contextmanager
def as_files(source, target, suffix):
    """Yield (source, target, worded) with a file in place of each `-`; standard output is written when the block ends
    well. worded(text) has words in place of those files' names, as error messages get them.

    suffix: of what goes to standard output, such as ".png".

    Raises:
        InputError: standard input is empty or standard output is a terminal or was closed.
    """
    if DASH not in (source, target):
        yield source, target, str
        return
    if target == DASH and sys.stdout.isatty():
        raise InputError("OUT is - but standard output is a terminal; redirect it to a file or another program.")
    with tempfile.TemporaryDirectory() as folder:
        words = {}
        if source == DASH:
            source = os.path.join(folder, "in")
            words[source] = "standard input"
            with open(source, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        to_stdout = target == DASH
        if to_stdout:
            target = os.path.join(folder, "out" + suffix)
            words[target] = "standard output"

        def worded(text):
            for path, name in words.items():
                text = text.replace(path, name)
            return text

        try:
            yield source, target, worded
        except InputError as error:
            raise type(error)(worded(str(error))) from None
        if to_stdout:
            _copy_to_stdout(target)


def _copy_to_stdout(path):
    try:
        with open(path, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  Python flushes standard output once more when it ends
        raise click.ClickException("standard output was closed before the picture was written.") from None
