"""Picture files that are damaged, too large or of no use, and files that are whole or not there."""

import io
import os
import pathlib
import shutil
import zlib

import numpy as np
import pytest
from optional_packages import imagecodecs, tifffile
from PIL import Image

from lmf_kernels import InputError, files
from lmf_kernels.images import check_output, check_room, read_picture, write_bands


@pytest.fixture
def draw(seed):
    """draw(*shape, dtype): fresh random pixels over the dtype's whole range."""
    rng = np.random.default_rng(seed)
    return lambda *shape, dtype=np.uint8: rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def damaged(draw):
    """Name, content and what the sentence says, of files that are no whole pictures."""
    def encoded(array, form, **options):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, form, **options)
        return buffer.getvalue()

    eight, sixteen = draw(40, 50, 3), draw(40, 50, 3, dtype=np.uint16)
    strips = io.BytesIO()
    tifffile.imwrite(strips, sixteen, photometric="rgb", compression="zlib")
    yield "empty.png", b"", "empty (0 bytes)"
    yield "text.png", b"This is no picture.\n" * 20, "not a picture of a kind"
    yield "text.tif", b"II*\0 but this is no TIFF", "damaged"
    for name, content in (("cut.png", encoded(eight, "PNG")), ("cut.jpg", encoded(eight, "JPEG")),
                          ("cut.webp", encoded(eight, "WEBP")), ("cut16.png", imagecodecs.png_encode(sixteen)),
                          ("cut.tif", strips.getvalue()), ("cut.bmp", encoded(eight, "BMP"))):
        yield name, content[:len(content) * 2 // 3], "damaged"
    yield "head.png", encoded(eight, "PNG")[:30], ""


def test_damaged_files_are_told_in_one_sentence(tmp_path, draw):
    for name, content, says in damaged(draw):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_picture(path)
        assert says in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value), name


def test_a_decompression_bomb_is_refused_unless_allowed(tmp_path, draw):
    for name, depth in (("p.png", np.uint8), ("p.tif", np.uint16)):
        write_bands(str(tmp_path / name), [(0, draw(8, 9, 3, dtype=depth))], (8, 9), 3, depth)
        with pytest.raises(InputError, match="claims 9x8 pixels, more than the limit of 71; raise the limit"):
            read_picture(tmp_path / name, max_pixels=71)
        assert read_picture(tmp_path / name, max_pixels=72).size == (8, 9)
    huge = bytearray((tmp_path / "p.png").read_bytes())
    huge[16:24] = (60000).to_bytes(4, "big") * 2  # the header says so; a reader that allocated it would die
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(huge)
    with pytest.raises(InputError, match="60000x60000 pixels, more than the limit of 178956970"):
        read_picture(tmp_path / "bomb.png")
    assert Image.MAX_IMAGE_PIXELS is not None


def test_values_without_a_range_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((4, 4, 3), np.float32), photometric="rgb")
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((4, 4), np.int32), photometric="minisblack")
    for name, says in (("f.tif", "floating-point"), ("i.tif", "int32")):
        with pytest.raises(InputError, match=f"{says} pixels, which have no agreed range"):
            read_picture(tmp_path / name)


def test_limits_of_formats_and_disk(tmp_path, monkeypatch):
    for name, side in (("p.jpg", 65501), ("p.webp", 16384)):
        with pytest.raises(InputError, match=f"at most {side - 1} a side"):
            check_output(str(tmp_path / name), (10, side))
        check_output(str(tmp_path / name), (10, side - 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 0, 10**6))
    check_room(str(tmp_path / "p.png"), (1000, 333), 3, np.uint8)
    check_room(str(tmp_path / "p.jpg"), (1000, 1333), 3, np.uint8)
    for name, dtype in (("p.png", np.uint16), ("p.tif", np.uint16)):
        with pytest.raises(InputError, match="may take 0.0 GB, but .* free; ask for a smaller output"):
            check_room(str(tmp_path / name), (1000, 333), 3, dtype)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("nameless", [True, False])
def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch, nameless):
    if not nameless:
        monkeypatch.setattr(files, "_nameless", lambda folder: None)
    path = tmp_path / "f.txt"
    umask = os.umask(0o027)
    try:
        with files.atomic_write(path) as temporary:
            with open(temporary, "w") as file:
                file.write("new")
            assert not path.exists()
    finally:
        os.umask(umask)
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640 and os.listdir(tmp_path) == ["f.txt"]
    with pytest.raises(InputError, match="No space left"), files.atomic_write(path) as temporary:
        pathlib.Path(temporary).write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["f.txt"]
