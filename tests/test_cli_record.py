"""A folder done again: what is made anew, what is skipped, what is left alone; sub-folders and several inputs."""

import json
import os
import shutil

import golden_cases
import numpy as np
import pytest
from PIL import Image

from lmf_kernels import load_model, save_model
from lmf_kernels.cli import main
from lmf_kernels.cli.record import NAME, Record

MODEL = str(golden_cases.path("lmliif"))


@pytest.fixture
def photos(tmp_path, monkeypatch, seed):
    """The folder in/ with a.png, b.jpg, inner/c.png and inner/deep/d.png; the working folder is its parent."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(seed)
    os.makedirs("in/inner/deep")
    for name in ("a.png", "b.jpg", "inner/c.png", "inner/deep/d.png"):
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(os.path.join("in", name))
    return tmp_path


def done(*words, model=MODEL, status=0, capsys):
    """The line that sums up a run of `upscale`, and all it said."""
    assert main(["upscale", *words, "--model", model]) == status
    said = capsys.readouterr().err
    return next(line for line in said.splitlines() if line.startswith("folder")), said


def sizes(folder):
    """{name: (width, height)} of the pictures in a folder and those within it."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name != NAME:
                with Image.open(os.path.join(where, name)) as picture:
                    found[os.path.relpath(os.path.join(where, name), folder)] = picture.size
    return found


def test_other_options_make_it_anew(photos, capsys):
    save_model(load_model(MODEL), "same.safetensors")
    other = load_model(MODEL)
    next(other.parameters()).data.mul_(0.9)
    save_model(other, "other.safetensors")
    for words, model, made in [
        (["--scale", "2"], MODEL, 2), (["--scale", "x2.0"], MODEL, 0), (["--scale", "3"], MODEL, 2),
        (["--size", "24x"], MODEL, 2), (["--size", "24x18"], MODEL, 2), (["--size", "24x20", "--stretch"], MODEL, 2),
        (["--size", "24x20", "--fill"], MODEL, 2), (["--size", "24x20", "--fill"], MODEL, 0),
        (["--scale", "2"], "same.safetensors", 2), (["--scale", "2"], "other.safetensors", 2),
        (["--scale", "2"], "other.safetensors", 0), (["--scale", "2", "--dtype", "float64"], "other.safetensors", 2),
        (["--scale", "2", "--dtype", "float64", "--quality", "50"], "other.safetensors", 1),  # PNG has no quality
        (["--scale", "2", "--dtype", "float64", "--quality", "50", "--backend", "reference", "--threads", "1",
          "--max-memory", "1GB"], "other.safetensors", 0),
    ]:
        line, said = done("in", "out", *words, model=model, capsys=capsys)
        assert f"{made} upscaled, {2 - made} skipped as done, 0 failed" in line, words
        assert "1 sub-folder (in/inner); --recursive enters them" in said
    assert sizes("out") == {"a.png": (16, 12), "b.jpg": (16, 12)}


def test_what_the_program_has_not_made_is_left_alone(photos, capsys):
    os.mkdir("out")
    (photos / "out" / "a.png").write_text("a drawing of mine")
    line, said = done("in", "out", "--scale", "2", capsys=capsys)
    assert "1 upscaled, 0 skipped" in line and "1 file not made by" in said and "out/a.png" in said
    assert (photos / "out" / "a.png").read_text() == "a drawing of mine"
    Image.new("RGB", (16, 12)).save("out/b.jpg")  # a result, retouched
    before = (photos / "out" / "b.jpg").read_bytes()
    line, said = done("in", "out", "--scale", "3", capsys=capsys)
    assert "0 upscaled, 0 skipped" in line and "2 files not made by" in said
    assert (photos / "out" / "b.jpg").read_bytes() == before
    line, said = done("in", "out", "--scale", "3", "--overwrite", capsys=capsys)
    assert "2 upscaled" in line and "not made by" not in said
    line, _ = done("in", "out", "--scale", "3", capsys=capsys)
    assert "0 upscaled, 2 skipped" in line


def test_a_changed_input_is_made_anew(photos, capsys):
    done("in", "out", "--scale", "2", capsys=capsys)
    os.utime("in/a.png", (2**31 - 9, 2**31 - 9))
    Image.new("RGB", (5, 5)).save("in/b.jpg")
    os.utime("in/b.jpg", (1, 1))  # an older file under the same name
    line, _ = done("in", "out", "--scale", "2", capsys=capsys)
    assert "2 upscaled, 0 skipped" in line and sizes("out")["b.jpg"] == (10, 10)
    os.remove("out/a.png")
    os.utime("in/a.png", (1, 1))
    assert "1 upscaled, 1 skipped" in done("in", "out", "--scale", "2", capsys=capsys)[0]


def test_the_record_survives_a_cut_line_and_stays_short(photos, capsys):
    for _ in range(4):
        done("in", "out", "--scale", "2", "--overwrite", capsys=capsys)
    path = photos / "out" / NAME
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert {entry["name"] for entry in entries} == {"a.png", "b.jpg"} and len(entries) <= 6
    path.write_text(path.read_text() + '{"name": "a.png", "byt')
    assert "0 upscaled, 2 skipped" in done("in", "out", "--scale", "2", capsys=capsys)[0]
    assert Record("nowhere").state("in/a.png", "out/none.png", {}).name == "TO_DO"


def test_sub_folders_are_mirrored(photos, capsys):
    line, said = done("in", "out", "--scale", "2", "--recursive", capsys=capsys)
    assert "4 upscaled" in line and "left out" not in said
    assert set(sizes("out")) == {"a.png", "b.jpg", "inner/c.png", "inner/deep/d.png"}
    assert "0 upscaled, 1 skipped" in done("in/inner", "out/inner", "--scale", "2", capsys=capsys)[0]
    os.symlink(photos / "in", photos / "in" / "loop")
    line, said = done("in", "in/out", "--scale", "2", "--recursive", capsys=capsys)
    assert "4 upscaled" in line and "1 sub-folder (in/loop)" in said
    line, _ = done("in", "in/out", "--scale", "2", "--recursive", capsys=capsys)  # results are no inputs
    assert "0 upscaled, 4 skipped" in line and "out" not in os.listdir("in/out")
    os.remove("in/inner/c.png")
    assert main(["upscale", "in/inner", "new", "--scale", "2", "--model", MODEL]) == 2
    assert "apart from its sub-folders, which --recursive enters (1)" in capsys.readouterr().err


def test_a_folder_onto_itself_only_if_asked_for(photos, capsys):
    assert main(["upscale", "in", "in", "--scale", "2", "--model", MODEL]) == 2
    assert "--overwrite to replace the pictures by their results" in capsys.readouterr().err
    line, _ = done("in", "in", "--scale", "2", "--overwrite", "--recursive", capsys=capsys)
    assert "4 upscaled" in line and set(sizes("in").values()) == {(16, 12)}


def test_several_inputs_go_to_a_folder(photos, capsys):
    line, _ = done("in/a.png", "in/inner/c.png", "in/inner/deep", "out", "--scale", "2", capsys=capsys)
    assert "3 upscaled" in line and set(sizes("out")) == {"a.png", "c.png", "deep/d.png"}
    line, _ = done("in/a.png", "in/none.png", "in/b.jpg", "out", "--scale", "2", status=1, capsys=capsys)
    assert "1 upscaled, 1 skipped as done, 1 failed" in line
    shutil.copy("in/a.png", "in/inner/a.png")
    for words, says in ((["in/a.png", "in/b.jpg", "one.png"], "2 inputs to the one file one.png"),
                        (["in/a.png", "in/inner/a.png", "out"], "would both become out/a.png"),
                        (["in/a.png", "in/b.jpg", "-"], "takes one picture"), (["in/a.png"], "at least one picture"),
                        (["in/a.png", "in/b.jpg", "in"], None)):
        status = main(["upscale", *words, "--scale", "2", "--model", MODEL])
        said = capsys.readouterr().err
        assert status == (2 if says else 0) and (says or "2 files not made by") in said, said


def test_one_picture_into_a_folder_keeps_its_name(photos, capsys):
    os.mkdir("out")
    assert main(["upscale", "in/a.png", "out", "--scale", "2", "--model", MODEL]) == 0
    assert sizes("out") == {"a.png": (16, 12)}
    assert main(["upscale", "in/b.jpg", "out", "--scale", "2", "--model", MODEL, "--suffix", "webp"]) == 0
    assert sizes("out") == {"a.png": (16, 12), "b.webp": (16, 12)}
    assert main(["upscale", "in/a.png", "out", "--scale", "3", "--model", MODEL]) == 0
    assert sizes("out")["a.png"] == (24, 18)
    assert "1 upscaled, 1 skipped" in done("in", "out", "--scale", "3", capsys=capsys)[0]
