"""The robustness table: its measures against numbers worked out apart, its pictures, its rows, the command."""

import itertools
import json
import math
import os
import shutil

import golden_cases
import numpy as np
import pytest
from PIL import Image

from lmf_kernels import InputError, evaluation, robustness
from lmf_kernels.area import resized_by_area
from lmf_kernels.cli import main
from lmf_kernels.robustness import Row, measures, pictures, summary, table

MODEL = str(golden_cases.path("lmliif"))
PICTURE = os.path.join(os.path.dirname(__file__), "data", "flowers.png")


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


def by_area(low, size):
    return np.rint(resized_by_area(low, size)).astype(np.uint8)


# Measures

def test_mean_error_is_of_the_worst_channel(rng):
    low = rng.integers(60, 180, size=(8, 9, 3)).astype(np.uint8)
    high = by_area(low, (24, 27))
    assert measures.mean_error(high, low) == 0
    high[..., 1] += 51
    assert measures.mean_error(high, low) == pytest.approx(0.2)


def test_consistency_of_a_known_error(rng):
    low = rng.integers(60, 180, size=(8, 9, 3)).astype(np.uint8)
    high = by_area(low, (24, 27))
    assert measures.consistency(high, low) > 200
    assert measures.consistency(high + np.uint8(5), low) == pytest.approx(20 * math.log10(255 / 5))
    assert measures.consistency(np.repeat(high[:, ::-1], 1, axis=0), low) < 25
    waves = (3 * (np.indices((24, 27)).sum(axis=0) % 3 - 1))[..., None]  # sums to nothing within each LR pixel
    assert measures.consistency((high + waves).astype(np.uint8), low) > 200


@pytest.mark.parametrize("factor", [1, 2, 3, 3.7])
def test_block_edges(rng, factor):
    """Pixels' noise has the same steps everywhere; a constant added to every other block makes steps at borders."""
    low = rng.integers(100, 120, size=(64, 48, 3)).astype(np.uint8)
    size = tuple(math.floor(side * factor) for side in low.shape[:2])
    y, x = np.mgrid[:64, :48]
    plain = measures.block_edges(by_area(low, size), (64, 48))
    blocks = low + (12 * ((y // 8 + x // 8) % 2))[..., None].astype(np.uint8)
    shown = measures.block_edges(by_area(blocks, size), (64, 48))
    assert 0.8 < plain < 1.25 and shown > 1.5 * plain
    shifted = np.roll(blocks, (3, 3), axis=(0, 1))  # as large steps, but elsewhere
    assert measures.block_edges(by_area(shifted, size), (64, 48)) < 1.1 * plain
    assert math.isnan(measures.block_edges(np.zeros((9, 9, 3), np.uint8), (9, 9)))
    assert math.isnan(measures.block_edges(low[:7, :7], (7, 7)))


def test_compressed_is_a_jpeg_of_that_quality():
    low = pictures.antialiased("line art", 2)[1]
    errors = [np.abs(measures.compressed(low, quality).astype(float) - low).mean() for quality in (10, 40, 75, 95)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 2 * errors[3] > 0


# Pictures

def test_patterns_are_what_they_are_called():
    drawn = dict(pictures.patterns())
    assert len(drawn) > 200 and len({low.tobytes() for low in drawn.values()}) == len(drawn)
    checkers = drawn["checkers of 1 pixels, black and white"]
    assert set(checkers[0, :, 0]) == {0, 255} and np.abs(np.diff(checkers.astype(int), axis=0)).min() == 255
    assert np.ptp(drawn["level stripes of period 2, grey, amplitude 0.5"]) in range(126, 130)
    assert drawn["8x8 dither of 0.3, black and white"].mean() == pytest.approx(255 * 19 / 64)
    assert (drawn["upright stripes of period 6, blue and black"][..., :2] == 0).all()
    ramp = drawn["4x4 dither of a ramp, black and white"].mean(axis=(0, 2))
    assert ramp[:12].mean() < 60 < 190 < ramp[-12:].mean()


@pytest.mark.parametrize("name", pictures.SCENES)
def test_scenes(name):
    plain = pictures.aliased(name)
    assert plain.shape == (pictures.SCENE, pictures.SCENE, 3)
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) < 16  # nothing between two colours
    for scale in (2, 3.7):
        high, low = pictures.antialiased(name, scale)
        assert high.shape[0] == math.floor(scale * pictures.SCENE) and low.shape == plain.shape
        assert len(np.unique(low.reshape(-1, 3), axis=0)) > 30
        assert measures.consistency(high, low) > (40 if scale == 2 else 30)


# Rows

@pytest.fixture
def few(monkeypatch):
    """Five patterns and one scene, so that a real model takes no minutes."""
    drawn = list(itertools.islice(pictures.patterns(), 0, None, 60))
    monkeypatch.setattr(table.pictures, "patterns", lambda: iter(drawn))
    monkeypatch.setattr(table.pictures, "SCENES", {"line art": pictures.SCENES["line art"]})


def test_a_perfect_and_a_wrong_method(monkeypatch):
    """By area everything that has no original is perfect; a method that turns colours round is not."""
    monkeypatch.setattr(evaluation, "upscaled", lambda model, low, size: by_area(low, size))
    monkeypatch.setattr(evaluation, "bicubic", lambda low, size: 255 - by_area(low, size))
    found = summary(robustness.robustness(None, [2, 3.7]))
    assert {scale for scale, _, _ in found} == {2, 3.7}
    for (scale, what, measure), both in found.items():
        if measure == "largest mean error":
            assert both["model"] < 0.003 and (both["bicubic"] > 0.5 or what != "patterns")
        if measure in ("consistency", "lowest consistency") and "antialiased" not in what:
            assert both["model"] > (200 if scale == 2 else 11) and both["bicubic"] < 20
        if measure == "PSNR":
            assert both["model"] > both["bicubic"] + 5
    kinds = {what for _, what, _ in found}
    assert {"patterns", "text, aliased", "line art, antialiased", "drawn scenes, JPEG 40"} <= kinds
    assert not any("folder" in what for what in kinds)


def test_rows_of_a_folder(few, rng, tmp_path):
    Image.fromarray(rng.integers(256, size=(40, 50, 3)).astype(np.uint8)).save(tmp_path / "noise.png")
    from lmf_kernels import load_model

    model, shares = load_model(MODEL), []
    rows = robustness.robustness(model, [2], [PICTURE, tmp_path / "noise.png"], progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    mine = [row for row in rows if row.what.startswith(table.FOLDER) and row.picture == PICTURE]
    assert [(row.what[len(table.FOLDER):], row.measure) for row in mine] == [
        ("", "mean error"), ("", "consistency"), (", JPEG 40", "PSNR"), (", JPEG 40", "block edges"),
        (", JPEG 75", "PSNR"), (", JPEG 75", "block edges")]
    hr, lr = evaluation.degrade(evaluation.read_hr(PICTURE), 2)
    lr = measures.compressed(lr, 75)
    assert mine[4].bicubic == evaluation.score(evaluation.bicubic(lr, hr.shape[:2]), hr, 2).psnr
    assert mine[4].model == evaluation.score(evaluation.upscaled(model, lr, hr.shape[:2]), hr, 2).psnr
    assert mine[4].model > mine[2].model


def test_summary_by_hand():
    def row(picture, measure, bicubic, model):
        return Row(2, "patterns", picture, measure, bicubic, model)

    found = summary([row("a", "mean error", 0.1, 0.2), row("b", "mean error", 0.3, 0.1),
                     row("a", "consistency", 20, math.inf), row("b", "consistency", 30, 40),
                     Row(3, "patterns", "a", "PSNR", 1, 2), Row(3, "patterns", "b", "PSNR", 2, 4)])
    assert found == {(2, "patterns", "largest mean error"): {"bicubic": 0.3, "model": 0.2, "picture": "a"},
                     (2, "patterns", "consistency"): {"bicubic": 25, "model": math.inf},
                     (2, "patterns", "lowest consistency"): {"bicubic": 20, "model": 40, "picture": "b"},
                     (3, "patterns", "PSNR"): {"bicubic": 1.5, "model": 3}}


def test_bad_requests():
    for scale in (0.5, math.nan, math.inf):
        with pytest.raises(InputError, match="finite number of at least 1"):
            robustness.robustness(None, [2, scale])


# The command

def test_the_command_prints_a_table(few, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert main(["eval", "--robustness", "--scale", "2", "2.5", "--model", MODEL, "--json", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("recipe: Largest mean error")
    found = json.loads(out.read_text())
    assert found["model"] == MODEL and len(shown) == 2 + len(found["summary"])
    assert {row["scale"] for row in found["summary"]} == {2, 2.5}
    for line, row in zip(shown[2:], found["summary"]):
        assert line.startswith(f"x{row['scale']:g}") and row["what"] in line and row["measure"] in line
        values = " ".join("-" if row[name] is None else f"{row[name]:.3f}" for name in ("bicubic", "model"))
        assert f"{values} {row.get('picture', '')}".strip() in " ".join(line.split())
    worst = {row["picture"] for row in found["summary"] if row["what"] == "patterns" and "picture" in row}
    assert worst and worst <= {name for name, _ in table.pictures.patterns()}
    assert {row["what"] for row in found["pictures"]} == {row["what"] for row in found["summary"]} - {"patterns"}


def test_the_command_takes_a_folder(few, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    shutil.copy(PICTURE, tmp_path / "set")
    assert main(["eval", str(tmp_path / "set"), "--robustness", "--scale", "2", "--model", MODEL]) == 0
    assert "the folder's pictures, JPEG 40" in capsys.readouterr().out


@pytest.mark.parametrize("words, says", [
    (["eval"], "Give DIR, a folder of original pictures; only --robustness draws its own"),
    (["eval", "--robustness", "--rgb"], "--rgb belongs to clean originals"),
    (["eval", "nowhere", "--robustness"], "There is no folder nowhere"),
    (["eval", "--robustness", "--scale", "0.5", "--model", MODEL], "at least 1, got 0.5"),
    (["eval", "--robustness", "--json", "no/where.json"], "no folder"),
])
def test_bad_calls_are_one_sentence(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and shown.out == ""
