"""The program on folders and on pictures of every kind: what it writes, skips, lists, refuses and leaves behind."""

import os
import shutil
import signal

import golden_cases
import numpy as np
import pytest
import torch
from optional_packages import imagecodecs
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lmf_kernels import built_in, checkpoints, files, load_model, picture_job, save_model, upscale
from lmf_kernels.cli import main
from lmf_kernels.images import read_picture

MODEL = str(golden_cases.path("lmliif"))
FAST = ["--scale", "1.5", "--model", MODEL]


@pytest.fixture
def draw(seed):
    """draw(*shape, dtype): smooth random pixels, as photographs are."""
    rng = np.random.default_rng(seed)

    def smooth(*shape, dtype=np.uint8):
        planes = [np.asarray(small.resize(shape[1::-1], Image.Resampling.BICUBIC)).clip(0, 1)
                  for small in (Image.fromarray(rng.random((3, 4), np.float32)) for _ in range(shape[2]))]
        return np.rint(np.stack(planes, axis=2) * np.iinfo(dtype).max).astype(dtype)

    return smooth


@pytest.fixture
def folder(tmp_path, draw):
    """A folder of three pictures, a text and a hidden file, and where the results go."""
    source = tmp_path / "in"
    (source / "inner").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "c.tif"):
        Image.fromarray(draw(6, 8, 3)).save(source / name)
    (source / "notes.txt").write_text("no picture")
    (source / ".hidden.png").write_text("no picture")
    return source, tmp_path / "out"


def shown(folder):
    """The names in a folder, hidden ones left out."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def test_a_folder_goes_through_and_is_skipped_when_done(folder, capsys, monkeypatch):
    source, out = folder
    assert main(["upscale", str(source), str(out), *FAST]) == 0
    said = capsys.readouterr().err
    assert "3 upscaled, 0 skipped as done, 0 failed" in said and said.count("\npicture ") == 2  # and one at the start
    assert all(word in said for word in ("seconds  load model", "encoder", "render", "write picture", "ran on"))
    assert shown(out) == ["a.png", "b.jpg", "c.tif"]
    assert all(read_picture(out / name).size == (9, 12) for name in shown(out))
    times = {name: (out / name).stat().st_mtime_ns for name in shown(out)}
    os.utime(source / "b.jpg", (2**31 - 9, 2**31 - 9))  # newer than its result
    assert main(["upscale", str(source), str(out), *FAST]) == 0
    assert "1 upscaled, 2 skipped as done, 0 failed" in capsys.readouterr().err
    now = {name: (out / name).stat().st_mtime_ns for name in shown(out)}
    assert [name for name in times if times[name] != now[name]] == ["b.jpg"]
    assert main(["upscale", str(source), str(out), *FAST, "--overwrite"]) == 0
    assert "3 upscaled, 0 skipped" in capsys.readouterr().err
    os.utime(source / "b.jpg", (1, 1))
    monkeypatch.setattr(checkpoints, "load_model", None)
    assert main(["upscale", str(source), str(out), *FAST]) == 0  # nothing to do: the model is not even read


def test_a_chosen_suffix(folder):
    source, out = folder
    assert main(["upscale", str(source), str(out), *FAST, "--suffix", "webp"]) == 0
    assert shown(out) == ["a.webp", "b.webp", "c.webp"]


def test_a_kind_that_is_only_read_becomes_png(folder):
    source, out = folder
    Image.open(source / "a.png").quantize(8).save(source / "d.gif")
    assert main(["upscale", str(source), str(out), *FAST]) == 0
    assert read_picture(out / "d.png").size == (9, 12)


def test_failures_are_listed_and_the_rest_is_done(folder, capsys):
    source, out = folder
    (source / "aa.png").write_text("text named png")
    (source / "b2.png").touch()
    assert main(["upscale", str(source), str(out), *FAST]) == 1
    said = capsys.readouterr().err
    assert "3 upscaled, 0 skipped as done, 2 failed" in said and "Traceback" not in said
    failed = [line for line in said.splitlines() if line.startswith("failed")]
    assert len(failed) == 2 and "aa.png" in failed[0] and "not a picture" in failed[0] and "0 bytes" in failed[1]
    assert shown(out) == ["a.png", "b.jpg", "c.tif"]


def refused(capsys, *arguments):
    """The one sentence of a call that must be refused."""
    assert main(["upscale", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lmf-kernels: error: ") and said.count("\n") == 1
    return said


def test_folders_that_are_refused_before_any_work(folder, tmp_path, capsys):
    source, out = folder
    shutil.copy(source / "a.png", source / "b.png")
    assert "b.jpg and" in (said := refused(capsys, source, out, *FAST, "--suffix", "png")) and "both become" in said
    assert "the same folder" in refused(capsys, source, f"{source}/../in", *FAST)
    assert "OUT is a folder too" in refused(capsys, source, source / "a.png", *FAST)
    assert "OUT is a folder too" in refused(capsys, source, tmp_path / "new.png", *FAST)
    assert "there is no folder" in refused(capsys, source, tmp_path / "no" / "where", *FAST)
    assert "There is no picture in" in refused(capsys, source / "inner", out, *FAST)
    assert "Cannot write .xyz files" in refused(capsys, source, out, *FAST, "--suffix", "xyz")
    assert "--format is for folders" in refused(capsys, source / "a.png", tmp_path / "o.png", *FAST, "--suffix", "png")
    assert "--max-memory is a number of bytes" in refused(capsys, source, out, *FAST, "--max-memory", "much")
    assert "There is no file x.pth" in refused(capsys, source, out, "--scale", "2", "--model", "x.pth")
    assert sorted(os.listdir(tmp_path)) == ["in"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(folder, tmp_path, capsys):
    source, out = folder
    out.mkdir(mode=0o500)
    assert "permission denied" in refused(capsys, source, out, *FAST)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_alpha_and_sixteen_bits_stay(tmp_path, draw, capsys, channels, dtype):
    pixels = draw(9, 11, channels, dtype=dtype)
    top = np.iinfo(dtype).max
    if channels in (2, 4):
        pixels[..., -1] = np.maximum(pixels[..., -1], 1)  # test_images has what is wholly transparent
    source, out = tmp_path / "in.png", tmp_path / "out.tif"
    source.write_bytes(imagecodecs.png_encode(pixels if channels > 1 else pixels[..., 0]))
    assert main(["upscale", str(source), str(out), "--scale", "2.5", "--model", MODEL]) == 0
    got = read_picture(out).pixels
    assert got.dtype == dtype and got.shape == (22, 27, channels)
    assert f"{8 * dtype().itemsize} bits" in capsys.readouterr().err
    colours = np.repeat(pixels[..., :1], 3, axis=2) if channels < 3 else pixels[..., :3]
    image = torch.from_numpy(colours.astype(np.float32) / top).permute(2, 0, 1)[None]
    expected = upscale(load_model(MODEL), image, 2.5, layout="nhwc")[0].numpy() * top
    if channels < 3:
        expected = expected @ np.array([0.299, 0.587, 0.114], np.float32)[:, None]
    assert np.abs(got[..., :expected.shape[2]] - expected).max() <= (1.01 if dtype == np.uint8 else 3)
    if channels in (2, 4):
        alpha = Image.fromarray(pixels[..., -1].astype(np.float32)).resize((27, 22), Image.Resampling.BICUBIC)
        assert np.abs(got[..., -1] - np.asarray(alpha).clip(0, top)).max() <= 1


def test_what_a_format_cannot_keep_is_said(tmp_path, draw, capsys):
    pixels = draw(9, 11, 4, dtype=np.uint16)
    pixels[..., 3] = 0
    (tmp_path / "p.png").write_bytes(imagecodecs.png_encode(pixels))
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.jpg"), *FAST]) == 0
    said = capsys.readouterr().err
    assert "laid on white" in said and "8 are written" in said
    assert (read_picture(tmp_path / "o.jpg").pixels >= 254).all()


def test_the_megapixel_limit(tmp_path, draw, capsys):
    Image.fromarray(draw(40, 50, 3)).save(tmp_path / "p.png")
    said = refused(capsys, tmp_path / "p.png", tmp_path / "o.png", *FAST, "--max-megapixels", "0.0019")
    assert "50x40 pixels, more than the limit of 1900" in said
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.png"), *FAST, "--max-megapixels", "0.002"]) == 0


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_model_s_type(tmp_path, draw, dtype, capsys):
    pixels = draw(7, 9, 3)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.png"), *FAST, "--dtype", dtype]) == 0
    assert f"in {dtype}" in capsys.readouterr().err
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "f.png"), *FAST]) == 0
    difference = np.abs(read_picture(tmp_path / "o.png").pixels.astype(int) - read_picture(tmp_path / "f.png").pixels)
    assert difference.max() <= (1 if dtype == "float64" else 12)


@pytest.mark.parametrize("nameless", [True, False])
def test_a_kill_in_the_middle_leaves_nothing(tmp_path, draw, monkeypatch, nameless, capsys):
    if not nameless:
        monkeypatch.setattr(files, "_nameless", lambda folder: None)
    Image.fromarray(draw(30, 40, 3)).save(tmp_path / "p.png")
    finish, seen = picture_job.render.finished_rows, []

    def kill(*arguments, **options):
        seen.append(sorted(os.listdir(tmp_path)))
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return finish(*arguments, **options)

    monkeypatch.setattr(picture_job.render, "finished_rows", kill)
    monkeypatch.setattr(picture_job.render, "_AT_ONCE", 1)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.png"), *FAST]) == 128 + signal.SIGTERM
    assert len(seen) == 2 and len(seen[1]) == (1 if nameless else 2)  # it was at work on the file
    assert os.listdir(tmp_path) == ["p.png"] and signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_is_told_before_the_model_is_read(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 900, 100))
    said = refused(capsys, folder[0] / "a.png", tmp_path / "o.png", "--scale", "2", "--model", "none.pth")
    assert "GB free; ask for a smaller output or another place" in said


def test_a_bar_on_a_terminal_only(folder, monkeypatch, capsys):
    source, out = folder
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["upscale", str(source), str(out), *FAST]) == 0
    shown = capsys.readouterr().err
    assert "upscale  [" in shown and "100%" in shown
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert main(["upscale", str(source), str(out), *FAST, "--overwrite"]) == 0
    assert "%" not in capsys.readouterr().err


def test_built_in_models(tmp_path, draw, monkeypatch, capsys):
    monkeypatch.setattr(built_in, "_FOLDER", tmp_path)
    assert main(["models"]) == 0 and "No model ships" in capsys.readouterr().out
    assert main(["upscale", "a.png", "b.png", "--scale", "2"]) == 2
    path = tmp_path / "small.safetensors"
    save_model(load_model(MODEL), str(path))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, {
        **metadata, "license": "CC0-1.0", "seed": "7",
        "training_data": '{"pictures": 3, "sources": [{"series": "gb82", "licence": "CC0"}]}'})
    count = sum(value.numel() for value in load_model("small").parameters())
    capsys.readouterr()
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert f"small (default): lmliif, {count} parameters" in said and "license: CC0-1.0" in said
    assert "training data: pictures 3, sources series gb82, licence CC0" in said
    Image.fromarray(draw(6, 8, 3)).save(tmp_path / "p.png")
    assert main(["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.png"), "--scale", "2"]) == 0
    assert "model    small: lmliif" in capsys.readouterr().err
    assert torch.equal(next(load_model("small").parameters()), next(load_model(MODEL).parameters()))
