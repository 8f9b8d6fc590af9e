"""Reading and writing pictures: modes, orientation, formats, and files that are whole or absent."""

import os
import pathlib

import numpy as np
import pytest
import torch
from PIL import Image

from lmf_kernels import InputError
from lmf_kernels.files import atomic_write
from lmf_kernels.images import read_image, write_image


@pytest.fixture
def pixels(seed):
    return torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)


def saved(tmp_path, array, mode=None, suffix="png", **options):
    path = str(tmp_path / f"picture.{suffix}")
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def test_colours_come_back_exactly(tmp_path, pixels):
    for suffix in ("png", "bmp", "tif", "tiff"):
        path = str(tmp_path / f"p.{suffix}")
        write_image(path, pixels)
        got = read_image(path)
        assert got.shape == (1, 3, 5, 7) and got.dtype == torch.float32
        assert torch.equal((got[0] * 255).round().to(torch.uint8).permute(1, 2, 0), pixels)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp"])
def test_lossy_formats_come_close(tmp_path, suffix):
    rows = torch.arange(64, dtype=torch.uint8)
    smooth = torch.stack((rows[:, None].expand(64, 64), rows.expand(64, 64) * 2, (rows[:, None] + rows)), dim=-1)
    write_image(str(tmp_path / f"p.{suffix}"), smooth.contiguous())
    got = read_image(str(tmp_path / f"p.{suffix}"))[0].permute(1, 2, 0) * 255
    assert (got - smooth).abs().mean() < 4


def test_grey_palette_and_alpha_become_rgb(tmp_path, pixels):
    array = pixels.numpy()
    grey = read_image(saved(tmp_path, array[..., 0]))
    assert torch.equal(grey[0, 0], grey[0, 2]) and torch.equal(grey[0, 0] * 255, pixels[..., 0].float())
    assert read_image(saved(tmp_path, array, "P")).shape == (1, 3, 5, 7)
    bits = np.asarray(Image.fromarray(array[..., 0]).convert("1"))
    assert np.array_equal(read_image(saved(tmp_path, array[..., 0], "1"))[0, 1].numpy(), bits.astype(np.float32))
    alpha = np.dstack((array, np.full((5, 7), 9, np.uint8)))
    assert torch.equal((read_image(saved(tmp_path, alpha))[0] * 255).round().permute(1, 2, 0), pixels.float())


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    array = np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)
    got = read_image(saved(tmp_path, array))[0, 1] * 255
    assert np.abs(got.numpy() - array / 257).max() <= 1 and got.max() == 255


def test_the_camera_orientation_is_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    got = read_image(saved(tmp_path, pixels.numpy(), exif=exif))
    assert torch.equal((got[0] * 255).round().permute(1, 2, 0), pixels.flip(0).transpose(0, 1).float())


def test_pictures_that_cannot_be_read(tmp_path, pixels):
    path = saved(tmp_path, pixels.numpy().astype(np.float32)[..., 0], suffix="tiff")
    with pytest.raises(InputError, match="floating-point"):
        read_image(path)
    with pytest.raises(InputError, match="claims 7x5 pixels, more than the limit of 20"):
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 10
        try:
            read_image(saved(tmp_path, pixels.numpy()))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def test_a_format_that_cannot_hold_the_picture_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="70000x1 pixels"):
        write_image(str(tmp_path / "wide.jpg"), torch.zeros(1, 70000, 3, dtype=torch.uint8))
    assert os.listdir(tmp_path) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_write(path) as temporary:
        pathlib.Path(temporary).write_text("half")
        raise KeyError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["f.txt"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    os.symlink(tmp_path / "real.txt", tmp_path / "link.txt")
    with atomic_write(tmp_path / "link.txt") as temporary:
        pathlib.Path(temporary).write_text("new")
    assert os.path.islink(tmp_path / "link.txt") and (tmp_path / "real.txt").read_text() == "new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_to_write(tmp_path, pixels):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="not writable"):
        write_image(str(tmp_path / "p.png"), pixels)
