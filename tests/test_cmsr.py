"""CMSR: the authors' numbers, our own reference, the same bits in every window, tiles, and the share counted."""

import functools
import importlib
import json
import random
from pathlib import Path

import golden_cases
import pytest
import torch
from lmf_kernels import CMSR, InputError, backends, built_in, explain, load_model, tiling, upscale, upscale_rows
from lmf_kernels.cli.record import digest
from lmf_kernels.cmsr import Rendering, resolve
from python_ref import cmsr as rule
from safetensors import safe_open

NAMES = [row["name"] for row in backends() if row["available"] and "modulated_mlp" in row["families"]
         and row["name"] in ("cpu", "reference")]
TRUE_SHARES = {6: 0.5208, 10: 0.4300, 12: 0.2986}
BORDER = 2  # LR cells that are left out: the authors clamp coordinates there
GAP = 1e-5  # between a threshold and every cell's intensity, which is worked out in several ways


@pytest.fixture(autouse=True)
def random_numbers(seed):
    random.seed(seed)


@functools.cache
def golden():
    """(tables, cases, tensors by name)."""
    with safe_open(golden_cases.FOLDER / "lmliif-cmsr.cases.safetensors", "pt") as file:
        stored = json.loads(file.metadata()["cases"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    tables = {float(key): {float(scale): threshold for scale, threshold in table.items()}
              for key, table in stored["render_tables"].items()}
    return tables, {case["scale"]: case for case in stored["cases"]}, tensors


def model_of(name, backend="auto"):
    return load_model(golden_cases.path(name), backend=backend)


def check_golden(picture, share, scale):
    expected = golden()[2][golden()[1][scale]["out"]]
    inside = slice(BORDER * scale, -BORDER * scale)
    assert (picture - expected)[..., inside, inside].abs().max() <= golden_cases.TOLERANCE
    assert share == pytest.approx(TRUE_SHARES[scale], abs=5e-5)


@pytest.mark.parametrize("scale", TRUE_SHARES)
def test_golden_on_the_reference_code(scale):
    tables, _, tensors = golden()
    image, loaded = 2 * tensors["image0"] - 1, golden_cases.load("lmliif")
    size = tuple(side * scale for side in image.shape[-2:])
    with torch.no_grad():
        picture, share = rule.decode(importlib.import_module("python_ref.lmliif"), loaded.encoder(image), loaded.sd,
                                     image=image, size=size, tables=tables, options=loaded.options)
    check_golden(picture, share, scale)


@pytest.mark.parametrize("scale", TRUE_SHARES)
@pytest.mark.parametrize("backend", NAMES)
def test_golden_on_a_backend(backend, scale):
    tables, _, tensors = golden()
    model, inp, cmsr = model_of("lmliif", backend), 2 * tensors["image0"] - 1, CMSR(tables)
    picture = rendered(model, inp, tuple(side * scale for side in inp.shape[-2:]), cmsr)
    check_golden(picture, cmsr.share, scale)


@torch.no_grad()
def rendered(model, inp, size, cmsr, **how):
    lr_size = inp.shape[-2:]
    fields = model.fields(model.encode(inp), model.rel_cell_of(lr_size, size))
    return cmsr.rendering(model, lr_size, size).grid(inp, size, fields=fields, **how)


def photograph(h, w):
    """A random part of a random photograph, (3, h, w), its channels in random order."""
    tensors = golden()[2]
    whole = tensors[random.choice([name for name in tensors if name.startswith("table_image")])][0]
    top, left = (random.randint(0, side - n) for side, n in zip(whole.shape[1:], (h, w)))
    return whole[torch.randperm(3), top:top + h, left:left + w]


@torch.no_grad()
def draw(model, image, size, levels=4):
    """Tables whose thresholds share out an image's cells, none near a cell's intensity."""
    lr_size = image.shape[-2:]
    fields = model.fields(model.encode(2 * image - 1), model.rel_cell_of(lr_size, size))
    m = model.modulation_intensity(fields).flatten().sort().values
    full = (size[0] * size[1] / (lr_size[0] * lr_size[1])) ** 0.5
    scales = sorted(random.sample([s for s in (1, 1.5, 2, 2.7, 3, 4, 6, 8, 12) if s < full], levels))
    wide = ((m[1:] - m[:-1]) > 3 * GAP).nonzero().flatten()
    at = sorted(random.sample(wide.tolist(), min(levels, len(wide))))
    return {full + 1: {scale: float(m[i] + m[i + 1]) / 2 for scale, i in zip(scales, at)}}


@pytest.mark.parametrize("kind", ["noise", "photograph"])
@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("name", ["lmliif", "lmlte", "lmciaosr"])
def test_the_reference_code_gives_the_same_picture(name, backend, kind):
    model, loaded = model_of(name, backend), golden_cases.load(name)
    for scale_y, scale_x in ((4.3, 4.3), (7.77, 7.77), (12, 12), (9.5, 3)):
        lr_size = random.randint(5, 14), random.randint(5, 14)
        size = int(lr_size[0] * scale_y), int(lr_size[1] * scale_x)
        image = torch.stack([torch.rand(3, *lr_size) if kind == "noise" else photograph(*lr_size) for _ in range(2)])
        cmsr = CMSR(draw(model, image, size))
        inp = 2 * image - 1
        with torch.no_grad():
            expected, share = rule.decode(
                importlib.import_module(f"python_ref.{name}"), loaded.encoder(inp), loaded.sd, image=inp, size=size,
                tables=cmsr.tables, options=loaded.options, skip=inp if model.has_skip else None)
        largest = expected.abs().max().clamp(min=1)  # LM-LTE's values reach 12 on noise, which rounds by as much more
        assert (rendered(model, inp, size, cmsr) - expected).abs().max() < 2e-5 * (largest if kind == "noise" else 1)
        assert cmsr.share == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("name", ["lmliif", "lmlte", "lmciaosr"])
def test_every_window_has_the_same_bits_and_each_cell_counts_once(name, monkeypatch):
    model = model_of(name)
    for dtype, layout in ((torch.float32, "nchw"), (torch.uint8, "nhwc")):
        lr_size = random.randint(6, 16), random.randint(6, 16)
        size = random.randint(5 * lr_size[0], 13 * lr_size[0]), random.randint(5 * lr_size[1], 13 * lr_size[1])
        image = torch.rand(2, 3, *lr_size)
        tables = draw(model, image, size)
        inp, whole, parts = 2 * image - 1, CMSR(tables), CMSR(tables)
        how = {"epilogue": "unit", "dtype": dtype, "layout": layout}
        expected = rendered(model, inp, size, whole, **how)
        monkeypatch.setattr("lmf_kernels.cmsr.render.PIXELS_AT_ONCE", random.randint(1, 3000))
        found = torch.empty_like(expected)
        rows, cols = (sorted({0, n, *random.sample(range(1, n), 3)}) for n in size)
        for y0, y1 in zip(rows, rows[1:]):
            for x0, x1 in zip(cols, cols[1:]):
                part = rendered(model, inp, size, parts, window=(y0, x0, y1 - y0, x1 - x0), **how)
                if layout == "nchw":
                    found[:, :, y0:y1, x0:x1] = part
                else:
                    found[:, y0:y1, x0:x1] = part
        monkeypatch.undo()
        assert torch.equal(found, expected)
        assert parts.share == pytest.approx(whole.share, rel=1e-12)


def test_only_cells_that_need_it_are_rendered_in_full():
    """A picture that is flat but for one spot."""
    model = model_of("lmliif")
    image = torch.full((1, 3, 24, 24), 0.5)
    image[:, :, 11:13, 11:13] = torch.rand(1, 3, 2, 2)
    with torch.no_grad():
        fields = model.fields(model.encode(2 * image - 1), model.rel_cell_of((24, 24), (192, 192)))
        m = model.modulation_intensity(fields)
    cmsr = CMSR({8: {1: float(m.flatten().kthvalue(24 * 24 - 30).values) + 1e-6}})
    full, some = upscale(model, image, 8), upscale(model, image, 8, cmsr=cmsr)
    assert cmsr.share < 30.5 / 576 + 546 / 576 / 64
    owned = (m[0] > cmsr.tables[8][1]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(some[:, :, owned], full[:, :, owned])
    assert not torch.equal(some, full)


@pytest.mark.parametrize("keep", ["fields", "pixels"])
@pytest.mark.parametrize("budget", ["70MB", "68MB", "67MB"])
def test_tiles_give_the_same_picture(budget, keep):
    model = model_of("lmliif")
    lr_size, scale = (40, 52), 9
    image = torch.rand(1, 3, *lr_size)
    tables = draw(model, image, tuple(n * scale for n in lr_size))
    whole, tiled = CMSR(tables), CMSR(tables)
    expected = upscale(model, image, scale, cmsr=whole)
    rows = upscale_rows(model, image, scale, max_memory=budget, dtype=torch.float32, layout="nchw", cmsr=tiled)
    assert rows.plan.tiles > 1
    size = expected.shape[-2:]
    bands = tiling.bands(model, tiling.Source(image), size, rows.plan._replace(keep=keep), dtype=torch.float32,
                         layout="nchw", rendering=tiled.rendering(model, lr_size, size))
    found = torch.cat([band for _, band in bands], dim=2)
    assert (found - expected).abs().max() < 1e-5
    assert tiled.share == pytest.approx(whole.share, rel=1e-9)


def test_nothing_happens_up_to_x4():
    model, cmsr, image = model_of("lmliif"), CMSR({6: {1: 1, 2: 1}}), torch.rand(1, 3, 9, 8)
    for scale in (2, 4):
        assert torch.equal(upscale(model, image, scale, cmsr=cmsr), upscale(model, image, scale))
    assert cmsr.share is None
    upscale(model, image, 5, cmsr=cmsr)
    assert cmsr.share < 0.2


def test_which_table_and_which_levels():
    tables = {6: {1: 0.1, 2: 0.1, 3: 0.3, 6: 1}, 12: {0.5: 0.1, 4: 0.2, 5: 0, 8: 0.4, 12: 1}}
    scales = lambda size: [level.scale for level in rule.levels(tables, (10, 10), size)]  # noqa: E731
    assert scales((40, 40)) == [4.0]  # up to x4 there is one level
    assert scales((60, 60)) == [1, 3, 6.0]  # no cell can be at x2
    assert scales((70, 70)) == [4, 7.0]  # nor below x1, nor at or above the output's scale
    assert scales((200, 200)) == [4, 8, 12, 20.0]  # the last table where no key is large enough
    assert scales((500, 9)) == [pytest.approx(45 ** 0.5)]  # a side shrinks
    levels = rule.levels(tables, (10, 10), (60, 60))
    assert rule.assign(torch.tensor([0.0, 0.1, 0.2, 0.3, 0.31, float("nan")]), levels).tolist() == [0, 0, 1, 1, 2, 2]


def test_intensity_is_that_of_the_published_shifts():
    for name in ("lmliif", "lmlte"):
        model, loaded = model_of(name), golden_cases.load(name)
        features, rel_cell = torch.randn(2, 64, 7, 5), (0.7, 0.6)
        with torch.no_grad():
            mods = importlib.import_module(f"python_ref.{name}").latent_published(
                features, loaded.sd, torch.tensor(rel_cell), loaded.options)
            mods = mods[0] if isinstance(mods, tuple) else mods
            depth = model.render_mlp.depth * model.render_mlp.hidden
            assert torch.allclose(model.modulation_intensity(model.fields(features, rel_cell)),
                                  mods[:, depth:2 * depth].abs().mean(dim=1), rtol=1e-5, atol=1e-6)


def test_models_without_shifts_are_refused():
    with pytest.raises(InputError, match="CMSR needs shift modulations.* liif"):
        upscale(model_of("liif"), torch.rand(1, 3, 5, 5), 6, cmsr={6: {1: 1}})


@pytest.mark.parametrize("given, message", [
    ("auto", "ship with the built-in models"), (1e-4, "ship with the built-in models"),
    (True, "cmsr is 'auto'"), ([], "cmsr is 'auto'"), ("no/such.yaml", "Cannot read no/such.yaml"),
])
def test_wrong_requests(given, message):
    with pytest.raises(InputError, match=message):
        resolve(given, model_of("lmliif"))


def test_explain_says_how_cells_are_rendered():
    if "cpu" in NAMES:
        assert "cell mask" in str(explain(model_of("lmliif", "cpu")))
    assert "query points" in str(explain(model_of("lmliif", "reference")))


@pytest.mark.parametrize("name", [name for name in built_in.names() if name.startswith("lm")])
def test_tables_that_ship(name):
    """Where the digest differs, the weights have changed: run bench/cmsr_tables.py again."""
    tables = built_in.cmsr_tables(name)
    assert sorted(tables) == [5e-6, 2e-5, 1e-4]
    model, image, shares = load_model(name), smooth(24), []
    for precision, path in sorted(tables.items()):
        assert f"# weights: {digest(built_in.path_of(name))}\n" in Path(path).read_text(encoding="utf-8")
        assert path == built_in.cmsr_path(name, precision)
        cmsr = resolve(precision, model)
        full, picture = upscale(model, image, 12), upscale(model, image, 12, cmsr=cmsr)
        assert 4 * (picture - full).square().mean() < 4 * precision
        shares.append(cmsr.share)
    assert 1 > shares[0] >= shares[1] >= shares[2] > 0
    assert resolve("auto", model).tables == resolve("2e-5", model).tables == CMSR(tables[2e-5]).tables
    with pytest.raises(InputError, match=f"3e-05 ships with {name}; there are 5e-06, 2e-05, 0.0001"):
        resolve(3e-5, model)


def smooth(side):
    """A picture with a gradient on one half and noise on the other."""
    image = torch.linspace(0.2, 0.8, side).expand(1, 3, side, side).clone()
    image[..., side // 2:] = torch.rand(1, 3, side, side - side // 2) * 0.3 + 0.3
    return image


def test_a_margin_of_cells_is_enough():
    """What a tile holds covers what every window of its pixels reads, at random sizes."""
    model = model_of("lmliif")
    for _ in range(200):
        lr_size = random.randint(1, 60), random.randint(1, 60)
        size = tuple(int(n * random.uniform(4.01, 14)) for n in lr_size)
        scales = sorted(random.sample((1, 1.2, 1.5, 2, 3, 3.9), 4))
        rendering = Rendering(model, {20: {s: (i + 1) / 9 for i, s in enumerate(scales)}}, lr_size, size, None)
        for axis in (0, 1):
            n, out = lr_size[axis], size[axis]
            first = random.randrange(n)
            end = random.randint(first + 1, n)
            start, stop = model.family.map.owned(first, end, n, out)
            if start < stop:
                low, high = rendering._spans(axis, start, stop)[0]
                held = model.family.map.held(first, end, n)
                assert max(0, held[0] - rendering.margin) <= low and high <= min(n, held[1] + rendering.margin)
