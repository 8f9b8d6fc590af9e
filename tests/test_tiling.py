"""Upscaling in bounded memory: tiles change nothing, rows come in order, budgets are kept or refused in a sentence."""

import json
import os
import pathlib
import random
import subprocess
import sys

import golden_cases
import numpy as np
import pytest
import torch
from python_ref.geometry import grid_queries

from lmf_kernels import InputError, build_model, load_model, upscale, upscale_rows
from lmf_kernels import tiling
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.families.maps import CELLS
from lmf_kernels.tiling import memory, plan as planning, windows

SCALES = (1, 2, 3, 3.7, 7.3, 30, 0.5, 0.93, 1.06, (0.6, 4.2), (31.3, 1.5))
HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def models():
    return {name: load_model(golden_cases.path(name)) for name in golden_cases.MODELS}


def any_cut(choose, h, w, reach):
    """A plan that no budget would choose: any tiles, either way of keeping, any band."""
    rows, cols = (windows.edges(n, choose.randint(1, max(1, n // reach.align)), reach.align) for n in (h, w))
    return tiling.Plan(rows, cols, choose.choice(("fields", "pixels")), choose.randint(1, 40), 0, reach)


def collect(bands, height, axis=1):
    """The rows of all bands in one tensor, checked to come in order and to be complete."""
    parts, done = [], 0
    for y0, rows in bands:
        assert y0 == done and rows.shape[axis] > 0
        parts.append(rows)
        done += rows.shape[axis]
    assert done == height
    return torch.cat(parts, dim=axis)


# A convolution over a tile sums in another order; the Fourier product multiplies what that changes by its frequencies.
@pytest.mark.parametrize("name, tolerance", [("lmliif", 1e-5), ("lmlte", 1e-4), ("liif", 1e-5), ("lte", 1e-4)])
def test_any_tiles_give_the_picture(models, name, tolerance, seed):
    model, choose = models[name], random.Random(seed)
    left, most = (6, 2e6) if model.family is MODULATED_MLP else (3, 2e4)
    while left:
        h, w, scale = choose.randint(1, 34), choose.randint(1, 34), choose.choice(SCALES)
        pair = scale if isinstance(scale, tuple) else (scale, scale)
        if min(h * pair[0], w * pair[1]) < 1 or h * w * pair[0] * pair[1] > most:
            continue
        left -= 1
        image = torch.rand(choose.choice((1, 2)), 3, h, w)
        want = upscale(model, image, scale)
        cut = any_cut(choose, h, w, tiling.Halo.of(model))
        got = collect(tiling.bands(model, tiling.Source(image), want.shape[2:], cut, dtype=torch.float32,
                                   layout="nchw"), want.shape[2], axis=2)
        assert got.shape == want.shape
        assert (got - want).abs().max() < tolerance, (h, w, scale, cut)


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
def test_bands_of_one_tile_are_the_picture_bit_for_bit(models, name, seed):
    model, choose = models[name], random.Random(seed)
    image = torch.rand(2, 3, 13, 17)
    for scale in choose.sample(SCALES, 4):
        for dtype in (torch.float32, torch.uint8):
            want = upscale(model, image, scale, dtype=dtype, layout="nhwc")
            for keep in ("fields", "pixels"):
                cut = tiling.Plan((0, 13), (0, 17), keep, choose.randint(1, 50), 0, tiling.Halo.of(model))
                got = collect(tiling.bands(model, tiling.Source(image), want.shape[1:3], cut, dtype=dtype,
                                           layout="nhwc"), want.shape[1])
                assert torch.equal(got, want), (scale, dtype, cut)


@pytest.mark.parametrize("name", [name for name in golden_cases.MODELS if name != "lmciaosr"])  # test_tiling_blocks.py
def test_upscale_within_a_budget(models, name, seed, monkeypatch):
    model, image = models[name], torch.rand(2, 3, 60, 50)
    want = upscale(model, image, 1.7)
    plans, make_plan = [], tiling.make_plan
    monkeypatch.setattr(tiling, "make_plan", lambda *given: plans.append(make_plan(*given)) or plans[-1])
    for budget in ("400MB", "80MB", 75 * 10**6, "67MB"):
        got = upscale(model, image, 1.7, max_memory=budget)
        assert got.shape == want.shape and (got - want).abs().max() < 1e-5, budget
    assert plans and plans[-1].tiles > 2, "the smallest budget is to need tiles"
    small = upscale(model, image, 1.7, max_memory="75MB", dtype=torch.uint8, layout="nhwc")
    assert small.dtype == torch.uint8
    assert (small - want.permute(0, 2, 3, 1) * 255).abs().max() <= 0.501


def test_rows_from_integer_pixels(models, seed):
    model = models["lmliif"]
    pixels = np.random.default_rng(seed).integers(0, 256, (31, 23, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255).contiguous()
    want = upscale(model, image, 2.6, dtype=torch.uint8, layout="nhwc")
    deep = pixels.astype(np.uint16) * 257
    for source in (pixels, torch.from_numpy(pixels), pixels[None], pixels[::-1][::-1], deep, deep.astype(">u2"),
                   image):
        assert torch.equal(collect(upscale_rows(model, source, 2.6), want.shape[1]), want)
    rows = upscale_rows(model, image, size=want.shape[1:3], max_memory="70MB", dtype=torch.float32, layout="nchw")
    got = collect(rows, want.shape[1], axis=2)
    assert torch.equal((got * 255).round().to(torch.uint8).permute(0, 2, 3, 1), want)


def test_stages_and_progress_are_reported(models):
    stages, shares = [], []
    rows = upscale_rows(models["lmliif"], torch.rand(1, 3, 90, 80), 2, max_memory="67MB", on_stage_end=stages.append,
                        progress=shares.append)
    collect(rows, 180)
    assert rows.plan.tiles > 1 and "tiles of at most" in str(rows.plan)
    assert stages.count("encoder") == stages.count("latent") == rows.plan.tiles <= stages.count("render")
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1


def test_tiles_own_each_output_position_once_and_hold_what_it_reads(seed):
    choose = random.Random(seed)
    for _ in range(200):
        n_in, n_out = choose.randint(1, 40), choose.choice((choose.randint(1, 60), choose.randint(1, 1200)))
        align = choose.choice((1, 1, 4, 8))
        edges = windows.edges(n_in, choose.randint(1, n_in), align)
        assert edges[0] == 0 and edges[-1] == n_in and all(e % align == 0 for e in edges[:-1])
        low, high = (cells.flatten() for cells in grid_queries((n_in, 1), (n_out, 1)).y.cells)
        done = 0
        for first, end in zip(edges, edges[1:]):
            start, stop = CELLS.owned(first, end, n_in, n_out)
            assert start == done and stop >= start
            done = stop
            if stop > start:
                assert low[start:stop].min() >= first and high[start:stop].max() <= min(end, n_in - 1)
        assert done == n_out


def test_a_plan_keeps_to_its_budget(seed):
    choose = random.Random(seed)
    costs = tiling.StageBytes(1048.0, 256.0, 1920.0, 832.0, 0.0, 1 << 16)
    for _ in range(30):
        h, w = choose.randint(1, 5000), choose.randint(1, 5000)
        scale = choose.uniform(0.5, 30)
        job = tiling.Job(choose.choice((1, 3)), (h, w), (max(1, int(h * scale)), max(1, int(w * scale))), 3)
        reach = choose.choice((planning.Halo(34, 1, 1, True), planning.Halo(32, 1, 8, False)))
        rates = costs._replace(render=choose.choice((0.0, 5000.0)))
        budget = choose.choice((2, 4, 16)) * 10**9
        try:
            plan = tiling.make_plan(job, rates, reach, budget)
        except InputError as error:
            need = memory.parse_size(str(error).split("allow ")[1].split(" or more")[0].replace("kB", "KB"))
            assert need > budget
            assert tiling.make_plan(job, rates, reach, need).peak <= need  # what it asks for is enough
            continue
        assert plan.peak <= budget and plan.band >= 1
        assert (plan.rows[0], plan.rows[-1], plan.cols[0], plan.cols[-1]) == (0, h, 0, w)
        assert all(edge % reach.align == 0 for edge in (*plan.rows[:-1], *plan.cols[:-1]))


def test_more_memory_never_means_more_tiles():
    costs, reach = tiling.StageBytes(1048.0, 256.0, 1920.0, 832.0, 0.0, 1 << 16), planning.Halo(34, 1, 1, True)
    job = tiling.Job(1, (3456, 4608), (6912, 9216), 3, on_cpu=False)
    counts = [tiling.make_plan(job, costs, reach, budget * 10**9).tiles for budget in (0.3, 0.6, 1, 2, 4, 100)]
    assert counts == sorted(counts, reverse=True) and counts[-1] == 1 < counts[0]


def test_on_a_cpu_no_feature_map_is_fetched_anew():
    costs, reach = tiling.StageBytes(1048.0, 256.0, 1920.0, 832.0, 0.0, 1 << 16), planning.Halo(6, 1, 1, True)
    plan = tiling.make_plan(tiling.Job(1, (3456, 4608), (6912, 9216), 3), costs, reach, 10**11)
    sides = [max(end - first for first, end in zip(edges, edges[1:])) + 15 for edges in (plan.rows, plan.cols)]
    assert 2**24 < 256 * sides[0] * sides[1] < 2**25


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the system does not tell peaks")
@pytest.mark.parametrize("name, height, width, scale, budget", [
    ("lmliif", 300, 420, 2, "130MB"), ("lmliif", 60, 70, 30, "90MB"), ("lte", 50, 60, 2, "200MB")])
def test_real_memory_keeps_to_the_budget(name, height, width, scale, budget):
    child = [sys.executable, str(HERE / "child_tiling_memory.py"), str(golden_cases.path(name)), *map(str, (
        height, width, scale, budget))]
    found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True,
                                      env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout)
    assert found["rows"] == height * scale
    assert found["predicted"] <= tiling.parse_size(budget)
    assert found["predicted"] * 0.1 < found["grown"] < tiling.parse_size(budget) * 1.1, found


@pytest.mark.parametrize("overlap", [1, 100])
def test_attention_in_windows(overlap, seed, monkeypatch, models):
    spec = models["lmliif"].spec
    encoder = {"name": "swinir", "args": {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4,
                                          "img_size": 16}}
    model = build_model({"name": "lmliif", "args": {**spec["args"], "encoder_spec": encoder}}).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(2)
    monkeypatch.setattr(planning, "OVERLAP_WINDOWS", overlap)
    reach = tiling.Halo.of(model)
    assert reach.align == 4 and reach.exact == (overlap == 100) and reach.encoder == min(
        4 * overlap, model.encoder.receptive_field)
    image = torch.rand(1, 3, 45, 150)
    want = upscale(model, image, 2)
    cut = tiling.Plan((0, 20, 45), (0, 48, 100, 150), "pixels", 64, 0, reach)
    got = collect(tiling.bands(model, tiling.Source(image), (90, 300), cut, dtype=torch.float32, layout="nchw"), 90, 2)
    worst = float((got - want).abs().max())
    print(f"SwinIR in tiles with an overlap of {reach.encoder} pixels: off by at most {255 * worst:.4f} of 255")
    assert worst < (1e-5 if reach.exact else 0.15)


@pytest.mark.parametrize("text, count", [
    ("2GB", 2 * 10**9), ("2 gb", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("800M", 800 * 10**6), ("64k", 64000),
    (".5TB", 5 * 10**11), ("512 MiB", 2**29), ("7", 7), ("12B", 12), (3000, 3000), (np.int64(5), 5)])
def test_sizes_are_read(text, count):
    assert tiling.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-2GB", "2XB", "2 G B", "1e9", "\u0662GB", "0", 0, -5, 2.5, None, True,
                                  "nan", [1]])
def test_what_is_no_size_is_told_in_one_sentence(text):
    with pytest.raises(InputError, match="^--max-memory is .*got") as caught:
        tiling.parse_size(text, "--max-memory")
    assert "\n" not in str(caught.value)


def test_sizes_in_words():
    words = [memory.format_bytes(n) for n in (1, 999, 1000, 1500, 9949999, 12 * 10**6 + 1, 2 * 10**9, 3 * 10**13)]
    assert words == ["1 bytes", "999 bytes", "1.0 kB", "1.5 kB", "10 MB", "13 MB", "2.0 GB", "30 TB"]


def test_refusals(models):
    model, image = models["lmliif"], torch.rand(1, 3, 20, 20)
    with pytest.raises(InputError, match=r"The result alone, 1 x 2000x2000 pixels of torch.float32, takes 48 MB, more "
                                         r"than max_memory allows \(1.0 MB\).*upscale_rows"):
        upscale(model, image, 100, max_memory="1MB")
    with pytest.raises(InputError, match="max_memory of 10 MB is too little .* allow [0-9]+ MB or more"):
        upscale_rows(model, image, 2, max_memory="10MB")
    with pytest.raises(InputError, match="max_memory of 50 MB is too little"):
        upscale(model, image, 90, max_memory="50MB")
    with pytest.raises(InputError, match="max_memory is a number of bytes"):
        upscale(model, image, 2, max_memory="much")
    with pytest.raises(InputError, match="got a Linear"):
        upscale_rows(torch.nn.Linear(1, 1), image, 2)


@pytest.mark.parametrize("image, says", [
    (torch.zeros(3, 4, 4), "B, 3, h, w"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.float64), "torch.float64"),
    (torch.zeros(0, 4, 3, dtype=torch.uint8), "empty"),
    (np.zeros((4, 4)), "uint8 or uint16, got float64"),
    (np.zeros((4, 4), np.uint8), r"are \(h, w, 3\)"),
    (np.zeros((3, 4, 4), np.uint8), r"are \(h, w, 3\)"),
    (torch.zeros(3, 4, 4, dtype=torch.int64), "uint8 or uint16, got torch.int64"),
    ([[1]], "got a list"),
])
def test_bad_sources_are_told_at_once_and_in_one_sentence(models, image, says):
    with pytest.raises(InputError, match=says) as caught:
        upscale_rows(models["lmliif"], image, 2)
    assert "\n" not in str(caught.value)
