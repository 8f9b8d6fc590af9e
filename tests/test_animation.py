"""Animated GIF, WebP and PNG, frame by frame: pixels, durations, loop count, transparency, the default image."""

import os

import golden_cases
import numpy as np
import pytest
from PIL import Image, ImageSequence

from lmf_kernels import InputError, load_model, upscale, upscale_file
from lmf_kernels.cli import main
from lmf_kernels.images import is_animated, read_animation, read_picture

MODEL = str(golden_cases.path("lmliif"))
DURATIONS = [100, 250, 40]


@pytest.fixture
def frames(seed):
    """Three frames of 9 x 7 pixels in few colours, which a GIF holds exactly."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(32, 224, (12, 3), dtype=np.uint8)  # without the extremes lossy WebP stays near
    return [Image.fromarray(colours[rng.integers(0, 12, (7, 9))]) for _ in DURATIONS]


def saved(path, frames, **options):
    lossless = {"lossless": True} if str(path).endswith("webp") else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DURATIONS, **lossless, **options)
    return str(path)


def shown(path):
    """[(RGBA pixels, duration)] of a file, as Pillow shows it."""
    with Image.open(path) as opened:
        found = []
        for frame in ImageSequence.Iterator(opened):
            pixels = np.asarray(frame.convert("RGBA"))
            found.append((pixels, frame.info.get("duration")))
        return found


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
@pytest.mark.parametrize("loop", [0, 3])
def test_frames_durations_and_loop_are_kept(tmp_path, frames, suffix, loop):
    model = load_model(MODEL)
    source = saved(tmp_path / f"in.{suffix}", frames, loop=loop)
    target = str(tmp_path / f"out.{suffix}")
    upscale_file(model, source, target, 2)
    found = shown(target)
    assert [duration for _, duration in found] == DURATIONS
    assert Image.open(target).info["loop"] == Image.open(source).info["loop"] == loop
    near = {"gif": 30, "webp": 8, "png": 0}[suffix]  # 256 colours; lossy
    for (pixels, _), frame in zip(found, frames, strict=True):
        expected = np.asarray(upscale(model, frame, 2))
        assert np.abs(pixels[..., :3].astype(int) - expected).mean() <= near and (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("source", ["gif", "webp", "png"])
@pytest.mark.parametrize("target", ["gif", "webp", "png"])
def test_between_formats(tmp_path, frames, source, target):
    """How often it is played is the same, though a GIF counts repeats; no count in a GIF is once."""
    for plays in (0, 1, 4):
        loop = {} if source == "gif" and plays == 1 else {"loop": plays - 1 if source == "gif" and plays else plays}
        path = saved(tmp_path / f"in.{source}", frames, **loop)
        assert read_animation(path).plays == plays and read_animation(path).durations == tuple(DURATIONS)
        out = str(tmp_path / f"out.{target}")
        assert main(["upscale", path, out, "--scale", "1.5", "--model", MODEL]) == 0
        again = read_animation(out)
        assert again.plays == plays and again.durations == tuple(DURATIONS) and again.size == (10, 13)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_transparent_parts_stay_transparent_in_every_frame(tmp_path, frames, suffix):
    for index, frame in enumerate(frames):
        alpha = np.full((7, 9), 255, np.uint8)
        alpha[:, 3 * index:3 * index + 3] = 0  # another third in every frame
        frame.putalpha(Image.fromarray(alpha))
    source, target = saved(tmp_path / f"in.{suffix}", frames, disposal=2), str(tmp_path / f"out.{suffix}")
    assert read_animation(source).has_alpha
    upscale_file(load_model(MODEL), source, target, 4)
    for index, (pixels, _) in enumerate(shown(target)):
        middle = 12 * index + 6
        assert (pixels[:, middle, 3] == 0).all(), "nothing of an earlier frame shows through"
        assert (pixels[:, (middle + 12) % 36, 3] > 250).all()


def test_the_default_image_of_a_png_stays_outside_the_animation(tmp_path, frames):
    source, target = tmp_path / "in.png", str(tmp_path / "out.png")
    frames[0].save(source, save_all=True, default_image=True, append_images=frames[1:], duration=DURATIONS[:2], loop=2)
    animation = read_animation(str(source))
    assert animation.still_first and animation.durations == tuple(DURATIONS[:2]) and animation.count == 3
    upscale_file(load_model(MODEL), source, target, 2)
    assert Image.open(target).info["default_image"] and read_animation(target).durations == tuple(DURATIONS[:2])
    upscale_file(load_model(MODEL), source, tmp_path / "out.gif", 2)
    assert read_animation(str(tmp_path / "out.gif")).count == 2


def test_other_formats_take_the_first_frame_and_say_so(tmp_path, frames, capsys):
    source = saved(tmp_path / "in.gif", frames)
    assert main(["upscale", source, str(tmp_path / "out.jpg"), "--scale", "2", "--model", MODEL]) == 0
    assert "3 frames; the first is used" in capsys.readouterr().err
    assert main(["upscale", source, str(tmp_path / "out.png"), "--scale", "2", "--model", MODEL]) == 0
    assert "3 frames, RGB" in capsys.readouterr().err


def test_in_a_folder_animated_gifs_stay_gifs(tmp_path, frames):
    (tmp_path / "in").mkdir()
    saved(tmp_path / "in" / "moving.gif", frames)
    frames[0].save(tmp_path / "in" / "still.gif")
    (tmp_path / "in" / "broken.gif").write_bytes(b"GIF89a but no more")
    assert main(["upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--scale", "2", "--model", MODEL]) == 1
    names = sorted(name for name in os.listdir(tmp_path / "out") if name[0] != ".")
    assert names == ["moving.gif", "still.png"] and is_animated(tmp_path / "out" / "moving.gif")


def test_memory_and_damage(tmp_path, frames):
    source = saved(tmp_path / "in.webp", frames)
    with pytest.raises(InputError, match="The 3 frames of .* take .* at once, more than max_memory"):
        upscale_file(load_model(MODEL), source, tmp_path / "out.png", 900, max_memory="100MB")
    content = (tmp_path / "in.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(content[:len(content) * 2 // 3])
    with pytest.raises(InputError, match="damaged|not a picture"):
        upscale_file(load_model(MODEL), tmp_path / "cut.webp", tmp_path / "out.webp", 2)
    with pytest.raises(InputError, match="claims 9x7 pixels"):
        upscale_file(load_model(MODEL), source, tmp_path / "out.webp", 2, max_pixels=62)
    assert sorted(os.listdir(tmp_path)) == ["cut.webp", "in.webp"]


def test_a_still_gif_is_written_with_a_note(tmp_path, frames):
    frames[0].save(tmp_path / "in.png")
    done = upscale_file(load_model(MODEL), tmp_path / "in.png", tmp_path / "out.gif", 2)
    assert "256 colours" in done.notes[0] and read_picture(tmp_path / "out.gif").size == (14, 18)
    assert read_animation(str(tmp_path / "out.gif")) is None
