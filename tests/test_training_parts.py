"""Parts of training: patches are what they claim, and the fast rendering has the reference's values and gradients."""

import numpy as np
import pytest
import random_models
import torch
import training_pieces as pieces
from PIL import Image
from random_networks import assert_each_close, gradients, noting_kinks

from lmf_kernels import InputError, build_model, load_model, save_model
from lmf_kernels.checkpoints import read_metadata
from lmf_kernels.backends import cpu
from lmf_kernels.ops import render_points
from lmf_kernels.training import Recipe, data, objective, rendering, shipping_spec


def ramp(height, width):
    """A picture whose colours are affine in the place: (y, x) from (red, green), and their mean in blue."""
    y, x = (np.linspace(0, 255, n).round() for n in (height, width))
    y, x = np.meshgrid(y, x, indexing="ij")
    return data.Picture("ramp", np.stack((y, x, (y + x) / 2), axis=-1).round().astype(np.uint8))


def test_queries_lie_where_the_low_patch_has_their_colour(seed):
    recipe = Recipe(**pieces.PHOTOGRAPHS, patch=16, queries=200, seed=seed)
    scales = []
    for step in range(12):
        low, coord, cell, rgb = data.draw_patch([ramp(90, 80)], recipe, step, 3)
        assert low.shape == (16, 16, 3) and coord.shape == (200, 2) and rgb.shape == (200, 3)
        assert len(np.unique(coord, axis=0)) == 200
        centres = (2 * np.arange(16) + 1 - 16) / 16
        inside = np.abs(coord).max(axis=1) < centres[-2]
        k = np.searchsorted(centres, coord[inside]) - 1
        part = (coord[inside] - centres[k]) / (centres[1] - centres[0])
        blended = sum(low[k[:, 0] + a, k[:, 1] + b].astype(float)
                      * (abs(1 - a - part[:, :1]) * abs(1 - b - part[:, 1:])) for a in (0, 1) for b in (0, 1))
        assert np.abs(blended - rgb[inside]).max() < 6
        scales.append(2 / cell / 16)
    assert 1 <= min(scales) < max(scales) <= 4


def test_at_scale_one_the_low_patch_is_the_high_one(seed):
    recipe = Recipe(**pieces.PHOTOGRAPHS, patch=12, queries=144, max_scale=1.0, seed=seed)
    low, coord, cell, rgb = data.draw_patch([ramp(40, 30)], recipe, 0, 0)
    assert np.array_equal(low.reshape(-1, 3), rgb) and cell == np.float32(2 / 12)
    assert np.array_equal(coord[::12, 0], coord[:12, 1])


def test_high_patches_are_reduced_from_larger_cuts(seed):
    """Of a ramp, a patch cut from k times the side has k times the steps between its pixels."""
    steps = {1.0: [], 3.0: []}
    for shrink, found in steps.items():
        recipe = Recipe(**pieces.PHOTOGRAPHS, patch=12, queries=144, max_scale=1.0, shrink=shrink, seed=seed)
        for step in range(30):
            low, _, _, rgb = data.draw_patch([ramp(100, 100)], recipe, step, 0)
            assert np.array_equal(low.reshape(-1, 3), rgb)
            span = max(abs(int(low[-3, 6, c]) - int(low[2, 6, c])) for c in (0, 1))  # clear of the edges' bent steps
            found.append(span / 7 / (255 / 99))
    assert np.allclose(steps[1.0], 1, atol=0.1)
    assert 1 - 0.1 <= min(steps[3.0]) < 1.4 and 2.4 < max(steps[3.0]) <= 3 + 0.1


def test_patches_depend_on_step_and_place_only(seed):
    pictures, recipe = [ramp(90, 80), ramp(50, 70)], Recipe(patch=8, queries=20, seed=seed)
    batch = data.draw_batch(pictures, recipe, 5, range(4))
    half = data.draw_batch(pictures, recipe, 5, range(2, 4))
    assert all(np.array_equal(whole[2:], part) for whole, part in zip(batch, half))
    with data.Loader(pictures, recipe, 3, range(4), threads=2) as loader:
        drawn = [next(loader) for _ in range(3)]
    assert all(np.array_equal(*pair) for pair in zip(drawn[2], batch))
    assert not np.array_equal(drawn[0].rgb, drawn[1].rgb) and not np.array_equal(batch.rgb[0], batch.rgb[1])


def test_all_eight_orientations_occur(seed):
    recipe = Recipe(**pieces.PHOTOGRAPHS, patch=8, queries=1, max_scale=1.0, seed=seed)
    seen = set()
    for step in range(200):
        low = data.draw_patch([ramp(9, 8)], recipe, step, 0)[0].astype(int)
        down, right = low[-1, 0] - low[0, 0], low[0, -1] - low[0, 0]
        seen.add(tuple(np.sign(np.concatenate((down[:2], right[:2])))))
    assert len(seen) == 8


def test_small_and_foreign_files_are_left_out(tmp_path, seed):
    folder = pieces.make_pictures(tmp_path / "pictures", seed)
    Image.new("L", (100, 7)).save(folder / "small.png")
    Image.new("L", (50, 60)).save(folder / "grey.jpg")
    (folder / "README.md").write_text("not a picture")
    pictures, left_out = data.read_pictures(folder, 8)
    assert [picture.name for picture in pictures] == ["grey.jpg", *(f"some_{i}.png" for i in range(5))]
    assert left_out == ["small.png"] and pictures[0].pixels.shape == (60, 50, 3)
    with Image.open(folder / "some_0.png") as first:
        assert np.array_equal(pictures[1].pixels, np.array(first))


@pytest.mark.parametrize("name", random_models.NAMES)
@pytest.mark.parametrize("draw", range(3))
def test_the_dense_form_in_a_model_is_the_reference_in_float64(name, draw, seed):
    model = random_models.draw_roomy_model(name, seed + draw).train()
    least = 3 if name == "lmciaosr" else 1  # with a single coarse cell its attention has no gradient
    h, w = (int(n) for n in torch.randint(least, 7, (2,)))
    inp = torch.rand(2, 3, h, w, dtype=torch.float64) * 2 - 1
    coord = torch.rand(2, 40, 2, dtype=torch.float64) * 2 - 1
    cell = torch.full_like(coord, 0.3)
    fields = model.fields(model.encode(inp), torch.stack((cell[:, 0, 0] * h, cell[:, 0, 1] * w), dim=-1))
    got = rendering.render_points(model.family, model.render_spec, fields,
                                  model.render_weights(), coord, cell, inp if model.has_skip else None)
    expected = random_models.decode(model, inp, coord=coord, cell=cell)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    weights, grad = trained(model), torch.randn_like(got)
    found, true = (gradients(values, grad, weights) for values in (got, expected))
    assert true.keys() == weights.keys()
    assert_each_close(found, true, bound=1e-9, note=model.spec)


def trained(model):
    """{name: parameter} of those in training."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@torch.no_grad()
def clear_coordinates(model, inp, cell, count):
    """Coordinates (B, count, 2) at which no ReLU of the render stage is near its kink. cell: (B,)."""
    coord = torch.rand(len(inp), 3 * count, 2) * 2 - 1
    fields = model.fields(model.encode(inp), torch.stack([cell * n for n in inp.shape[2:]], dim=-1))
    tensors = [t.double() for t in (fields, model.render_weights(), coord, cell[:, None, None].expand(coord.shape))]
    with noting_kinks() as clear:
        render_points(model.family, *tensors[:2], model.render_spec, *tensors[2:], backend="reference")
    return torch.stack([places[kept][:count] for places, kept in zip(coord, clear())])


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@pytest.mark.parametrize("draw", range(3))
def test_a_step_s_fused_gradients_are_the_dense_form_s(name, draw, monkeypatch, seed):
    """Tensor by tensor. Neither a ReLU of the render stage nor the loss is near a kink."""
    calls, original = [], cpu.modulated_mlp.gradients
    monkeypatch.setattr(cpu.modulated_mlp, "gradients", lambda *given: calls.append(1) or original(*given))
    model = random_models.draw_roomy_model(name, seed + draw).float().train()
    wrapped, weights = objective.Objective(model), trained(model)
    inp, cell = torch.rand(3, 3, 8, 9) * 2 - 1, torch.rand(3) * 0.1 + 0.05
    coord = clear_coordinates(model, inp, cell, 50)
    with torch.no_grad():
        values = model(inp, coord, cell[:, None, None].expand(coord.shape))
    rgb = values + (torch.rand_like(values) + 0.5) * torch.randn_like(values).sign()
    found = []
    for render, count in ((rendering.render_points, 0), (rendering.render_fused, 1)):
        monkeypatch.setattr(objective, "RENDER", render)
        loss = wrapped(inp, coord, cell, rgb)
        found.append((loss, gradients(loss, torch.ones(()), weights)))
        assert len(calls) == count, "the kernel is to make the gradients of render_fused alone"
    (plain, expected), (fused, got) = found
    torch.testing.assert_close(fused, plain, rtol=1e-6, atol=0)
    assert expected.keys() == weights.keys()
    assert_each_close(got, {key: gradient.double() for key, gradient in expected.items()}, bound=1e-4, note=model.spec)


@pytest.mark.parametrize("name", ["liif", "lte"])
def test_without_a_backward_kernel_the_dense_form_renders(name, monkeypatch, seed):
    """No backend has kernels of the plain family: its operators must not run, whose backward pass is slow."""
    model = random_models.draw_roomy_model(name, seed).float().train()
    calls = []

    def dense(self, *given):
        calls.append(given)
        return original(self, *given)

    original = type(model.family).dense
    monkeypatch.setattr(type(model.family), "dense", dense)
    monkeypatch.setattr(rendering.ops, "render_points", lambda *given, **more: pytest.fail("the operator ran"))
    inp, coord = torch.rand(1, 3, 5, 6) * 2 - 1, torch.rand(1, 20, 2) * 2 - 1
    assert objective.RENDER is rendering.render_fused
    objective.Objective(model)(inp, coord, torch.full((1,), 0.1), torch.zeros(1, 20, 3)).backward()
    assert len(calls) == 1 and all(value.grad.any() for value in trained(model).values())


def test_the_shipping_model_fits_the_wheel():
    model = build_model(shipping_spec())
    assert 4 * sum(p.numel() for p in model.parameters()) < 8e6


def test_metadata_of_weights(tmp_path, seed):
    model, path = build_model(pieces.SPEC), tmp_path / "own.safetensors"
    told = {"license": "CC0 1.0", "numbers": [1, 2.5], "nested": {"a": None}}
    save_model(model, path, told)
    assert read_metadata(path) == told and load_model(path).spec == model.spec
    before = path.read_bytes()
    for wrong in ({"lmf_kernels": "x"}, {1: "x"}, ["x"], {"x": object()}):
        with pytest.raises(InputError, match="metadata"):
            save_model(model, path, wrong)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
