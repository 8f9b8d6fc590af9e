"""PSNR and SSIM against numbers worked out apart, the recipes' crops and borders, and the table."""

import json
import math
import os
import pathlib
import shutil
import sys

import golden_cases
import numpy as np
import pytest
from PIL import Image

from lmf_kernels import InputError, evaluation, load_model
from lmf_kernels.cli import main
from lmf_kernels.evaluation import Recipe, bicubic, degrade, evaluate, means, score

MODEL = str(golden_cases.path("lmliif"))
PICTURE = os.path.join(os.path.dirname(__file__), "data", "flowers.png")


@pytest.fixture
def draw(seed):
    rng = np.random.default_rng(seed)
    return lambda *shape, low=0, high=256: rng.integers(low, high, shape).astype(np.uint8)


def gaussian_ssim(a, b):
    """SSIM of Wang et al. 2004 by its own formula, term by term: 11x11 Gaussian window, sigma 1.5, full windows."""
    tap = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(tap, tap) / tap.sum() ** 2
    mean = lambda x: (np.lib.stride_tricks.sliding_window_view(x, (11, 11)) * window).sum(axis=(2, 3))  # noqa: E731
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))


def luma(image):
    """Y of ITU-R BT.601 with foot room: 16 to 235."""
    return 16 + image.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255


def test_psnr_of_a_known_difference(draw):
    hr = draw(40, 50, 3, low=20, high=200)
    off = 7
    rgb = score(hr + np.uint8(off), hr, 2, Recipe(rgb=True))
    assert rgb.psnr == pytest.approx(20 * math.log10(255 / off), abs=1e-9)
    y = score(hr + np.uint8(off), hr, 2)
    assert y.psnr == pytest.approx(20 * math.log10(255 / (off * 219 / 255)), abs=1e-6)
    assert score(hr, hr, 2) == evaluation.Score(math.inf, 1.0)


def test_scores_of_random_pictures_by_hand(draw):
    hr, result = draw(37, 41, 3), draw(37, 41, 3)
    for recipe, shave in ((Recipe(), 3), (Recipe(rgb=True), 9)):
        inner = (slice(shave, -shave), slice(shave, -shave))
        got = score(result, hr, 3, recipe)
        a, b = hr[inner].astype(float), result[inner].astype(float)
        if recipe.rgb:
            ssim = np.mean([gaussian_ssim(a[..., c], b[..., c]) for c in range(3)])
        else:
            a, b = luma(a), luma(b)
            ssim = gaussian_ssim(a, b)
        assert got.psnr == pytest.approx(10 * math.log10(255**2 / np.mean((a - b) ** 2)), abs=1e-6)
        assert got.ssim == pytest.approx(ssim, abs=1e-6)


@pytest.mark.parametrize("scale, rgb, shave", [(2, False, 2), (4, False, 4), (2.5, False, 3), (3, True, 9)])
def test_the_border_does_not_count(draw, scale, rgb, shave):
    hr = draw(50, 50, 3)
    border = np.ones((50, 50, 1), bool)
    border[shave:-shave, shave:-shave] = False
    recipe = Recipe(rgb)
    assert recipe.shave(scale) == shave
    assert score(np.where(border, 255 - hr, hr), hr, scale, recipe).psnr == math.inf
    border[shave, shave] = True  # the first pixel within
    assert score(np.where(border, hr ^ 128, hr), hr, scale, recipe).psnr < 60


def test_originals_are_cropped_and_reduced(draw):
    original = draw(33, 50, 3)
    for scale, large, small in ((2, (32, 50), (16, 25)), (3, (33, 48), (11, 16)), (4, (32, 48), (8, 12)),
                                (2.5, (32, 50), (13, 20)), (1, (33, 50), (33, 50))):
        hr, lr = degrade(original, scale)
        assert hr.shape[:2] == large and lr.shape[:2] == small
        assert np.array_equal(hr, original[:large[0], :large[1]])


def test_bicubic_is_the_antialiased_kernel_of_keys():
    """A row reduced by 2, against the kernel with a = -0.5 stretched twofold, as MATLAB's imresize has it."""
    row = np.arange(24) ** 2 % 97 + 60
    image = np.repeat(np.repeat(row[None, :, None], 3, axis=2), 4, axis=0).astype(np.uint8)
    x = np.abs((np.arange(24) + 0.5)[None] - (2 * np.arange(12) + 1)[:, None]) / 2
    kernel = np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))
    expected = (kernel / kernel.sum(axis=1, keepdims=True)) @ row
    assert np.abs(bicubic(image, (4, 12))[0, :, 0] - expected)[2:-2].max() <= 0.51 + 1e-3


def test_bad_requests(draw):
    for scale in (0.5, 0, -2, math.nan, math.inf):
        with pytest.raises(InputError, match="finite number of at least 1"):
            degrade(draw(20, 20, 3), scale)
    with pytest.raises(InputError, match="would be empty when reduced"):
        degrade(draw(20, 20, 3), 21)
    with pytest.raises(InputError, match="too small to evaluate at x4"):
        score(draw(18, 40, 3), draw(18, 40, 3), 4)
    score(draw(19, 40, 3), draw(19, 40, 3), 4)


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install 'lmf-kernels\[eval\]'"):
        evaluate(load_model(MODEL), [PICTURE], [2])


def test_rows_and_means(tmp_path, draw):
    Image.fromarray(draw(30, 36, 1)[..., 0]).save(tmp_path / "grey.png")
    shown = []
    rows = evaluate(load_model(MODEL), [PICTURE, tmp_path / "grey.png"], [2, 2.5], progress=shown.append)
    assert [(row["scale"], os.path.basename(row["picture"])) for row in rows] == [
        (2, "flowers.png"), (2.5, "flowers.png"), (2, "grey.png"), (2.5, "grey.png")]
    assert shown == [0.25, 0.5, 0.75, 1]
    photo = rows[0]
    assert photo["size"] == (106, 160) and photo["model"].psnr > photo["bicubic"].psnr + 0.1
    hr, lr = degrade(np.asarray(Image.open(PICTURE).convert("RGB")), 2)
    up = np.asarray(Image.fromarray(lr).resize((160, 106), Image.Resampling.BICUBIC))
    assert photo["bicubic"] == score(up, hr, 2)
    both = means(rows)
    assert both[2]["model"].psnr == pytest.approx((rows[0]["model"].psnr + rows[2]["model"].psnr) / 2)
    assert both[2.5]["bicubic"].ssim == pytest.approx((rows[1]["bicubic"].ssim + rows[3]["bicubic"].ssim) / 2)


def test_the_command_prints_its_recipe_and_a_table(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    shutil.copy(PICTURE, tmp_path / "set")
    (tmp_path / "set" / "notes.txt").write_text("no picture")
    out = str(tmp_path / "scores.json")
    words = ["eval", str(tmp_path / "set"), "--scale", "2", "3.5", "--model", MODEL, "--json", out]
    assert main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "Y channel (ITU-R BT.601)" in shown[0] and "cropped to a multiple" in shown[0] and "a = -0.5" in shown[0]
    assert [line.split()[:2] for line in shown[2:]] == [
        ["x2", "flowers.png"], ["x2", "mean"], ["x3.5", "flowers.png"], ["x3.5", "mean"]]
    found = json.loads(pathlib.Path(out).read_text())
    assert [entry["scale"] for entry in found["means"]] == [2, 3.5] and found["model"] == MODEL
    row = found["pictures"][0]
    assert f"{row['bicubic']['psnr']:.3f}" == shown[2].split()[2] and f"{row['model']['ssim']:.4f}" in shown[2]
    assert main(["eval", str(tmp_path / "set"), "--rgb", "--scale", "2", "--model", MODEL]) == 0
    assert "RGB" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("words, says", [
    (["eval", "nowhere", "--model", MODEL], "There is no folder nowhere"),
    (["eval", ".", "--model", MODEL], "There is no picture in ."),
    (["eval", "set", "--model", MODEL, "--scale", "0.5"], "at least 1, got 0.5"),
    (["eval", "set", "--model", MODEL, "--scale", "two"], "'two' is not a factor"),
    (["eval", "set", "--model", MODEL, "--scale", "2,two"], "'2,two' is not a factor"),
    (["eval", "set", "--model", MODEL, "--scale", "40"], "p.png: A picture of 160x80 pixels is too small"),
    (["eval", "set", "--model", MODEL, "--json", "no/where.json"], "no folder"),
    (["eval", "set", "--model", "none.pth"], "There is no file none.pth"),
])
def test_bad_calls_are_one_sentence(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    shutil.copy(PICTURE, tmp_path / "set" / "p.png")
    assert main(words) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and shown.out == ""
