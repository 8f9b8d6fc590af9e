"""Which fonts drawn text is set in: the files of a folder or of this system, and always Pillow's own."""

import functools
import os
import sys

from PIL import ImageFont

from ..errors import InputError

_SUFFIXES = (".otf", ".ttf")
_MOST = 64  # files; more add little
_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts"),
    "win32": (os.path.join(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"),),
}.get(sys.platform, ("/usr/share/fonts", "/usr/local/share/fonts"))


def find_fonts(folder=None):
    """Paths of font files, in the order of their names; empty where there are none.

    Args:
        folder: where to look, subfolders included; None: where this system keeps its fonts.

    Raises:
        InputError: the folder is missing or holds no font.
    """
    if folder is not None and not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder}; give a folder of fonts ({' '.join(_SUFFIXES)}).")
    found = {}  # by name, so that a font in two places counts once
    for root in _FOLDERS if folder is None else (folder,):
        for place, _, names in sorted(os.walk(root)):
            found.update((name, os.path.join(place, name)) for name in names if name.lower().endswith(_SUFFIXES))
    usable = [path for _, path in sorted(found.items()) if _sets_latin(path)]
    if folder is not None and not usable:
        raise InputError(f"{folder} holds no font that Pillow reads; give a folder of {' or '.join(_SUFFIXES)} files.")
    return tuple(usable[:: max(1, -(-len(usable) // _MOST))])


def font_names(fonts):
    """File names of fonts, which tell a resumed run whether it finds the same."""
    return [os.path.basename(path) for path in fonts]


@functools.lru_cache(maxsize=1024)
def font(path, size):
    """Pillow's font object. path: None for Pillow's own. size: pixels."""
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)


def _sets_latin(path):
    """Whether Pillow reads the file, and letters differ from each other and from a missing one."""
    try:
        masks = [bytes(font(path, 16).getmask(letter)) for letter in "Ag\uffff"]
    except (OSError, ValueError):
        return False
    return len(set(masks)) == 3
