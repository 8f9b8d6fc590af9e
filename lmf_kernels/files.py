"""Atomic writing of files."""

import os
import secrets
from contextlib import contextmanager

from .errors import InputError


@contextmanager
def atomic_write(path):
    """Yield a temporary path to write to; if the block succeeds, the file replaces path, else it is removed.

    Where the file system can, the file has no name until then, so that not even a killed process leaves a part behind;
    elsewhere it lies beside `path` under another name. A symbolic link is followed: the file that it points to is
    replaced, and the link stays.

    Raises:
        InputError: the folder is missing or cannot be written, or path is itself a folder.
    """
    check_writable(path)
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    # Opened by hand, not by tempfile: the result then has the permissions that the user's umask gives.
    named = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    nameless = _nameless(folder)
    try:
        if nameless is None:
            os.close(os.open(named, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield named
        else:
            yield f"/proc/self/fd/{nameless}"
            _link(nameless, named)
        os.replace(named, target)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        if nameless is not None:
            os.close(nameless)
        if os.path.exists(named):
            os.unlink(named)


def _nameless(folder):
    """A descriptor of a new file in `folder` that has no name, None where there are none such."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except (OSError, AttributeError):
        return None
    if os.path.exists(f"/proc/self/fd/{descriptor}"):
        return descriptor
    os.close(descriptor)
    return None


def _link(descriptor, path):
    """Give a nameless file the name `path`, which is free."""
    root = os.open("/", os.O_RDONLY)
    try:
        # With a src_dir_fd Python calls linkat, which follows the link in /proc to the file; without one it would not.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=root)
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
