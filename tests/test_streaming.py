"""Pictures written row by row: every kind reads back equal, and a failure leaves nothing behind."""

import os
import random

import numpy as np
import pytest
import torch
from optional_packages import png, tifffile
from PIL import Image, ImageCms

from lmf_kernels import InputError
from lmf_kernels.streaming import can_stream, write_rows

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def draw(seed, channels, bits):
    """A picture with smooth and noisy parts, and what cuts it into bands."""
    choose, numbers = random.Random(seed), np.random.default_rng(seed)
    shape = (choose.randint(1, 90), choose.randint(1, 400), channels)
    noise = numbers.integers(0, 2**bits, shape)
    smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * 2 ** (bits - 8)
    mask = numbers.random(shape[:2])[..., None].round() * (choose.random() < 0.8)
    return np.where(mask, noise, smooth % 2**bits).astype(np.uint8 if bits == 8 else np.uint16), choose


def in_bands(picture, choose, most=11):
    y0 = 0
    while y0 < len(picture):
        count = choose.randint(1, most)
        yield y0, picture[y0:y0 + count]
        y0 += count


def written(path, bands, picture, **options):
    height, width, channels = picture.shape
    write_rows(str(path), bands, width=width, height=height, channels=channels, **options)
    return str(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF"])
def test_reads_back_equal(tmp_path, channels, bits, suffix, seed, monkeypatch):
    monkeypatch.setattr("lmf_kernels.streaming._PIECE", random.Random(seed).choice((500, 5000, 1 << 20)))
    picture, choose = draw(seed, channels, bits)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = written(tmp_path / f"p.{suffix}", in_bands(picture, choose), picture, bits=bits, icc=profile)
    assert os.listdir(tmp_path) == [f"p.{suffix}"]
    if suffix != "png":
        assert np.array_equal(tifffile.imread(path).reshape(picture.shape), picture)
    elif bits == 16:
        rows = np.stack([np.asarray(row) for row in png.Reader(path).asDirect()[2]])
        assert np.array_equal(rows.reshape(picture.shape), picture)
    if (channels, bits, suffix != "png") == (2, 16, True):
        return  # Pillow has no mode for it
    with Image.open(path) as found:
        assert found.info["icc_profile"] == profile
        pixels = np.asarray(found)
    if bits == 8:
        assert found.mode == MODES[channels]
    if bits == 8 or channels == 1:  # Pillow reads 16-bit colours as 8
        assert np.array_equal(pixels.reshape(picture.shape), picture)


def test_no_profile_and_tensors_and_floating_point(tmp_path, seed):
    picture = torch.rand(1, 37, 29, 3)
    bands = [(y0, picture[:, y0:y0 + 10]) for y0 in range(0, 37, 10)]
    path = written(tmp_path / "p.png", bands, picture[0])
    with Image.open(path) as found:
        assert "icc_profile" not in found.info
        assert np.array_equal(np.asarray(found), (picture[0] * 255).round().to(torch.uint8).numpy())
    deep = written(tmp_path / "p.tif", bands, picture[0], bits=16)
    assert np.array_equal(tifffile.imread(deep), (picture[0] * 65535).round().numpy().astype(np.uint16))
    grey = (picture[0, :, :, 0] * 255).round().to(torch.uint8)
    path = written(tmp_path / "g.png", [(0, grey)], grey[..., None])
    assert np.array_equal(np.asarray(Image.open(path)), grey.numpy())


def test_smooth_pictures_are_small(tmp_path, seed):
    rows = np.arange(300)
    picture = np.stack([np.add.outer(rows, 2 * rows) % 256] * 3, axis=-1).astype(np.uint8)
    for suffix in ("png", "tif"):
        path = written(tmp_path / f"p.{suffix}", [(0, picture)], picture)
        assert os.path.getsize(path) < picture.nbytes / 10


def test_which_formats():
    assert all(can_stream(name) for name in ("a.png", "b.TIF", "c.d.tiff"))
    assert not any(can_stream(name) for name in ("a.jpg", "a.webp", "png", "a.png.jpeg"))


@pytest.mark.parametrize("name", ["p.jpg", "p.webp", "p"])
def test_formats_that_need_the_whole_picture(tmp_path, name):
    with pytest.raises(InputError, match="needs the whole picture in memory; write .png or .tif") as caught:
        write_rows(str(tmp_path / name), [], width=3, height=3, channels=3)
    assert "\n" not in str(caught.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("spoil, says", [
    (lambda bands: bands[:-1], "The bands end at row 20 of a picture with 25 rows"),
    (lambda bands: bands[1:], "begins at row 10"),
    (lambda bands: bands + [(25, bands[0][1])], "begins at row 25"),
    (lambda bands: [(y0, rows[:, 1:]) for y0, rows in bands], "begins at row 0"),
    (lambda bands: [(y0, rows[..., :1]) for y0, rows in bands], "begins at row 0"),
    (lambda bands: [(y0, rows.astype(np.uint16)) for y0, rows in bands], "The rows are uint16"),
    (lambda bands: [], "The bands end at row 0"),
])
def test_wrong_bands_leave_the_old_file(tmp_path, suffix, spoil, says, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (25, 8, 3), dtype=np.uint8)
    path = tmp_path / f"p.{suffix}"
    path.write_text("old")
    with pytest.raises(InputError, match=says):
        written(path, spoil([(y0, picture[y0:y0 + 10]) for y0 in (0, 10, 20)]), picture)
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, suffix):
    def bands():
        yield 0, np.zeros((5, 8, 3), np.uint8)
        raise KeyError("the model failed")

    with pytest.raises(KeyError):
        write_rows(str(tmp_path / f"p.{suffix}"), bands(), width=8, height=10, channels=3)
    assert os.listdir(tmp_path) == []
