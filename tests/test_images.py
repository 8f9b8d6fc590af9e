"""Pictures with all that files may hold: depth, grey, transparency, palettes, profiles, orientation."""

import numpy as np
import pytest
import torch
from optional_packages import imagecodecs, png, tifffile
from PIL import Image, ImageCms, ImageOps

from lmf_kernels.images import Picture, read_image, read_picture, write_bands
from lmf_kernels.images.colour import AlphaRows, finished_rows, fitting_profile, split

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def draw(seed):
    """draw(*shape, dtype): fresh random pixels over the dtype's whole range."""
    rng = np.random.default_rng(seed)
    return lambda *shape, dtype=np.uint8: rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def cut(pixels, *edges):
    """Pixels as bands of rows."""
    return [(y0, pixels[y0:y1]) for y0, y1 in zip((0, *edges), (*edges, len(pixels)))]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_every_depth_and_channel_comes_back_exactly(tmp_path, draw, dtype, channels, suffix):
    pixels = draw(13, 17, channels, dtype=dtype)
    path = str(tmp_path / f"p.{suffix}")
    write_bands(path, cut(pixels, 1, 8), (13, 17), channels, dtype)
    got = read_picture(path)
    assert got.pixels.dtype == dtype and np.array_equal(got.pixels, pixels) and got.notes == ()
    assert (got.grey, got.has_alpha, got.size) == (channels < 3, channels in (2, 4), (13, 17))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_png_of_another_writer(tmp_path, draw, channels):
    pixels = draw(9, 6, channels, dtype=np.uint16)
    (tmp_path / "p.png").write_bytes(imagecodecs.png_encode(pixels))
    assert np.array_equal(read_picture(tmp_path / "p.png").pixels, pixels)


@pytest.mark.parametrize("options", [
    {"compression": "lzw", "predictor": True}, {"byteorder": ">"}, {"bigtiff": True}, {"tile": (16, 16)},
    {"planarconfig": "separate"}, {"compression": "zstd"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_other_writers(tmp_path, draw, dtype, options):
    if "compression" in options:
        pytest.importorskip("imagecodecs")
    pixels = draw(21, 35, 3, dtype=dtype)
    stored = np.moveaxis(pixels, 2, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "p.tif", stored, photometric="rgb", **options)
    got = read_picture(tmp_path / "p.tif").pixels
    assert got.dtype == dtype and np.array_equal(got, pixels)


def test_tiff_kinds_with_another_zero_or_premultiplied(tmp_path, draw):
    grey = draw(5, 7, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    assert np.array_equal(read_picture(tmp_path / "white.tif").pixels[..., 0], 65535 - grey)
    straight = draw(5, 7, 4, dtype=np.uint16)
    straight[..., 3] = np.maximum(straight[..., 3], 2000)
    stored = straight.copy()
    stored[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 65535))
    tifffile.imwrite(tmp_path / "pre.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    got = read_picture(tmp_path / "pre.tif").pixels
    assert np.abs(got.astype(int) - straight).max() <= 17 and np.array_equal(got[..., 3], straight[..., 3])
    tifffile.imwrite(tmp_path / "extra.tif", straight, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(read_picture(tmp_path / "extra.tif").pixels, straight[..., :3])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("grey", [True, False])
def test_a_transparent_colour_becomes_alpha(tmp_path, draw, bits, grey):
    pixels = draw(6, 8, 1 if grey else 3, dtype=np.uint16 if bits == 16 else np.uint8)
    pixels[2, 3] = pixels[4, 5]
    key = int(pixels[2, 3, 0]) if grey else tuple(map(int, pixels[2, 3]))
    with open(tmp_path / "p.png", "wb") as file:
        png.Writer(8, 6, greyscale=grey, bitdepth=bits, transparent=key).write(file, pixels.reshape(6, -1).tolist())
    got = read_picture(tmp_path / "p.png")
    assert np.array_equal(got.pixels[..., :-1], pixels) and got.has_alpha
    expected = np.where((pixels == pixels[2, 3]).all(axis=2), 0, np.iinfo(pixels.dtype).max)
    assert np.array_equal(got.pixels[..., -1], expected) and expected[4, 5] == 0


def test_palettes_and_one_bit(tmp_path, draw):
    index = draw(6, 8) % 4
    palette = draw(4, 3)
    picture = Image.fromarray(index, "P")
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "p.png")
    assert np.array_equal(read_picture(tmp_path / "p.png").pixels, palette[index])
    picture.save(tmp_path / "t.png", transparency=bytes([0, 99, 255, 255]))
    got = read_picture(tmp_path / "t.png").pixels
    assert np.array_equal(got[..., 3], np.array([0, 99, 255, 255])[index]) and got.shape == (6, 8, 4)
    bits = draw(6, 8) > 127
    for suffix in ("png", "tif"):
        Image.fromarray(bits).save(tmp_path / f"b.{suffix}")
        assert np.array_equal(read_picture(tmp_path / f"b.{suffix}").pixels[..., 0], bits * 255)


def test_other_colour_spaces_become_rgb(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    colours = Image.fromarray(np.stack((smooth, smooth + 60, 200 - smooth), axis=2))
    for form, mode, suffix, near in (("JPEG", "CMYK", "jpg", 4), ("TIFF", "CMYK", "tif", 2), ("JPEG", "RGB", "jpg", 4)):
        path = tmp_path / f"{mode}.{suffix}"
        colours.convert(mode).save(path, form, quality=98)
        got = read_picture(path).pixels
        assert np.abs(got.astype(int) - np.asarray(colours)).mean() < near, (form, mode)
    lab = ImageCms.profileToProfile(colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
                                    outputMode="LAB")
    lab.save(tmp_path / "lab.tif")
    assert np.abs(read_picture(tmp_path / "lab.tif").pixels.astype(int) - np.asarray(colours)).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif", "sixteen"])
def test_the_camera_orientation(tmp_path, draw, orientation, kind):
    pixels = draw(4, 7, 3, dtype=np.uint16 if kind == "sixteen" else np.uint8)
    path = tmp_path / ("p.png" if kind == "png" else "p.tif")
    if kind == "png":
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    marked = Image.fromarray(pixels.astype(np.uint8))
    marked.getexif()[0x0112] = orientation
    assert np.array_equal(read_picture(path).pixels.astype(np.uint8), np.asarray(ImageOps.exif_transpose(marked)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_camera_s_notes_are_kept_but_for_the_orientation(tmp_path, draw, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Co"
    Image.fromarray(draw(4, 7, 3)).save(tmp_path / "p.jpg", exif=exif)
    picture = read_picture(tmp_path / "p.jpg")
    assert picture.size == (7, 4)
    out = str(tmp_path / f"out.{suffix}")
    write_bands(out, cut(picture.pixels), (7, 4), 3, np.uint8, exif=picture.exif)
    with Image.open(out) as written:
        assert dict(written.getexif()) == {0x0112: 1, 0x010F: "Camera & Co"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_the_colour_profile_is_kept(tmp_path, draw, suffix):
    Image.fromarray(draw(4, 7, 3)).save(tmp_path / "p.png", icc_profile=SRGB)
    picture = read_picture(tmp_path / "p.png")
    out = str(tmp_path / f"out.{suffix}")
    write_bands(out, cut(picture.pixels), (4, 7), 3, np.uint8, icc=picture.icc)
    assert picture.icc == SRGB == read_picture(out).icc


def test_a_profile_of_other_colours_is_dropped(tmp_path, draw):
    Image.fromarray(draw(4, 7)).save(tmp_path / "p.png", icc_profile=SRGB)
    assert read_picture(tmp_path / "p.png").icc is None
    assert fitting_profile(SRGB, 4) == SRGB and fitting_profile(SRGB, 2) is None and fitting_profile(None, 3) is None


def test_several_frames_give_the_first_and_a_note(tmp_path, draw):
    frames = [Image.fromarray(draw(4, 7, 3)) for _ in range(3)]
    frames[0].save(tmp_path / "p.webp", save_all=True, append_images=frames[1:], lossless=True)
    tifffile.imwrite(tmp_path / "p.tif", np.stack([np.asarray(frame) for frame in frames]), photometric="rgb")
    for suffix in ("webp", "tif"):
        got = read_picture(tmp_path / f"p.{suffix}")
        assert np.array_equal(got.pixels, np.asarray(frames[0]))
        assert "3 frames; the first is used" in got.notes[0]


def test_what_hides_under_transparency_never_shows(draw):
    pixels = draw(16, 19, 4)
    pixels[3:9, 5:14, 3] = 0
    other = pixels.copy()
    other[3:9, 5:14, :3] = draw(6, 9, 3)
    ours, alpha = split(Picture(pixels))
    assert np.array_equal(ours, split(Picture(other))[0])
    seen = pixels[..., 3] > 0
    assert np.array_equal(ours[seen], pixels[..., :3][seen]) and np.array_equal(alpha, pixels[..., 3] / np.float32(255))
    one = Picture(np.where(seen[..., None], np.uint8(77), pixels))  # one colour all around must fill the hole
    one.pixels[..., 3] = pixels[..., 3]
    assert (split(one)[0] == 77).all()
    none = pixels.copy()
    none[..., 3] = 0
    assert np.array_equal(split(Picture(none))[0], pixels[..., :3])


def test_alpha_in_bands_is_alpha_as_a_whole(draw):
    alpha = draw(9, 7).astype(np.float32) / 255
    for size in ((23, 31), (9, 7), (5, 4), (40, 3)):
        whole = np.asarray(Image.fromarray(alpha).resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, 1)
        rows = AlphaRows(alpha, size)
        parts = [rows(start, min(start + 3, size[0])) for start in range(0, size[0], 3)]
        assert np.allclose(np.concatenate(parts), whole, atol=2e-6)


def test_rows_are_finished_as_the_file_wants_them(draw):
    rows = torch.from_numpy(draw(5, 6, 3))
    alpha = draw(5, 6).astype(np.float32) / 255
    assert np.array_equal(finished_rows(rows, np.uint8, grey=False), rows.numpy())
    both = finished_rows(rows, np.uint8, grey=False, alpha=alpha)
    assert np.array_equal(both[..., :3], rows.numpy()) and np.array_equal(both[..., 3], np.rint(alpha * 255))
    paper = finished_rows(rows, np.uint8, grey=False, alpha=alpha, paper=True)
    assert np.abs(paper - (rows.numpy() * alpha[..., None] + 255 * (1 - alpha[..., None]))).max() <= 0.51
    unit = torch.rand(5, 6, 3)
    assert np.abs(finished_rows(unit, np.uint16, grey=False) / 65535 - unit.numpy()).max() <= 0.51 / 65535
    luma = 0.299 * unit[..., 0] + 0.587 * unit[..., 1] + 0.114 * unit[..., 2]
    assert np.abs(finished_rows(unit, np.uint16, grey=True)[..., 0] / 65535 - luma.numpy()).max() <= 0.6 / 65535


def test_formats_without_grey_hold_it_as_colours(tmp_path):
    ramp = np.add.outer(np.arange(0, 64), np.arange(0, 64)).astype(np.uint8)[..., None]
    write_bands(str(tmp_path / "p.webp"), cut(ramp), (64, 64), 1, np.uint8)
    got = read_picture(tmp_path / "p.webp").pixels
    assert got.shape == (64, 64, 3) and np.abs(got.astype(int) - ramp).max() < 8
    write_bands(str(tmp_path / "p.jpg"), cut(ramp), (64, 64), 1, np.uint8)
    assert read_picture(tmp_path / "p.jpg").grey


def test_reading_as_colours_keeps_sixteen_bits(tmp_path, draw):
    pixels = draw(5, 6, 3, dtype=np.uint16)
    write_bands(str(tmp_path / "p.png"), cut(pixels), (5, 6), 3, np.uint16)
    got = read_image(tmp_path / "p.png")
    assert got.shape == (1, 3, 5, 6) and torch.equal(got[0].permute(1, 2, 0), torch.from_numpy(pixels / 65535).float())
