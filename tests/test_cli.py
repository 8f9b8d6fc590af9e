"""The program: what it writes, and one sentence without a traceback for every bad input."""

import os
import pathlib
import subprocess
import sys

import golden_cases
import numpy as np
import pytest
import torch
from PIL import Image

from lmf_kernels import built_in, images, load_model, save_model, upscale
from lmf_kernels.cli import main

PICTURE = os.path.join(os.path.dirname(__file__), "data", "flowers.png")
MODEL = str(golden_cases.path("lmliif"))


def run(*arguments):
    """The program in a process of its own, from this folder: in the root Python would import the uncompiled sources."""
    return subprocess.run([sys.executable, "-m", "lmf_kernels", *map(str, arguments)], capture_output=True, text=True,
                          cwd=pathlib.Path(__file__).parent)


def test_a_photo_goes_through(tmp_path):
    out = tmp_path / "large.png"
    done = run("upscale", PICTURE, out, "--scale", "3.7", "--model", MODEL, "--threads", "1")
    assert done.returncode == 0 and done.stdout == "", done.stderr
    with Image.open(PICTURE) as source, Image.open(out) as picture:
        assert picture.size == tuple(int(n * 3.7) for n in source.size) == (592, 395)
        got = np.array(picture)
    expected = upscale(load_model(MODEL), images.read_image(PICTURE), 3.7, dtype=torch.uint8, layout="nhwc")[0]
    assert np.abs(got.astype(int) - expected.numpy()).max() <= 1
    lines = dict(line.split(None, 1) for line in done.stderr.strip().splitlines())
    assert set(lines) == {"model", "ran", "picture", "seconds"}
    assert "160x107 to 592x395" in lines["picture"] and "1 CPU thread" in lines["ran"]
    assert all(stage in lines["seconds"] for stage in ("read", "load", "encoder", "latent", "render", "write"))
    assert os.listdir(tmp_path) == ["large.png"]


@pytest.mark.parametrize("name", golden_cases.MODELS)
def test_every_model_to_a_size(name, tmp_path, capsys):
    out = str(tmp_path / "out.png")
    assert main(["upscale", PICTURE, out, "--size", "97x64", "--stretch", "--model", str(golden_cases.path(name))]) == 0
    with Image.open(out) as picture:
        assert picture.size == (97, 64) and picture.mode == "RGB"


def test_a_saved_model_and_a_named_backend(tmp_path, capsys):
    model = str(tmp_path / "own.safetensors")
    save_model(load_model(MODEL), model)
    arguments = ["upscale", PICTURE, str(tmp_path / "out.png"), "--scale", "1.5", "--model", model]
    assert main([*arguments, "--backend", "reference"]) == 0
    assert "ran on   reference" in capsys.readouterr().err


def test_source_and_target_may_be_one_file_if_asked_for(tmp_path, capsys):
    path = tmp_path / "picture.png"
    path.write_bytes(before := pathlib.Path(PICTURE).read_bytes())
    (tmp_path / "link.png").symlink_to(path)
    for target in (path, tmp_path / "link.png", tmp_path):
        assert main(["upscale", str(path), str(target), "--scale", "2", "--model", MODEL]) == 2
        assert "is the input itself" in capsys.readouterr().err and path.read_bytes() == before
    assert main(["upscale", str(path), str(path), "--scale", "2", "--model", MODEL, "--overwrite"]) == 0
    with Image.open(path) as picture:
        assert picture.size == (320, 214)


def test_help_and_info():
    for arguments in ([], ["--help"], ["upscale", "--help"], ["info", "-h"]):
        done = run(*arguments)
        assert done.returncode == 0 and "Usage: lmf-kernels" in done.stdout and done.stderr == ""
    done = run("info")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("lmf_kernels", "torch", "_cpu", "_cuda", "backends:", "reference", "modulated_mlp"):
        assert word in done.stdout


GOOD = {"in": PICTURE, "out": "out.png", "--scale": "2", "--model": MODEL}


@pytest.mark.parametrize("change, says", [
    ({"in": "none.png"}, "There is no file none.png"),
    ({"in": "."}, "it is a folder"),
    ({"in": MODEL}, "not a picture"),
    ({"in": "empty.png"}, "not a picture"),
    ({"in": "cut.png"}, "damaged picture"),
    ({"out": "out.xyz"}, "the suffix is one of .png"),
    ({"out": "out"}, "the suffix is one of .png"),
    ({"out": "nowhere/out.png"}, "no folder"),
    ({"out": "held"}, "Cannot write held/flowers.png: it is a folder"),
    ({"--scale": None}, "Give either --scale or --size."),
    ({"--size": "30x20"}, "not both"),
    ({"--scale": "nan"}, "finite number above zero"),
    ({"--scale": "inf"}, "finite number above zero"),
    ({"--scale": "0"}, "finite number above zero"),
    ({"--scale": "-3"}, "finite number above zero"),
    ({"--scale": "two"}, "'two' is not a factor such as 3.7, 2x or x2"),
    ({"--scale": "x2x"}, "'x2x' is not a factor"),
    ({"--scale": "2,3"}, "'2,3' is not a factor"),
    ({"--scale": "0.001"}, "empty output"),
    ({"--scale": "1e300"}, "smaller one"),
    ({"--scale": None, "--size": "30"}, "not a size such as"),
    ({"--scale": None, "--size": "x"}, "not a size such as"),
    ({"--scale": None, "--size": "0x20"}, "is not a size such as 3840x2160 (width x height)"),
    ({"--scale": None, "--size": "-3x20"}, "not a size such as"),
    ({"--scale": None, "--size": "99999999x99999999"}, "GB free"),
    ({"--model": None}, "No model ships with this version"),
    ({"--model": "none.pth"}, "There is no file none.pth"),
    ({"--model": "photo"}, "no built-in model 'photo'"),
    ({"--model": PICTURE}, "unknown suffix"),
    ({"--model": "empty.pth"}, "damaged or not a checkpoint"),
    ({"--backend": "gpu"}, "unknown backend 'gpu'"),
    ({"--backend": "cpu", "--dtype": "float64"}, "backend 'cpu' cannot run this call"),
    ({"--device": "gpu"}, "'gpu' cannot be used"),
    ({"--device": "cuda:99"}, "cannot be used"),
    ({"--threads": "0"}, "not in the range"),
    ({"--nonsense": "1"}, "No such option '--nonsense'"),
])
def test_bad_input_is_one_sentence(change, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(built_in, "_FOLDER", tmp_path)
    (tmp_path / "empty.png").touch()
    (tmp_path / "empty.pth").touch()
    (tmp_path / "held" / "flowers.png").mkdir(parents=True)
    (tmp_path / "cut.png").write_bytes(pathlib.Path(PICTURE).read_bytes()[:20000])
    before = sorted(os.listdir(tmp_path))
    given = {**GOOD, **change}
    source, target = given.pop("in"), given.pop("out")
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    assert main(["upscale", source, target, *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("lmf-kernels: error: ") and shown.err.count("\n") == 1
    assert says in shown.err
    assert sorted(os.listdir(tmp_path)) == before


def test_errors_show_no_traceback_in_a_process_of_their_own(tmp_path):
    for arguments in (["upscale", PICTURE, tmp_path / "o.png", "--model", MODEL, "--scale", "nan"], ["nonsense"],
                      ["upscale", PICTURE, tmp_path / "o.png", "--model", tmp_path / "none.pth", "--scale", "2"]):
        done = run(*arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("lmf-kernels: error: ") and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_refused_backend_in_the_environment(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LMF_KERNELS_BACKEND", "gpu")
    assert main(["upscale", PICTURE, str(tmp_path / "o.png"), "--model", MODEL, "--scale", "2"]) == 2
    assert "unknown backend 'gpu'" in capsys.readouterr().err and os.listdir(tmp_path) == []
