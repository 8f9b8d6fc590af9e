"""Models against the golden numbers and, with shapes and options drawn fresh, against the float64 reference."""

import random

import golden_cases
import pytest
import random_models
import torch

from lmf_kernels import InputError, load_model
from lmf_kernels.models import build_model

PRECISE = {"rtol": 1e-10, "atol": 1e-10}
NAMES = random_models.NAMES


@pytest.mark.parametrize("model, name", golden_cases.ids())
@torch.no_grad()
def test_golden_values(model, name):
    case = golden_cases.case(model, name)
    loaded = load_model(golden_cases.path(model))
    if case.size:
        golden_cases.check(loaded.render_grid(case.image, case.size), case)
    else:
        golden_cases.check(loaded(case.image, case.coord, case.cell), case)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", range(8))
@torch.no_grad()
def test_grid_equals_the_reference_in_float64(name, draw, seed):
    model = random_models.draw_model(name, seed + draw)
    h, w, height, width = (int(n) for n in torch.randint(1, 12, (4,)))
    inp = torch.rand(2, 3, h, w, dtype=torch.float64) * 2 - 1
    size = (height + h, width + w)
    got = model.render_grid(inp, size)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, random_models.decode(model, inp, size=size), **PRECISE)
    fields = model.fields(model.encode(inp), model.rel_cell_of((h, w), size))
    assert fields.is_contiguous()
    expected = random_models.reference(name).latent(
        model.encode(inp), model.state_dict(), inp.new_tensor(model.rel_cell_of((h, w), size)),
        random_models.options(model))
    torch.testing.assert_close(fields, expected, **PRECISE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", range(4))
@torch.no_grad()
def test_points_equal_the_reference_in_float64(name, draw, seed):
    """Q below h * w, cells that differ by image and by query."""
    model = random_models.draw_model(name, seed + draw)
    inp = torch.rand(3, 3, 6, 5, dtype=torch.float64) * 2 - 1
    coord = torch.rand(3, 11, 2, dtype=torch.float64) * 2 - 1
    cell = torch.rand(3, 11, 2, dtype=torch.float64) * 0.3 + 0.05
    torch.testing.assert_close(model(inp, coord, cell), random_models.decode(model, inp, coord=coord, cell=cell),
                               **PRECISE)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_grid_and_points_agree(name, seed):
    model = random_models.draw_model(name, seed)
    inp = torch.rand(1, 3, 7, 9, dtype=torch.float64) * 2 - 1
    size, cell = (17, 20), (0.09, 0.07)
    rows, cols = ((2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1 for n in size)
    coord = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=-1).view(1, -1, 2)
    points = model(inp, coord, torch.tensor(cell, dtype=torch.float64).expand_as(coord))
    grid = model.render_grid(inp, size, cell=cell)
    keep = _off_ties(size[0], 7)[:, None] & _off_ties(size[1], 9)
    difference = (grid - points.view(1, *size, 3).permute(0, 3, 1, 2)).abs() * keep
    assert difference.max() < 1e-9


def _off_ties(n_out, n_in):
    """Where rounding does not choose the nearest cell: u is no half-integer."""
    u = (torch.arange(n_out).double() + 0.5) * n_in / n_out
    return (u - u.round()).abs() > 1e-6


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_render_grid_takes_fields_windows_and_finishes(name, seed):
    model = load_model(golden_cases.path(name))
    inp = torch.rand(1, 3, 8, 7) * 2 - 1
    size = (21, 30)
    whole = model.render_grid(inp, size)
    fields = model.fields(model.encode(inp), model.rel_cell_of((8, 7), size))
    torch.testing.assert_close(model.render_grid(inp, size, fields=fields), whole)
    part = model.render_grid(inp, size, window=(3, 5, 9, 11))
    torch.testing.assert_close(part, whole[:, :, 3:12, 5:16])
    unit = model.render_grid(inp, size, epilogue="unit", layout="nhwc")
    torch.testing.assert_close(unit, (whole * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1))
    bytes_ = model.render_grid(inp, size, epilogue="unit", dtype=torch.uint8)
    assert bytes_.dtype == torch.uint8
    assert (bytes_.float() - unit.permute(0, 3, 1, 2) * 255).abs().max() <= 0.501


@pytest.mark.parametrize("name", NAMES)
def test_no_query_gives_no_values(name, seed):
    model = random_models.draw_model(name, seed)
    none = torch.zeros(2, 0, 2, dtype=torch.float64)
    assert model(torch.zeros(2, 3, 4, 4, dtype=torch.float64), none, none).shape == (2, 0, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", range(3))
def test_gradients_equal_the_references(name, draw, seed):
    """Through the packed weights, the folds, the encoder and to the input."""
    model = random_models.draw_model(name, seed + draw).train()
    inp = (torch.rand(1, 3, 5, 4, dtype=torch.float64) * 2 - 1).requires_grad_()
    coord = torch.rand(1, 30, 2, dtype=torch.float64) * 1.8 - 0.9
    cell = torch.full_like(coord, 0.11)
    parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
    wanted = torch.randn(1, 30, 3, dtype=torch.float64)
    ours = torch.autograd.grad((model(inp, coord, cell) * wanted).sum(), [inp, *parameters.values()], allow_unused=True)
    theirs = torch.autograd.grad((random_models.decode(model, inp, coord=coord, cell=cell) * wanted).sum(),
                                 [inp, *parameters.values()], allow_unused=True)
    for key, got, expected in zip(["inp", *parameters], ours, theirs):
        assert (got is None) == (expected is None) or (got if expected is None else expected).abs().max() == 0, key
        if got is not None and expected is not None:
            torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10, msg=lambda text: f"{key}: {text}")


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_parameter_gets_a_gradient(name, seed):
    model = load_model(golden_cases.path(name)).train()
    coord = torch.rand(1, 80, 2) * 2 - 1
    model(torch.rand(1, 3, 8, 8) * 2 - 1, coord, torch.full_like(coord, 0.1)).square().sum().backward()
    silent = [key for key, value in model.named_parameters() if value.requires_grad and not value.grad.abs().max() > 0]
    assert not silent


@pytest.mark.parametrize("name", NAMES)
def test_training_lowers_a_loss_from_a_checkpoint(name):
    model = load_model(golden_cases.path(name)).train()
    torch.manual_seed(0)
    inp, coord = torch.rand(1, 3, 8, 8) * 2 - 1, torch.rand(1, 50, 2) * 2 - 1
    cell, target = torch.full_like(coord, 0.1), torch.zeros(1, 50, 3)
    optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], lr=1e-3)
    losses = []
    for _ in range(4):
        loss = (model(inp, coord, cell) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_has_the_official_names(name):
    sd = torch.load(golden_cases.path(name), weights_only=True)["model"]["sd"]
    model = load_model(golden_cases.path(name))
    assert {key: value.shape for key, value in model.state_dict().items()} == {k: v.shape for k, v in sd.items()}
    assert all(torch.equal(value, sd[key]) for key, value in model.state_dict().items())
    twin = build_model(model.spec)
    twin.load_state_dict(model.state_dict())
    inp = torch.rand(1, 3, 5, 6) * 2 - 1
    with torch.no_grad():
        assert torch.equal(twin.eval().render_grid(inp, (9, 9)), model.render_grid(inp, (9, 9)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", range(6))
def test_absent_options_are_told_from_the_weights(name, draw, seed):
    fixed = {"lte": {}, "lmciaosr": {"local_size": 2, "multi_scale": [2], "softmax_scale": 1}}.get(
        name, {"local_ensemble": True})  # no weight depends on these
    full = random_models.draw_spec(name, random.Random(seed + draw), **fixed)
    model = build_model(full)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    named = {"encoder_spec", "imnet_spec", "hypernet_spec", "encoder", "imnet_q", "hypernet_q", "prenet_q", "imnet_k",
             "imnet_v"}
    if name == "lmlte":
        named |= {"cell_decode"}  # its weights look the same either way
    bare = {"name": name, "args": {key: value for key, value in full["args"].items() if key in named}}
    assert build_model(bare, shapes=shapes).spec == model.spec


def test_absent_options_without_weights_are_on():
    spec = random_models.draw_spec("lmliif")
    for key in ("local_ensemble", "feat_unfold", "cell_decode", "mod_input"):
        del spec["args"][key]
    args = build_model(spec).spec["args"]
    assert all(args[key] for key in ("local_ensemble", "feat_unfold", "cell_decode", "mod_input"))


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@torch.no_grad()
def test_mod_up_merge_plays_no_part_as_published(name, seed):
    """The authors' code sets it to false when it builds these models."""
    spec = random_models.draw_spec(name)
    model = build_model(spec).eval()
    spec["args"]["imnet_spec"]["args"]["mod_up_merge"] = True
    other = build_model(spec).eval()
    other.load_state_dict(model.state_dict())
    inp = torch.rand(1, 3, 5, 6) * 2 - 1
    assert torch.equal(other.render_grid(inp, (9, 11)), model.render_grid(inp, (9, 11)))


@pytest.mark.parametrize("mod_input", [True, False])
@pytest.mark.parametrize("name", ["lmliif", "lmlte", "lmciaosr"])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@torch.no_grad()
def test_a_model_without_modulations(name, mod_input, seed):
    """With mod_scale and mod_shift both off the render MLP is an ordinary one."""
    spec = random_models.draw_spec(name, mod_input=mod_input)
    spec["args"]["imnet_q" if name == "lmciaosr" else "imnet_spec"]["args"].update(mod_scale=False, mod_shift=False)
    model = build_model(spec).double().eval()
    inp = torch.rand(1, 3, 5, 6, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(model.render_grid(inp, (9, 11)), random_models.decode(model, inp, size=(9, 11)),
                               **PRECISE)


@pytest.mark.parametrize("name, args, says", [
    ("resnet", {}, "known models: lmliif, lmlte, lmciaosr, liif, lte"),
    ("diif", {}, "not available yet"),
    ("dlte", {}, "not available yet"),
    ("lmciaosr", {"local_size": 3}, "local_size is 1 or 2"),
    ("lmciaosr", {"feat_unfold": False}, "feat_unfold is off"),
    ("lmciaosr", {"multi_scale": [2, 5]}, "multi_scale is a list"),
    ("lmciaosr", {"multi_scale": [2, 2]}, "multi_scale is a list"),
    ("lmciaosr", {"softmax_scale": 0}, "softmax_scale is a positive number"),
    ("lmciaosr", {"imnet_q": {"name": "mlp", "args": {}}}, "imnet_q names the network 'mlp'"),
    ("lmciaosr", {"imnet_q": {"name": "lmmlp", "args": {"hidden_dim": 8, "hidden_depth": 2, "mod_up_merge": True}}},
     "imnet_q's mod_up_merge is on"),
    ("lmciaosr", {"imnet_k": None}, "imnet_k is a mapping"),
    ("lmliif", None, "mapping"),
    ("lmliif", {"depth": 3}, "no option 'depth'"),
    ("lmliif", {"shapes": {}}, "no option 'shapes'"),
    ("lmliif", {"imnet_spec": None}, "imnet_spec is a mapping"),
    ("lmliif", {"imnet_spec": {"name": "mlp", "args": {}}}, "takes 'lmmlp'"),
    ("lmliif", {"local_ensemble": 1}, "local_ensemble is true or false"),
    ("lmliif", {"hypernet_spec": {"name": "mlp", "args": {"hidden_list": 5}}}, "hidden_list"),
    ("lmliif", {"hypernet_spec": {"name": "mlp", "args": {"hidden_list": [5, 0]}}}, "whole number"),
    ("lmlte", {"hidden_dim": 5}, "even"),
    ("lte", {"hidden_dim": -2}, "whole number"),
    ("lte", {"imnet_spec": {"name": "mlp", "args": {"hidden_list": [5], "out_dim": 4}}}, "out_dim is 3"),
    ("liif", {"imnet_spec": {"name": "mlp", "args": {"hidden_list": [5], "use_conv": True}}}, "use_conv"),
    ("liif", {"encoder_spec": {"name": "vgg"}}, "Unknown encoder"),
])
def test_a_bad_spec_is_told_in_one_sentence(name, args, says):
    known = random_models.draw_spec(name)["args"] if name in NAMES else {}
    with pytest.raises(InputError, match=says) as caught:
        build_model({"name": name, "args": None if args is None else {**known, **args}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change, says", [
    (lambda a: a.update(inp=a["inp"][0]), r"\(B, 3, h, w\)"),
    (lambda a: a.update(inp=torch.zeros(1, 1, 4, 4)), r"\(B, 3, h, w\)"),
    (lambda a: a.update(inp=torch.zeros(1, 3, 0, 4)), "empty"),
    (lambda a: a.update(inp=a["inp"].double()), "float64"),
    (lambda a: a.update(inp=a["inp"].to("meta")), "meta"),
    (lambda a: a.update(inp=[[1]]), "list"),
    (lambda a: a.update(coord=a["coord"][0]), r"coord is a tensor \(B, Q, 2\)"),
    (lambda a: a.update(coord=a["coord"].long()), "int64"),
    (lambda a: a.update(coord=a["coord"].expand(2, -1, -1)), "2 images"),
    (lambda a: a.update(cell=a["cell"][:, 1:]), "one shape"),
    (lambda a: a.update(cell=None), "cell is a tensor"),
])
def test_bad_arguments_are_told_in_one_sentence(change, says):
    model = load_model(golden_cases.path("lmliif"))
    arguments = {"inp": torch.zeros(1, 3, 4, 4), "coord": torch.zeros(1, 5, 2), "cell": torch.ones(1, 5, 2)}
    change(arguments)
    with pytest.raises(InputError, match=says) as caught:
        model(**arguments)
    assert "\n" not in str(caught.value)


def test_a_model_without_cells_takes_none(seed):
    model = random_models.draw_model("liif", seed, cell_decode=False)
    inp, coord = torch.rand(1, 3, 4, 4, dtype=torch.float64), torch.rand(1, 5, 2, dtype=torch.float64)
    assert torch.equal(model(inp, coord), model(inp, coord, torch.full_like(coord, 0.3)))


def test_an_unknown_backend_is_refused_when_it_is_set():
    model = load_model(golden_cases.path("lmliif"))
    with pytest.raises(InputError, match="unknown backend 'gpu'"):
        model.backend = "gpu"
    assert model.backend == "auto"
