"""The restructured form equals the published one, whatever the model, its options, its widths and the sizes."""

import importlib

import golden_cases
import pytest
import random_decoders
import torch
from python_ref import geometry, liif, lmliif, published

# LR size, output size: x1, powers of two, odd, fractional, different per axis, downscaling, x30, one row, one pixel
SIZES = [((5, 4), (5, 4)), ((6, 5), (12, 10)), ((5, 7), (15, 21)), ((6, 9), (22, 33)), ((7, 4), (10, 23)),
         ((9, 6), (4, 11)), ((3, 2), (90, 60)), ((1, 8), (4, 19)), ((6, 1), (17, 6)), ((1, 1), (2, 4))]


@pytest.fixture(autouse=True)
def no_area_guard(monkeypatch):
    """The published guard against empty areas (1e-9) is the one difference between the forms: take it out."""
    monkeypatch.setattr(published, "AREA_GUARD", 1e-300)


def module(model):
    return importlib.import_module(f"python_ref.{model}")


def undecided(u, n_in, ensemble):
    """Where the published rule has no answer: all areas vanish, or two cells are equally near."""
    nowhere = (u - (n_in - 1)).abs() < 1e-9
    return nowhere if ensemble else nowhere | (((u - 0.5) - (u - 0.5).round()).abs() < 1e-9)


def kept_on_grid(lr_size, size, ensemble):
    rows, cols = (~undecided((torch.arange(n).double() + 0.5) * n_in / n - 0.5, n_in, ensemble)
                  for n_in, n in zip(lr_size, size))
    return rows[:, None] & cols


def kept_points(coord, lr_size, ensemble):
    """As above, and not within the published tie shift (1e-6) of a cell's border."""
    kept = torch.ones(coord.shape[:2], dtype=torch.bool)
    for axis in (0, 1):
        u = ((coord[..., axis] + 1) * lr_size[axis] - 1) / 2
        kept &= ~undecided(u, lr_size[axis], ensemble) & ((2 * u - (2 * u).round()).abs() > 1e-4)
    return kept


def same(got, expected, keep, note, tolerance=1e-10):
    assert got.shape == expected.shape
    assert keep.any(), f"nothing left to compare: {note}"
    difference = torch.where(keep, got - expected, 0).abs().max().item()
    size = torch.where(keep, expected, 0).abs().max().item()
    assert difference <= tolerance * max(size, 1), f"largest difference {difference:.2e}, values to {size:.1f}: {note}"


def random_points(batch, count):
    coord = torch.rand(batch, count, 2, dtype=torch.float64) * 2 - 1
    return coord, torch.rand(batch, count, 2, dtype=torch.float64) + 0.05


@pytest.mark.parametrize("lr_size, size", SIZES)
@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_forms_agree_on_grids(model, lr_size, size, seed):
    for ensemble in (True, False):
        decoder = random_decoders.draw(model, seed, lr_size, batch=2, local_ensemble=ensemble)
        given = {"size": size, "options": decoder.options, **decoder.skip}
        got = module(model).decode(decoder.features, decoder.sd, **given)
        expected = module(model).decode_published(decoder.features, decoder.sd, **given)
        same(got, expected, kept_on_grid(lr_size, size, ensemble), decoder)


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_forms_agree_on_points(model, ensemble, seed):
    decoder = random_decoders.draw(model, seed, (7, 9), batch=2, local_ensemble=ensemble)
    coord, cell = random_points(2, 300)
    given = {"coord": coord, "cell": cell, "options": decoder.options, **decoder.skip}
    got = module(model).decode(decoder.features, decoder.sd, **given)
    expected = module(model).decode_published(decoder.features, decoder.sd, **given)
    same(got, expected, kept_points(coord, (7, 9), ensemble)[..., None], decoder)


@pytest.mark.parametrize("off", ["feat_unfold", "cell_decode", "mod_input", "mod_scale", "mod_shift", None])
@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_every_option_alone(model, off, seed):
    options = random_decoders.Options(**({off: False} if off else {}))
    decoder = random_decoders.draw(model, seed, (5, 6), **options._asdict())
    given = {"size": (13, 20), "options": options, **decoder.skip}
    got = module(model).decode(decoder.features, decoder.sd, **given)
    expected = module(model).decode_published(decoder.features, decoder.sd, **given)
    same(got, expected, kept_on_grid((5, 6), (13, 20), True), decoder)


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_a_cell_of_ones_own_and_chunks(model, seed):
    decoder = random_decoders.draw(model, seed, (4, 5), batch=2, local_ensemble=True)
    given = {"size": (11, 9), "cell": (0.3, 0.07), "options": decoder.options, **decoder.skip}
    got = module(model).decode(decoder.features, decoder.sd, **given)
    whole = module(model).decode_published(decoder.features, decoder.sd, **given)
    parts = module(model).decode_published(decoder.features, decoder.sd, **given, chunk=7)
    keep = kept_on_grid((4, 5), (11, 9), True)
    same(got, whole, keep, decoder)
    same(parts, whole, keep, decoder)


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_points_agree_with_grids(model, seed):
    decoder = random_decoders.draw(model, seed, (6, 7), batch=2, local_ensemble=True)
    size = (21, 30)  # odd and fractional: exact ties on one axis
    coord, cell = (t.expand(2, -1, 2) for t in (geometry.grid_coord(size, dtype=torch.float64),
                                                geometry.grid_cell((6, 7), size, dtype=torch.float64)))
    given = {"options": decoder.options, **decoder.skip}
    for decode in (module(model).decode, module(model).decode_published):
        grid = decode(decoder.features, decoder.sd, size=size, **given)
        points = decode(decoder.features, decoder.sd, coord=coord, cell=cell, **given)
        points = points.view(2, *size, 3).permute(0, 3, 1, 2)
        same(points, grid, kept_on_grid((6, 7), size, True), decoder)


@pytest.mark.parametrize("model", golden_cases.MODELS)
def test_points_agree_with_grids_in_float32(model, seed):
    """Within 2e-5 up to 512 LR pixels a side, with trained weights and realistic features."""
    loaded, trained = golden_cases.load(model), golden_cases.case(model, "image0-48x40")
    rows = torch.randperm(512) % 24
    features, image = trained.features[:, :, rows, :3], trained.image[:, :, rows, :3]
    size = (1100, 7)
    given = {"options": loaded.options, **({"skip": image} if trained.skip else {})}
    grid = module(model).decode(features, loaded.sd, size=size, **given)
    points = module(model).decode(features, loaded.sd, coord=geometry.grid_coord(size),
                                  cell=geometry.grid_cell((512, 3), size), **given)
    difference = (points.view(1, *size, 3).permute(0, 3, 1, 2) - grid).abs().max().item()
    assert difference <= 2e-5, f"largest difference {difference:.2e}"


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_first_cell_decides_the_latent_stage(model, seed):
    decoder = random_decoders.draw(model, seed, (5, 6), batch=2, cell_decode=True)
    coord, cell = random_points(2, 40)
    given = {"coord": coord, "options": decoder.options, **decoder.skip}
    both = module(model).decode(decoder.features, decoder.sd, cell=cell, **given)
    changed = cell.clone()
    changed[:, 20:] *= 1.7
    other = module(model).decode(decoder.features, decoder.sd, cell=changed, **given)
    assert torch.equal(both[:, :20], other[:, :20]), "only the queries from 20 on were to change"
    # one query alone may stay the same: in a narrow network all its ReLUs can be off
    changes = (both[:, 20:] != other[:, 20:]).any()
    assert changes == (model in random_decoders.CELLS_RENDERED), "the queries from 20 on were to change"
    changed = cell.clone()
    changed[:, 0] *= 1.7
    other = module(model).decode(decoder.features, decoder.sd, cell=changed, **given)
    moved = (both[:, 1:] != other[:, 1:]).any()
    assert moved == (model in random_decoders.MODULATED), "the first cell reaches others through the latent stage alone"


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_where_the_published_areas_vanish_ours_is_the_limit(model, seed):
    decoder = random_decoders.draw(model, seed, (5, 6), local_ensemble=True)
    coord = torch.full((1, 8, 2), 1 - 1 / 5, dtype=torch.float64)  # u = h - 1 exactly
    coord[..., 1] = torch.rand(8, dtype=torch.float64) * 2 - 1
    cell = torch.full_like(coord, 0.1)
    near = coord - torch.tensor([1e-9, 0.0], dtype=torch.float64)
    given = {"cell": cell, "options": decoder.options, **decoder.skip}
    got, limit = (module(model).decode(decoder.features, decoder.sd, coord=c, **given) for c in (coord, near))
    same(got, limit, torch.ones((), dtype=torch.bool), decoder, tolerance=1e-6)


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_gradients_agree(model, seed):
    decoder = random_decoders.draw(model, seed, (4, 5), local_ensemble=True)
    coord, cell = random_points(1, 60)
    coord, cell = (t[kept_points(coord, (4, 5), True)].unsqueeze(0) for t in (coord, cell))
    probe = torch.randn(1, coord.shape[1], 3, dtype=torch.float64)
    found = []
    for decode in (module(model).decode, module(model).decode_published):
        leaves = [t.clone().requires_grad_() for t in (decoder.features, coord, cell, *decoder.sd.values())]
        sd = dict(zip(decoder.sd, leaves[3:]))
        out = decode(leaves[0], sd, coord=leaves[1], cell=leaves[2], options=decoder.options, **decoder.skip)
        grads = torch.autograd.grad((out * probe).sum(), leaves, allow_unused=True)
        found.append([torch.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, leaves)])
    for name, got, expected in zip(["features", "coord", "cell", *decoder.sd], *found):
        same(got, expected, torch.ones((), dtype=torch.bool), f"gradient of {name}, {decoder}", tolerance=1e-8)


@pytest.mark.parametrize("model", random_decoders.MODELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_stay_near(model, dtype, seed):
    decoder = random_decoders.draw(model, seed, (5, 6), dtype=dtype)
    given = {"size": (11, 14), "options": decoder.options}
    skip = {name: image.double() for name, image in decoder.skip.items()}
    sd = {name: value.double() for name, value in decoder.sd.items()}
    exact = module(model).decode(decoder.features.double(), sd, **given, **skip)
    got = module(model).decode(decoder.features, decoder.sd, **given, **decoder.skip)
    assert torch.isfinite(got).all()
    error = (got - exact).abs().mean() / exact.abs().mean()
    assert error < 0.2, f"mean error {error:.3f} of the mean value: {decoder}"


@pytest.mark.parametrize("reader", [published.sampled, published.indexed])
def test_readers_read_the_nearest_cell(reader, seed):
    maps = torch.randn(2, 5, 7, 4)
    coord = torch.rand(2, 40, 2) * 1.99 - 0.995
    for corner in published.corners(coord, (7, 4), ensemble=False):
        rows, cols = (((coord[..., i] + 1) * n / 2).floor().long() for i, n in enumerate((7, 4)))
        batch = torch.arange(2)[:, None]
        assert torch.equal(reader(maps)(corner.position), maps[batch, :, rows, cols])


def test_bad_requests_are_told():
    features, sd = torch.zeros(1, 64, 4, 4), golden_cases.load("liif").sd
    with pytest.raises(ValueError, match="neither a size nor coord"):
        liif.decode(features, sd)
    with pytest.raises(ValueError, match="both size and coord"):
        liif.decode(features, sd, size=(8, 8), coord=torch.zeros(1, 3, 2), cell=torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match="hypernet.layers"):
        lmliif.decode(features, sd, size=(8, 8))


@pytest.mark.parametrize("model", random_decoders.MODELS)
def test_no_points(model, seed):
    decoder = random_decoders.draw(model, seed, (3, 4), batch=2)
    nowhere = torch.zeros(2, 0, 2, dtype=torch.float64)
    for decode in (module(model).decode, module(model).decode_published):
        got = decode(decoder.features, decoder.sd, coord=nowhere, cell=nowhere, options=decoder.options, **decoder.skip)
        assert got.shape == (2, 0, 3)
