"""A folder of original pictures, as `eval` and `cmsr` take it."""

import os


def pictures_in(folder):
    """The paths of the pictures in a folder, sorted.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    from ..errors import InputError
    from ..images import READ_SUFFIXES

    if not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder}; give one that holds the original pictures.")
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
             if os.path.splitext(name)[1].lower() in READ_SUFFIXES and not name.startswith(".")]
    if not paths:
        raise InputError(f"There is no picture in {folder}; known suffixes: {' '.join(READ_SUFFIXES)}.")
    return paths
