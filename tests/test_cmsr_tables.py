"""CMSR tables: the criterion by which they are built, files read and written, and the commands; bilinear resizing."""

import json
import os
import random

import golden_cases
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from lmf_kernels import CMSR, InputError, evaluation, load_model
from lmf_kernels.cli import main
from lmf_kernels.cmsr import bilinear, build, build_tables, read_tables, write_tables
from PIL import Image

MODEL = str(golden_cases.path("lmliif"))
FLOWERS = os.path.join(os.path.dirname(__file__), "data", "flowers.png")
TABLES = {6: {1: 0.32, 1.5: 0.4, 6: 1}, 12: {1: 0.31, 12: 1}}
AS_THE_AUTHORS_WRITE = "  6:\n    1: 0.32\n    1.5: 0.4\n    6: 1\n  12:\n    1: 0.31\n    12: 1"


@pytest.fixture(autouse=True)
def random_numbers(seed):
    random.seed(seed)


# The criterion

def test_thresholds_by_hand():
    pool = build.Pool([1, 2, 3], top=0.5)
    cells = torch.tensor([0.0, 0.004, 0.098, 0.098, 0.198, 0.298, 0.6])  # steps 0, 0, 19, 19, 39, 59, none
    ones = torch.ones(7)
    pool.add(cells, ones * 4, [
        torch.tensor([0, 3, 0, 0, 0, 0, 0.0]),  # x1: the first step has a mean of 3 / 8, all others none
        torch.tensor([0, 0, 2, 6, 0, 0, 99.0]),  # x2: step 19 has a mean of 1
        torch.tensor([0, 0, 0, 0, 0, 8, 0.0]),  # x3: step 59 has a mean of 2
    ])
    assert pool.thresholds(3) == {1: 0.5, 2: 0.5, 3: 0.5}
    assert pool.thresholds(1.5) == {1: pytest.approx(0.295), 2: pytest.approx(0.295), 3: pytest.approx(0.295)}
    assert pool.thresholds(0.5) == {1: pytest.approx(0.095), 2: pytest.approx(0.095), 3: pytest.approx(0.295)}
    assert pool.thresholds(0.1) == {1: 0, 2: pytest.approx(0.095), 3: pytest.approx(0.295)}


def test_a_smaller_scale_has_no_larger_threshold():
    pool = build.Pool([1, 2], top=1.0)
    pool.add(torch.tensor([0.25, 0.75]), torch.ones(2), [torch.zeros(2), torch.tensor([0.0, 1.0])])
    assert pool.thresholds(0.5) == {1: 0.74, 2: 0.74}


def test_built_from_a_picture_by_the_definition(tmp_path):
    """One picture, one scale that is no whole number, each step worked out pixel by pixel."""
    model, scale, mse = load_model(MODEL), 5.3, 2e-4
    hr = evaluation.read_hr(FLOWERS)[:200, :150]
    found = build_tables(model, [lambda: hr], [mse], output_scales=[scale], decode_scales=[1, 2, 4])[mse][scale]
    hr, lr = evaluation.degrade(hr, scale)
    size, lr_size = hr.shape[:2], lr.shape[:2]
    inp = torch.from_numpy(lr.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        fields = model.fields(model.encode(inp), model.rel_cell_of(lr_size, size))
        full = model.render_grid(inp, size, fields=fields)
        m = model.modulation_intensity(fields)[0]
        owner = m[torch.arange(size[0]) * lr_size[0] // size[0]][:, torch.arange(size[1]) * lr_size[1] // size[1]]
        last = 1.0
        for decode in (4, 2, 1):
            level = tuple(n * decode for n in lr_size)
            cell = tuple(2 / q * max(decode / 4, 1) for q in level)
            low = F.interpolate(model.render_grid(inp, level, fields=fields, cell=cell), size=size, mode="bilinear")
            error = (low - full).square().mean(dim=1)[0]
            for step in range(100):
                inside = (owner > step / 100) & (owner <= (step + 1) / 100)
                if inside.any() and error[inside].mean() > mse:
                    last = min(last, step / 100)
                    break
            assert found[decode] == pytest.approx(last, abs=1e-9)
    assert found[scale] == 1 and 0 < found[4] < 1


def test_wrong_requests_for_a_table():
    model, small = load_model(MODEL), [lambda: np.zeros((9, 9, 3), np.uint8)]
    for options, message in (({"precisions": [0.0]}, "mean squared difference between 0 and 1"),
                             ({"output_scales": [4]}, "begins above x4"), ({"decode_scales": [0]}, "above 0"),
                             ({}, "No picture is large enough to be reduced by 6")):
        with pytest.raises(InputError, match=message):
            build_tables(model, small, options.pop("precisions", [2e-5]), **options)


# Files

def test_files_of_the_authors_and_ours(tmp_path):
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text(AS_THE_AUTHORS_WRITE)
    assert read_tables(theirs) == TABLES
    write_tables(ours, TABLES, ["a note"])
    assert read_tables(ours) == TABLES == yaml.safe_load(ours.read_text())
    assert ours.read_text().startswith("# a note\n6:\n  1: 0.32\n  1.5: 0.4\n  6: 1\n")
    assert list(CMSR({12: {2: 0.3, 1: 0.1}, 6: {1: 0}}).tables) == [6, 12]


@pytest.mark.parametrize("text, message", [
    ("6: [1, 2]", "maps output scales"), ("{}", "maps output scales"), ("6: {}", "maps output scales"),
    ("six: {1: 0.1}", "the scale 'six'"), ("6: {-1: 0.1}", "the scale -1"), ("6: {1: high}", "the threshold 'high'"),
    ("6: {1: .nan}", "the threshold nan"), ("6: {1: true}", "the threshold True"), ("6: {1: 0.1", "is no YAML file"),
    ("!!python/object/apply:os.getcwd []", "is no YAML file"), ("\0", "is no YAML file"), ("# " * 10**6, "bytes"),
])
def test_files_that_are_no_tables(tmp_path, text, message):
    path = tmp_path / "table.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        CMSR(path)
    assert str(path) in str(error.value)


# Commands

@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.open(FLOWERS).crop((0, 0, 160, 120)).save(folder / "a.png")
    return folder


def test_commands(folder, tmp_path, capsys):
    table, out, found = tmp_path / "table.yaml", tmp_path / "out.png", tmp_path / "found.json"
    made = ["cmsr", str(folder), "--mse", "1e-3", "--scale", "6", "--decode-scale", "1,2,4", "--model", MODEL]
    assert main([*made, "-o", str(table)]) == 0
    assert list(read_tables(table)) == [6] and list(read_tables(table)[6]) == [1, 2, 4, 6]
    assert main(made) == 0
    assert yaml.safe_load(capsys.readouterr().out) == read_tables(table)
    small = tmp_path / "small.png"
    Image.open(folder / "a.png").resize((20, 15)).save(small)
    assert main(["upscale", str(small), str(out), "--scale", "6", "--cmsr", str(table), "--model", MODEL]) == 0
    said = capsys.readouterr().err
    assert Image.open(out).size == (120, 90) and "% of the full-rate queries rendered" in said
    assert main(["upscale", str(small), str(out), "--scale", "3", "--cmsr", str(table), "--model", MODEL]) == 0
    assert "no picture was enlarged more than x4" in capsys.readouterr().err
    assert main(["eval", str(folder), "--scale", "2,6", "--cmsr", str(table), "--model", MODEL, "--json",
                 str(found)]) == 0
    assert "x6     CMSR rendered" in capsys.readouterr().out
    shares = {row["scale"]: row["share"] for row in json.loads(found.read_text())["pictures"]}
    assert shares[2] is None and 0 < shares[6] < 1


@pytest.mark.parametrize("arguments, message", [
    (["upscale", "PICTURE", "OUT", "--scale", "6", "--cmsr", "no.yaml"], "Cannot read no.yaml"),
    (["upscale", "PICTURE", "OUT", "--scale", "6", "--cmsr", "auto"], "ship with the built-in models only"),
    (["eval", "--robustness", "--cmsr", "auto"], "--cmsr belongs to clean originals"),
    (["cmsr", "nowhere"], "There is no folder nowhere"),
])
def test_commands_that_fail(arguments, message, tmp_path, capsys):
    words = [{"PICTURE": FLOWERS, "OUT": str(tmp_path / "out.png")}.get(word, word) for word in arguments]
    assert main([*words, "--model", MODEL]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


# Bilinear resizing

def test_bilinear_is_torchs_and_has_the_same_bits_everywhere(monkeypatch):
    for _ in range(30):
        n_in = random.randint(1, 30), random.randint(1, 30)
        size = tuple(random.randint(1, 90) for _ in n_in)
        picture = torch.rand(2, *n_in, 3)
        whole = {"source_size": n_in, "size": size}
        found = bilinear.resized(picture, first=(0, 0), window=(0, 0, *size), **whole)
        expected = F.interpolate(picture.permute(0, 3, 1, 2), size=size, mode="bilinear").permute(0, 2, 3, 1)
        assert (found - expected).abs().max() < 2e-5  # torch rounds its positions to float32
        y0, x0 = map(random.randrange, size)
        window = y0, x0, random.randint(1, size[0] - y0), random.randint(1, size[1] - x0)
        (top, bottom), (left, right) = (bilinear.source_range(start, start + count, n, out) for start, count, n, out
                                        in zip(window[:2], window[2:], n_in, size))
        held, options = picture[:, top:bottom, left:right], {"first": (top, left), "window": window, **whole}
        part = found[:, y0:y0 + window[2], x0:x0 + window[3]]
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(bilinear.resized(held, **options), part)
        torch.set_num_threads(1)
        stored = [torch.full((2, 3, *window[2:]), 9, dtype=dtype) for dtype in (torch.float32, torch.uint8)]
        for out in stored:
            bilinear.resize_into(out.permute(0, 2, 3, 1), 4 * held - 2, epilogue="unit", **options)
        with monkeypatch.context() as patch:
            patch.setattr(bilinear.native, "module", None)
            assert torch.equal(bilinear.resized(held, **options), part)
            for out in stored:
                other = torch.zeros_like(out)
                bilinear.resize_into(other.permute(0, 2, 3, 1), 4 * held - 2, epilogue="unit", **options)
                assert torch.equal(out, other)
