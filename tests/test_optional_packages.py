"""Without the packages that only some picture formats need: all else works, and one sentence says what to install."""

import pathlib
import re
import struct
import subprocess
import sys
import zlib

import golden_cases
import pytest
from PIL import Image

from lmf_kernels import InputError
from lmf_kernels.images import check_output, read_picture

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHILD = pathlib.Path(__file__).with_name("child_bare_import.py")
ALONE = """
import sys
sys.modules.update(dict.fromkeys(("imagecodecs", "png", "tifffile", "skimage")))
from bench import cases
import lmf_kernels, lmf_kernels.cli
from lmf_kernels.images import read_picture, write_image
write_image(sys.argv[1], (cases.picture((9, 12))[0].permute(1, 2, 0) * 255).byte())
assert read_picture(sys.argv[1]).size == (9, 12)
try:
    read_picture(sys.argv[2])
except lmf_kernels.InputError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def skip_without_packages():
    """In place of the one of optional_packages: these tests are about packages that are missing."""


def says(package, what):
    return (f"{re.escape(what)}.* needs the package {package}, which is not installed; install it with "
            f"`pip install {package}`.$")


def sixteen_bit_png():
    """A PNG of one pixel, 16 bits in colours."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(7))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name, module, package", [
    ("p.png", "png", "pypng"), ("p.tif", "tifffile", "tifffile"), ("p.TIFF", "tifffile", "tifffile")])
def test_writing_is_refused_before_any_work(tmp_path, monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=says(package, f"Writing {tmp_path / name}")):
        check_output(str(tmp_path / name))


def test_reading_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "deep.png").write_bytes(sixteen_bit_png())
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(InputError, match=says("imagecodecs", "deep.png, a PNG with 16 bits")):
        read_picture(tmp_path / "deep.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "p.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(InputError, match=says("tifffile", "p.tif, a TIFF,")):
        read_picture(tmp_path / "p.tif")


def test_all_else_works_without_any_of_them(tmp_path):
    """In a fresh process, for tifffile remembers whether it found imagecodecs."""
    Image.new("RGB", (3, 2)).save(tmp_path / "packed.tif", compression="tiff_lzw")
    done = subprocess.run([sys.executable, "-c", ALONE.replace('"tifffile", ', ""), tmp_path / "p.bmp",
                           tmp_path / "packed.tif"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(says("imagecodecs", "packed.tif, a TIFF compressed by LZW,"), done.stdout.strip())
    done = subprocess.run([sys.executable, "-c", ALONE, tmp_path / "p.jpg", tmp_path / "packed.tif"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(says("tifffile", "packed.tif, a TIFF,"), done.stdout.strip())


def test_tensors_need_no_package_for_pictures_or_the_command_line(tmp_path):
    done = subprocess.run([sys.executable, CHILD, golden_cases.path("lmliif")], cwd=tmp_path, capture_output=True,
                          text=True)
    assert done.returncode == 0 and done.stdout == "rendered\n", done.stderr


def test_a_package_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "png.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.delitem(sys.modules, "png", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"needs the package pypng, which cannot be imported \(.*is_not_there"):
        check_output(str(tmp_path / "p.png"))
