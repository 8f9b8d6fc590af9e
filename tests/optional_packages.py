"""Packages that only some picture formats need: a test that comes to use a missing one is skipped.

Tests take `imagecodecs`, `png` and `tifffile` from here, imported at first use. Inside lmf_kernels a missing package is
an InputError, which the fixture `skip_without_packages` turns into a skip.
"""

from importlib.util import find_spec

import pytest

from lmf_kernels import optional

MISSING = {name for name in ("imagecodecs", "png", "tifffile", "skimage") if find_spec(name) is None}


class Lazy:
    """A module, imported when one of its attributes is read."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(pytest.importorskip(self._name), attribute)


imagecodecs, png, tifffile = Lazy("imagecodecs"), Lazy("png"), Lazy("tifffile")


@pytest.fixture(autouse=True)
def skip_without_packages(monkeypatch):
    """Skips a test in which lmf_kernels asks for a package that is not installed here."""
    asked = optional.required

    def required(module, *what):
        if module in MISSING:
            pytest.skip(f"needs {module}")
        return asked(module, *what)

    if MISSING:
        monkeypatch.setattr(optional, "required", required)
