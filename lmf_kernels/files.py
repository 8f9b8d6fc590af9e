"""Writing files whole or not at all."""

import os
import secrets
from contextlib import contextmanager

from .errors import InputError


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path`; when the block ends well it takes path's place, else it is removed.

    Both lie in one folder, so the replacement is one atomic rename and nobody ever sees half a file. A symbolic link is
    followed, so that the file it names is replaced and the link stays.

    Raises:
        InputError: the folder is missing or cannot be written, or path is itself a folder.
    """
    check_writable(path)
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    # Opened by hand, not by tempfile: the result then has the permissions that the user's umask gives.
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def atomic_file(path):
    """Yield a binary file open for writing; when the block ends well it takes path's place, else nothing is left.

    Where the file system can, the file has no name until then, so that not even a killed process leaves a part behind;
    elsewhere as `atomic_write`.

    Raises:
        InputError: as `atomic_write`.
    """
    check_writable(path)
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except (OSError, AttributeError):  # no such thing on this file system, or this system
        with atomic_write(path) as temporary, open(temporary, "w+b") as file:
            yield file
        return
    try:
        with open(f"/proc/self/fd/{descriptor}", "w+b") as file:  # so that file.name is text, which libraries expect
            yield file
        _name(descriptor, folder, name)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        os.close(descriptor)


def _name(descriptor, folder, name):
    """Give a nameless file its name. A link replaces nothing, so it gets another name first."""
    link = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    root = os.open(folder, os.O_RDONLY)
    try:
        # With a src_dir_fd Python calls linkat, which follows the /proc link to the file; without one it would not.
        os.link(f"/proc/self/fd/{descriptor}", link, src_dir_fd=root)
        try:
            os.replace(link, os.path.join(folder, name))
        except OSError:
            os.unlink(link)
            raise
    finally:
        os.close(root)


def check_writable(path):
    """Raise InputError now, before any work, where `atomic_write` would refuse `path`."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise InputError(f"Cannot write {path}: it is a folder; give a file name.")
    if not os.path.isdir(folder):
        raise InputError(f"Cannot write {path}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write {path}: the folder {folder} is not writable.")
