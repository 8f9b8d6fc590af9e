"""`lmf-kernels upscale`: sizes and how they are written, standard input and output, quality, DPI, a run's folder."""

import io
import os
import subprocess
import sys

import golden_cases
import numpy as np
import pytest
import tifffile
from PIL import Image

from lmf_kernels import InputError, load_model, save_model, upscale, upscale_file
from lmf_kernels.checkpoints import RUN_WEIGHTS
from lmf_kernels.cli import main, report
from lmf_kernels.cli.evaluate import evaluate
from lmf_kernels.images import WRITE_SUFFIXES, read_picture
from lmf_kernels.picture_job import Box, place
from lmf_kernels.training.run_folder import RunFolder

MODEL = str(golden_cases.path("lmliif"))


@pytest.fixture
def photo(tmp_path, monkeypatch, seed):
    """photo.png, 12 pixels wide and 8 high, in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save("photo.png", dpi=(300, 150))
    return tmp_path


def run(*words, status=0):
    assert main(["upscale", *words, "--model", MODEL]) == status


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("words, size", [
    (["--scale", "2x"], (24, 16)), (["--scale", "X2.5"], (30, 20)), (["--scale", "1.5"], (18, 12)),
    (["--size", "24x"], (24, 16)), (["--size", "x20"], (30, 20)), (["--size", "24X24"], (24, 16)),
    (["--size", "60x16"], (24, 16)), (["--size", "24x24", "--stretch"], (24, 24)),
    (["--size", "24x24", "--fill"], (24, 24)), (["--size", "5x5"], (5, 3)), (["--size", "7x30", "--fill"], (7, 30)),
    (["--size", "1x900"], (1, 1)),
])
def test_sizes(photo, words, size):
    run("photo.png", "out.png", *words)
    assert size_of("out.png") == size


@pytest.mark.parametrize("words, scales", [
    (["--scale", "2,3"], [2, 3]), (["--scale", "2x", "x3", "4"], [2, 3, 4]), ([], [2, 3, 4]),
    (["--scale", "2,2.5", "--scale", "8", "--rgb"], [2, 2.5, 8]), (["--scale=2,3"], [2, 3]),
])
def test_factors_of_eval(words, scales):
    given = evaluate.make_context("eval", ["set", *words]).params
    assert [scale for several in given["scales"] for scale in several] == scales and given["folder"] == "set"


def test_fill_is_the_middle_of_the_larger_result(photo):
    whole = upscale(load_model(MODEL), Image.open("photo.png"), size=(30, 45))
    run("photo.png", "out.png", "--size", "19x30", "--fill")
    assert np.array_equal(np.asarray(Image.open("out.png")), np.asarray(whole)[:, 13:32])
    run("photo.png", "out.png", "--size", "45x11", "--fill", "--max-memory", "80MB")
    assert np.array_equal(np.asarray(Image.open("out.png")), np.asarray(whole)[9:20])


def test_places(seed):
    rng = np.random.default_rng(seed)
    for h, w, height, width in rng.integers(1, 300, (500, 4)).tolist():
        inside, fill = place((h, w), box=Box(height, width)), place((h, w), box=Box(height, width, "fill"))
        assert inside.size == inside.rendered and inside.size[0] <= height and inside.size[1] <= width
        assert inside.size[0] == height or inside.size[1] == width, "one side is the box's"
        assert abs(inside.size[0] * w - inside.size[1] * h) <= max(h, w), "the aspect ratio is kept, but for rounding"
        assert fill.size == (height, width) and all(a >= b for a, b in zip(fill.rendered, fill.size))
        assert fill.rendered[0] == height or fill.rendered[1] == width
        assert fill.origin == tuple((a - b) // 2 for a, b in zip(fill.rendered, fill.size))
        assert place((h, w), box=Box(height, width, "stretch")).rendered == (height, width)
        assert place((h, w), box=Box(None, width)).size[1] == width
    for box, says in ((Box(None, None), "only the fit 'inside'"), (Box(3, None, "fill"), "only the fit 'inside'"),
                      (Box(3, 4, "crop"), "fit is one of"), (Box(0, 4), "whole pixels"), (Box(2.5, 4), "whole pixels")):
        with pytest.raises(InputError, match=says):
            place((5, 5), box=box)


@pytest.mark.parametrize("words, says", [
    (["--size", "24x", "--fill"], "--fill needs --size with width and height"),
    (["--scale", "2", "--stretch"], "--stretch needs --size"),
    (["--scale", "2", "--quality", "101"], "not in the range"),
    (["--scale", "2", "--quality", "90"], "PNG is lossless; leave the quality out, or write one of .jpg"),
])
def test_refused(photo, words, says, capsys):
    run("photo.png", "out.png", *words, status=2)
    assert says in capsys.readouterr().err and os.listdir() == ["photo.png"]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_quality(photo, suffix, capsys):
    if "." + suffix not in WRITE_SUFFIXES:
        pytest.skip("Pillow has no AVIF here")
    found = {}
    for quality in ("30", "95"):
        run("photo.png", f"q{quality}.{suffix}", "--size", "96x64", "--quality", quality)
        found[quality] = os.path.getsize(f"q{quality}.{suffix}")
    run("photo.png", f"default.{suffix}", "--size", "96x64")
    assert found["30"] < found["95"] and os.path.getsize(f"default.{suffix}") > found["30"]
    os.mkdir("in")
    os.rename(f"q95.{suffix}", f"in/a.{suffix}")
    os.rename("photo.png", "in/b.png")
    run("in", "out", "--scale", "2", "--quality", "40")
    assert sorted(os.listdir("out"))[1:] == [f"a.{suffix}", "b.png"], "the lossless ones are made as ever"
    capsys.readouterr()
    os.remove(f"in/a.{suffix}")
    run("in", "out2", "--scale", "2", "--quality", "40", status=2)
    assert "PNG is lossless" in capsys.readouterr().err


def test_dpi_is_kept(photo):
    for suffix in ("png", "jpg", "tif", "bmp"):
        run("photo.png", f"out.{suffix}", "--scale", "2")
        assert read_picture(f"out.{suffix}").dpi == pytest.approx((300, 150), abs=0.02), suffix
        with Image.open(f"out.{suffix}") as picture:
            assert tuple(map(float, picture.info["dpi"])) == pytest.approx((300, 150), abs=0.02), suffix
        run(f"out.{suffix}", f"again.{suffix}", "--scale", "2")
        assert read_picture(f"again.{suffix}").dpi == pytest.approx((300, 150), abs=0.02)
    tifffile.imwrite("metric.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb", resolution=(100, 200),
                     resolutionunit="CENTIMETER")
    assert read_picture("metric.tif").dpi == pytest.approx((254, 508))
    Image.open("photo.png").save("plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open("photo.png").save("turned.jpg", exif=exif, dpi=(300, 150))
    assert read_picture("turned.jpg").dpi == (150, 300), "across and down change places with the pixels"
    run("plain.png", "none.tif", "--scale", "2")
    assert read_picture("plain.png").dpi is None and read_picture("none.tif").dpi is None


def test_a_run_s_folder_is_a_model(photo, capsys):
    assert RunFolder("run").file(RUN_WEIGHTS).endswith("weights.safetensors")
    os.mkdir("run")
    assert main(["upscale", "photo.png", "out.png", "--scale", "2", "--model", "run"]) == 2
    assert "run is a folder without weights.safetensors" in capsys.readouterr().err
    save_model(load_model(MODEL), os.path.join("run", RUN_WEIGHTS))
    assert main(["upscale", "photo.png", "out.png", "--scale", "2", "--model", "run"]) == 0
    run("photo.png", "expected.png", "--scale", "2")
    assert np.array_equal(np.asarray(Image.open("out.png")), np.asarray(Image.open("expected.png")))


def program(*words, given=None):
    """The program in a process of its own."""
    return subprocess.run([sys.executable, "-m", "lmf_kernels", "upscale", *words, "--model", MODEL], input=given,
                          capture_output=True)


def test_standard_input_and_output(photo):
    content = (photo / "photo.png").read_bytes()
    run("photo.png", "expected.png", "--scale", "2")
    expected = np.asarray(Image.open("expected.png"))
    done = program("-", "-", "--scale", "2", given=content)
    assert done.returncode == 0 and b"standard output" in done.stderr, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert picture.format == "PNG" and np.array_equal(np.asarray(picture), expected)
    done = program("photo.png", "-", "--scale", "2", "--format", "jpg", "--quality", "90")
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"
    done = program("-", "out.tif", "--scale", "2", given=content)
    assert done.returncode == 0 and done.stdout == b"" and np.array_equal(read_picture("out.tif").pixels, expected)
    for given, says in ((b"", b"standard input is not a picture: it is empty"), (b"text", b"standard input is not a"),
                        (content[:200], b"standard input is a damaged picture")):
        done = program("-", "-", "--scale", "2", given=given)
        assert done.returncode == 2 and done.stdout == b"" and says in done.stderr and done.stderr.count(b"\n") == 1


def test_a_terminal_gets_no_picture_and_a_closed_pipe_is_reported(photo, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run("photo.png", "-", "--scale", "2", status=2)
    assert "standard output is a terminal" in capsys.readouterr().err
    command = f"{sys.executable} -m lmf_kernels upscale photo.png - --scale 40 --model {MODEL} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2 and "standard output was closed" in done.stderr and "Traceback" not in done.stderr


def test_progress_lines_without_a_terminal(photo, monkeypatch, capsys):
    run("photo.png", "out.png", "--scale", "8")
    assert "%" not in capsys.readouterr().err, "nothing where all is done within seconds"
    monkeypatch.setattr(report, "SECONDS_BETWEEN_LINES", 0)
    run("photo.png", "out.png", "--scale", "8", "--max-memory", "70MB")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.endswith("%")]
    shares = [int(line.removeprefix("upscale").strip(" %")) for line in lines]
    assert shares and shares == sorted(shares) and shares[-1] <= 100
    os.mkdir("in")
    for name in "abc":
        os.link("photo.png", f"in/{name}.png")
    run("in", "out", "--scale", "2")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.endswith("%")]
    assert any(line.startswith("upscale  1 of 3 pictures, 33%") for line in lines), lines
    assert not any("3 of 3" in line for line in lines)


def test_the_same_from_python(photo):
    model = load_model(MODEL)
    for words, options in ((["--scale", "2"], {"scale": 2}), (["--size", "30x30"], {"size": (30, 30)}),
                           (["--size", "30x"], {"size": (None, 30)}),
                           (["--size", "30x30", "--fill"], {"size": (30, 30), "fit": "fill"})):
        run("photo.png", "program.png", *words)
        done = upscale_file(model, "photo.png", photo / "python.png", **options)
        assert (photo / "python.png").read_bytes() == (photo / "program.png").read_bytes()
        assert done.size == size_of("python.png")[::-1] and done.path == str(photo / "python.png") and done.notes == ()
    assert upscale_file(model, "photo.png", "out.gif", 2).notes
    for options, says in (({}, "Give either scale or size"), ({"scale": 2, "size": (3, 3)}, "not both"),
                          ({"size": 30}, "size is \\(height, width\\)"), ({"scale": 2, "quality": 9}, "is lossless"),
                          ({"scale": 2, "max_memory": "no"}, "max_memory is")):
        with pytest.raises(InputError, match=says):
            upscale_file(model, "photo.png", "other.png", **options)
    with pytest.raises(InputError, match="is the input itself"):
        upscale_file(model, "photo.png", "photo.png", 2)
    upscale_file(model, "photo.png", "photo.png", 2, overwrite=True)
    assert size_of("photo.png") == (24, 16) and not os.path.exists("other.png")
