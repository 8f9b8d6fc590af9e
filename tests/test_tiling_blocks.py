"""LM-CiaoSR in tiles: its attention in blocks depends on the place in the picture, and tiles are made of whole blocks."""

import json
import os
import pathlib
import random
import subprocess
import sys

import golden_cases
import pytest
import random_models
import torch

from lmf_kernels import InputError, load_model, tiling, upscale
from lmf_kernels.ops import non_local
from lmf_kernels.tiling import plan as planning

HERE = pathlib.Path(__file__).parent
SIZES = [(100, 98), (145, 50), (97, 49), (60, 50), (47, 110), (110, 30), (48, 48), (1, 300), (1, 2400)]


@pytest.fixture(scope="module")
def model():
    return load_model(golden_cases.path("lmciaosr"))


def in_tiles(model, image, size, cut):
    """The picture from the tiles of a plan, in rows."""
    rows = tiling.bands(model, tiling.Source(image), size, cut, dtype=torch.float32, layout="nchw")
    return torch.cat([part for _, part in rows], dim=2)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_give_the_picture(model, size, seed):
    """The smallest tiles and some others that a plan may choose, also where a row of tiles has no pixel of its own."""
    choose = random.Random(seed)
    image = torch.rand(1, 3, *size)
    scale = choose.choice((1.3, 1.3, 0.02))
    out = tuple(max(1, int(scale * n)) for n in size)
    want, halo = upscale(model, image, size=out), tiling.Halo.of(model)
    ways = halo.cuts(size)
    for rows, cols in ([way[-1] for way in ways], [choose.choice(way) for way in ways]):
        cut = tiling.Plan(rows, cols, choose.choice(("fields", "pixels")), choose.randint(1, 40), 0, halo)
        assert (in_tiles(model, image, out, cut) - want).abs().max() < 1e-5, cut


def test_a_cut_through_a_block_would_be_seen(model, seed):
    image = torch.rand(1, 3, 100, 98)
    cut = tiling.Plan((0, 39, 100), (0, 98), "fields", 50, 0, tiling.Halo.of(model))
    assert (in_tiles(model, image, (100, 98), cut) - upscale(model, image, size=(100, 98))).abs().max() > 1e-3


def test_where_tiles_may_begin(model):
    halo = tiling.Halo.of(model)
    assert halo.starts((48, 48)) == [[0], [0]]  # one block: the whole picture
    assert halo.starts((49, 48)) == [[0], [0]]
    assert halo.starts((143, 144)) == [[0, 48], [0, 48, 96]]  # the last block takes what remains
    assert halo.starts((300, 30)) == [[0, 48, 96, 144, 192, 240], [0]]
    assert halo.cuts((143, 50)) == [[(0, 143), (0, 47, 143)], [(0, 50)]]
    assert load_model(golden_cases.path("lmliif")).tile_starts((100, 100)) is None
    assert random_models.draw_model("lmciaosr", 0, non_local_attn=False).tile_starts((100, 100)) is None


def test_the_blocks_of_windows(model, seed):
    """The operator on a window has the whole picture's numbers in the blocks that it sees entirely, else zeros."""
    features, lr_size = torch.randn(2, 64, 150, 100), (150, 100)
    weights = model._pack_latent().attention[0].detach()
    whole = non_local.non_local(features, weights, 2, lr_size, (0, 0))
    assert all(part.any() for part in whole.flatten(3).unbind(2)), "every column has features"
    part = non_local.non_local(features[:, :, 47:150, :50], weights, 2, lr_size, (47, 0))
    assert not part[:, :, 48:].any() and not part[:, :1].any()
    torch.testing.assert_close(part[:, 1:, :48], whole[:, 48:, :48], rtol=0, atol=1e-6)
    part = non_local.non_local(features[:, :, 47:], weights, 2, lr_size, (47, 0))
    torch.testing.assert_close(part[:, 1:], whole[:, 48:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("budget", ["110MB", "300MB"])
def test_upscale_within_a_budget(model, budget, seed):
    image = torch.rand(2, 3, 150, 200)
    want = upscale(model, image, 1.7)
    assert (upscale(model, image, 1.7, max_memory=budget) - want).abs().max() < 1e-5


def test_a_picture_of_one_block_is_not_cut(model):
    with pytest.raises(InputError, match="even in the smallest tiles; allow"):
        upscale(model, torch.rand(1, 3, 48, 48), 8, max_memory="70MB")


def test_a_plan_is_made_of_blocks(model):
    costs, halo = tiling.stage_bytes(model), tiling.Halo.of(model)
    assert costs.latent_at_once == 1024
    plan = tiling.make_plan(tiling.Job(1, (500, 700), (1000, 1400), 3), costs, halo, 130 * 10**6)
    assert plan.tiles > 1 and plan.peak <= 130 * 10**6
    assert all((edge + 1) % 48 == 0 for edge in (*plan.rows[1:-1], *plan.cols[1:-1]))
    assert plan.rows[-2] < 432 and plan.cols[-2] < 624
    assert planning.Halo(34, 1, 1, True).cuts((20, 10))[1] == [(0, 10)]


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the system does not tell peaks")
@pytest.mark.parametrize("height, width, budget", [(200, 260, "140MB"), (60, 3000, "200MB")])
def test_real_memory_keeps_to_the_budget(height, width, budget):
    child = [sys.executable, str(HERE / "child_tiling_memory.py"), str(golden_cases.path("lmciaosr")), *map(str, (
        height, width, 2, budget))]
    found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True,
                                      env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout)
    print(found)
    assert found["rows"] == height * 2 and found["tiles"] > 1
    assert found["predicted"] <= tiling.parse_size(budget)
    assert found["predicted"] * 0.1 < found["grown"] < tiling.parse_size(budget) * 1.1, found
