"""tta: the mean over the eight turned passes, whole and in tiles, for every model and every kind of picture."""

import random

import golden_cases
import numpy as np
import pytest
import random_models
import torch
from PIL import Image

import lmf_kernels as lmf
from lmf_kernels import tiling
from lmf_kernels.cli import main
from lmf_kernels.evaluation import evaluate, means
from lmf_kernels.tiling.turns import TURNS

SIZES = [((7, 9), (23, 31)), ((8, 5), (8, 5)), ((6, 11), (4, 33)), ((9, 6), (5, 4))]


def by_hand(model, image, size):
    """The definition, one whole pass after the other."""
    total = 0
    for turn in TURNS:
        values = model.render_grid(turn.tensor(image * 2 - 1).contiguous(), turn.pair(*size))
        total = total + turn.back(values) / len(TURNS)
    return (total / 2 + 0.5).clamp(0, 1)


def test_the_turns_are_eight_different_ones_and_go_back():
    image = torch.rand(1, 1, 3, 4)
    seen = {str(turn.tensor(image).tolist()) for turn in TURNS}
    assert len(seen) == 8
    for turn in TURNS:
        turned = turn.tensor(image)
        assert torch.equal(turn.back(turned), image) and tuple(turned.shape[2:]) == turn.pair(3, 4)
        (top, bottom), (left, right) = window = turn.window((1, 3), (0, 3), (3, 4))
        assert torch.equal(turn.back(turned[:, :, top:bottom, left:right]), image[:, :, 1:3, 0:3])
        assert turn.window_back(*window, (3, 4)) == ((1, 3), (0, 3))


@pytest.mark.parametrize("name", random_models.NAMES)
@pytest.mark.parametrize("lr, size", SIZES)
@torch.no_grad()
def test_whole_pictures(name, lr, size, seed):
    model = random_models.draw_model(name, seed)
    image = torch.rand(2, 3, *lr, dtype=torch.float64)
    got = lmf.upscale(model, image, size=size, tta=True, dtype=torch.float64)
    torch.testing.assert_close(got, by_hand(model, image, size), rtol=0, atol=1e-12)
    turned = lmf.upscale(model, image.flip(3).transpose(2, 3), size=size[::-1], tta=True, dtype=torch.float64)
    torch.testing.assert_close(turned, got.flip(3).transpose(2, 3), rtol=0, atol=1e-12)  # it commutes with turns
    as_bytes = lmf.upscale(model, image, size=size, tta=True, dtype=torch.uint8, layout="nhwc")
    assert as_bytes.is_contiguous() and as_bytes.shape == (2, *size, 3)
    assert (as_bytes.permute(0, 3, 1, 2).double() / 255 - got).abs().max() <= 0.5 / 255 + 1e-6


def test_tiles_are_refused_where_blocks_of_the_picture_are_seen(seed):
    model = random_models.draw_model("lmciaosr", seed, non_local_attn=True)
    plan = tiling.Plan((0, 4, 8), (0, 9), "pixels", 9, 0, tiling.Halo.of(model))
    with pytest.raises(lmf.InputError, match="tta cannot run in tiles with lmciaosr"):
        tiling.self_ensemble.check_plan(model, plan)
    tiling.self_ensemble.check_plan(model, plan._replace(rows=(0, 8)))


def test_tta_and_cmsr_exclude_each_other():
    model = lmf.load_model("lmliif-edsr10")
    with pytest.raises(lmf.InputError, match="exclude each other"):
        lmf.upscale(model, torch.rand(1, 3, 4, 4), 6, tta=True, cmsr="auto")


@pytest.mark.parametrize("name", [name for name in random_models.NAMES if name != "lmciaosr"])
@torch.no_grad()
def test_tiles_give_the_same(name, seed):
    """Every way to cut, drawn tile edges, odd sizes, scales per axis."""
    rng = random.Random(seed)
    model = random_models.draw_model(name, seed)
    halo = tiling.Halo.of(model)
    for _ in range(4):
        lr = rng.randint(3, 13), rng.randint(3, 13)
        size = tuple(max(1, int(n * rng.uniform(0.7, 4))) for n in lr)
        image = torch.rand(1, 3, *lr, dtype=torch.float64)
        rows, cols = ((0, *sorted(rng.sample(range(1, n), 2)), n) for n in lr)
        plan = tiling.Plan(rows, cols, "pixels", rng.randint(1, 5), 0, halo)
        parts = list(tiling.self_ensemble.bands(model, tiling.Source(image), size, plan, dtype=torch.float64,
                                                layout="nchw"))
        assert [y0 for y0, _ in parts] == [sum(p.shape[2] for _, p in parts[:i]) for i in range(len(parts))]
        torch.testing.assert_close(torch.cat([part for _, part in parts], dim=2), by_hand(model, image, size),
                                   rtol=0, atol=1e-11)


def test_within_a_budget(seed):
    model = lmf.load_model("lmliif-edsr10")
    image = torch.rand(1, 3, 70, 90)
    expected = lmf.upscale(model, image, scale=3, tta=True)
    rows = lmf.upscale_rows(model, image, scale=3, tta=True, max_memory="80MB", dtype=torch.float32, layout="nchw")
    assert rows.plan.tiles > 1 and rows.plan.keep == "pixels"
    torch.testing.assert_close(torch.cat([part for _, part in rows], dim=2), expected, rtol=0, atol=2e-6)
    within = lmf.upscale(model, image, scale=3, tta=True, max_memory="100MB")
    torch.testing.assert_close(within, expected, rtol=0, atol=2e-6)
    with pytest.raises(lmf.InputError, match="too little"):
        lmf.upscale_rows(model, image, scale=3, tta=True, max_memory="65MB")


def test_arrays_files_and_the_command(tmp_path, seed):
    model = lmf.load_model(golden_cases.path("lmliif"))
    pixels = np.random.default_rng(seed).integers(0, 256, (21, 30, 3), np.uint8)
    expected = lmf.upscale(model, pixels, 1.5, tta=True)
    assert expected.shape == (31, 45, 3) and not np.array_equal(expected, lmf.upscale(model, pixels, 1.5))
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(pixels).save(source)
    lmf.upscale_file(model, source, target, 1.5, tta=True)

    assert np.array_equal(np.asarray(Image.open(target)), expected)
    assert main(["upscale", str(source), str(tmp_path / "again.png"), "--scale", "1.5", "--tta", "--model",
                   str(golden_cases.path("lmliif"))]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), expected)


def test_evaluation_shows_both(tmp_path, seed):
    pytest.importorskip("skimage")
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 44, 3), np.uint8)).save(path)
    model = lmf.load_model(golden_cases.path("lmliif"))
    row, = evaluate(model, [path], [2], tta=True)
    plain, = evaluate(model, [path], [2])
    assert row["model"] == plain["model"] and row["tta"] != row["model"]
    assert set(means([row])[2]) == {"bicubic", "model", "tta"} and set(means([plain])[2]) == {"bicubic", "model"}
