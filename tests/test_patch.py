"""lmf.patch on stand-ins for the authors' classes: same values, same keys, and everything back after unpatch."""

import copy
import importlib
import inspect
import io
import pickle
import random

import authors_classes
import pytest
import torch

import lmf_kernels as lmf
from lmf_kernels.patching import queries
from python_ref.geometry import grid_coord

NAMES = tuple(authors_classes.CLASSES)
CLOSE = 2e-5
data_parallel = importlib.import_module("torch.nn.parallel.replicate")


@pytest.fixture
def no_cuda(monkeypatch):
    """`.cuda()` does nothing, so that the originals run for comparison."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *args, **kwargs: self)


def inputs(rng, h=7, w=9, count=100, batch=1):
    """inp, coord away from the last row and column (DESIGN: there the published weights are rounding noise), cell."""
    coord = torch.rand(batch, count, 2) * 1.7 - 0.85
    return torch.rand(batch, 3, h, w) * 2 - 1, coord, torch.full_like(coord, rng.uniform(0.02, 0.2))


def mlp_of(model):
    """The render MLP."""
    return model.imnet_q if hasattr(model, "imnet_q") else model.imnet


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=CLOSE * max(1.0, expected.detach().abs().max().item()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", range(6))
def test_forward_at_points(name, draw, no_cuda, seed):
    rng = random.Random(seed + draw)
    model = authors_classes.draw(name, rng)
    given = inputs(rng, batch=rng.randint(1, 2))
    keys, before = list(model.state_dict()), copy.deepcopy(model.state_dict())
    with torch.no_grad():
        expected = model(*given)
        report = lmf.patch(model, strict=True)
        assert [module.model for module in report.patched] == [name] and not report.left
        close(model(*given), expected)
        assert list(model.state_dict()) == keys
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        lmf.unpatch(model)
        assert type(model) is authors_classes.CLASSES[name] and torch.equal(model(*given), expected)
    assert not [key for key in vars(model) if "lmf" in key]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine on which .cuda() fails")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_where_cuda_is_missing(name, seed):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    given = inputs(rng)
    with pytest.raises((RuntimeError, AssertionError), match="CUDA"):
        model(*given)
    lmf.patch(model, strict=True)
    values = model(*given)
    assert values.shape == (1, 100, 3)
    close(model.train()(*given), values)  # the authors' own code, without .cuda()
    values.sum().backward()
    assert all(p.grad is not None for p in mlp_of(model).parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(14, 18), (25, 31), (7, 9), (1, 5)])
def test_a_grid_is_recognised_and_gives_the_same(name, size, no_cuda, seed, monkeypatch):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    inp, coord = torch.rand(1, 3, 7, 9) * 2 - 1, grid_coord(size)
    cell = torch.tensor([2 / size[0], 2 / size[1]]).expand_as(coord).contiguous()
    lmf.patch(model, strict=True)
    with torch.no_grad():
        assert queries.grid_size(coord, cell) == size
        as_grid = model(inp, coord, cell)
        monkeypatch.setattr(queries, "grid_size", lambda *given: None)
        as_points = model(inp, coord, cell)
    close(as_grid, as_points)


def test_what_is_no_grid():
    coord, cell = grid_coord((6, 8)), torch.full((1, 48, 2), 0.1)
    assert queries.grid_size(coord, cell) == (6, 8)
    assert queries.grid_size(coord.expand(3, -1, -1), cell.expand(3, -1, -1)) == (6, 8)
    moved = coord.clone()
    moved[0, 20, 1] += 1e-4
    other = cell.clone()
    other[0, -1] = 0.2
    assert queries.grid_size(moved, cell) is None and queries.grid_size(coord, other) is None
    assert queries.grid_size(coord[:, :20], cell[:, :20]) is None and queries.grid_size(coord.flip(1), cell) is None
    assert queries.grid_size(torch.rand(1, 48, 2), cell) is None
    noisy = (coord.double() + 1e-7 * torch.randn_like(coord)).float()  # as make_coord's float32 arithmetic leaves it
    noisy[..., 0] = noisy.view(6, 8, 2)[:, :1, 0].expand(6, 8).reshape(-1)
    assert queries.grid_size(noisy, cell) == (6, 8)


@pytest.mark.parametrize("name", ["liif", "lte"])
def test_features_then_queries_in_pieces(name, no_cuda, seed):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    inp, coord, cell = inputs(rng)
    with torch.no_grad():
        feat = model.gen_feat(inp)
        expected = model.query_rgb(coord, cell)
        lmf.patch(model, strict=True)
        assert torch.equal(model.gen_feat(inp), feat) and torch.equal(model.feat, feat)
        pieces = [model.query_rgb(*part) for part in zip(coord.split(30, 1), cell.split(30, 1))]
        close(torch.cat(pieces, dim=1), expected)
        close(model.query_rgb(coord, cell[:, :1]), expected)  # a cell for all
        if name == "lte":
            close(model.batched_predict(inp, coord, cell, 7), expected)
            close(model(inp, coord, cell, bsize=7), expected)
        other = torch.rand_like(inp)
        model.gen_feat(other)
        changed = model.query_rgb(coord, cell)
        lmf.unpatch(model)
        model.gen_feat(other)
        close(changed, model.query_rgb(coord, cell))


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@pytest.mark.parametrize("draw", range(4))
def test_maps_passed_from_call_to_call(name, draw, no_cuda, seed):
    rng = random.Random(seed + draw)
    model = authors_classes.draw(name, rng)
    inp, coord, cell = inputs(rng)

    def calls():
        maps = model.gen_feats(inp)
        if name == "lmliif":
            mod = model.gen_modulations(maps[1], cell)
            maps = (mod[:, model.mod_dim:] if model.mod_input else maps[0], mod)
        else:
            mod = model.gen_modulations(*maps, cell)
            maps = (*model.codes(*maps, mod), mod)
        model.inp = inp
        last = {"batched": True} if name == "lmlte" else {}
        return (mod, model.query_rgb(*maps, coord, cell), model.query_rgb_fast(*maps, coord, cell),
                model.batched_query_rgb(*maps, coord, cell, 30), model.query_rgb(*maps, coord, cell=cell, **last))

    with torch.no_grad():
        expected = calls()
        lmf.patch(model, strict=True)
        for got, wanted in zip(calls(), expected):
            close(got, wanted)
        model(inp, coord[:, :5], cell[:, :5])  # fewer queries than LR pixels: the original fails
        with pytest.raises(AssertionError, match="a cell per LR pixel"):
            if not model.cell_decode:
                raise AssertionError("a cell per LR pixel")
            lmf.unpatch(model)
            model(inp, coord[:, :5], cell[:, :5])


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
def test_cases_that_stay_with_the_original(name, no_cuda, seed):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    inp, coord, cell = inputs(rng)
    with torch.no_grad():
        here = model(inp, coord, cell, inp_coord=torch.rand(1, 7, 9, 2))
        lmf.patch(model, strict=True)
        assert model(inp) is None
        close(model(inp, coord, cell, inp_coord=torch.rand(1, 7, 9, 2)), here)
        assert model(inp, coord[:, :0], cell[:, :0]).shape == (1, 0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_change_are_noticed(name, no_cuda, seed):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    given = inputs(rng)
    lmf.patch(model, strict=True)
    with torch.no_grad():
        before = model(*given)
        mlp_of(model).layers[-1].weight.mul_(1.5)
        mlp_of(model).layers[-1].bias.add_(0.3)  # the one parameter that no dead ReLU can hide
        after = model(*given)
        assert not torch.allclose(before, after)
        model.double()
        close(model(*(t.double() for t in given)), after.double())
        setattr(model, "imnet_q" if name == "lmciaosr" else "imnet", copy.deepcopy(mlp_of(model)))
        mlp_of(model).layers[-1].bias.add_(1)
        close(model(*(t.double() for t in given)), after.double() + 1)
        model.float()
        patched = model(*given)
        lmf.unpatch(model)
        close(patched, model(*given))


@pytest.mark.parametrize("name", NAMES)
def test_copies_pickles_and_replicas(name, no_cuda, seed, monkeypatch):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng)
    given = inputs(rng, batch=2)
    plain = model.__class__
    with torch.no_grad():
        original = model(*given)
        lmf.patch(model, strict=True)
        expected = model(*given)
        copied = copy.deepcopy(model)
        mlp_of(model).layers[-1].bias.add_(1)
        assert isinstance(copied, plain) and torch.equal(copied(*given), expected)
        loaded = pickle.loads(pickle.dumps(copied))
        assert type(loaded) is plain and torch.equal(loaded(*given), original)
        stored = io.BytesIO()
        torch.save(copied, stored)
        stored.seek(0)
        assert type(torch.load(stored, weights_only=False)) is plain
    monkeypatch.setattr(data_parallel, "_broadcast_coalesced_reshape", lambda tensors, devices, detach=False: [
        [t.detach().clone() for t in tensors] for _ in devices])
    with torch.no_grad():
        first, second = data_parallel.replicate(copied, [0, 1])
        halves = [part(*(t[i:i + 1] for t in given)) for i, part in enumerate((first, second))]
    close(torch.cat(halves), expected)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_evaluation_mode(name, no_cuda, seed):
    rng = random.Random(seed)
    model = authors_classes.draw(name, rng, dtype=torch.float64)
    given = [t.double() for t in inputs(rng)]
    weights = list(mlp_of(model).parameters())
    expected = torch.autograd.grad(model(*given).square().sum(), weights)
    lmf.patch(model, strict=True)
    torch.testing.assert_close(torch.autograd.grad(model(*given).square().sum(), weights), expected)


def test_random_numbers_modes_and_hooks_stay(no_cuda, seed):
    model = authors_classes.draw("lmlte", random.Random(seed)).train()
    model.encoder.eval()
    called = []
    model.register_forward_hook(lambda *given: called.append(1))
    state, attributes = torch.get_rng_state(), set(vars(model))
    lmf.patch(model, strict=True)
    assert torch.equal(torch.get_rng_state(), state) and not called
    assert model.training and model.imnet.training and not model.encoder.training
    assert set(vars(model)) == attributes | {"_lmf_twin"}
    assert isinstance(model, authors_classes.LMLTE) and type(model).__name__ == "LMLTE"
    assert inspect.signature(model.forward) == inspect.signature(authors_classes.LMLTE(model._ours[0]).forward)
    model.eval()(*inputs(random.Random(seed)))
    assert called == [1]


def test_decoders_within_a_module(no_cuda, seed):
    rng = random.Random(seed)
    both = torch.nn.ModuleDict({name: authors_classes.draw(name, rng) for name in ("liif", "lmlte")})
    report = lmf.patch(both, strict=True)
    assert [module.name for module in report.modules] == ["liif", "lmlte"]
    assert "liif (LIIF): liif on" in str(report) and "(modulated_mlp)" in str(report)
    assert [module.model for module in lmf.patch(both, backend="reference").patched] == ["liif", "lmlte"]
    lmf.unpatch(both)
    assert type(both["liif"]) is authors_classes.LIIF


class Louder(authors_classes.LIIF):
    def query_rgb(self, coord, cell=None):
        return super().query_rgb(coord, cell) * 2


def left(model, because):
    """patch leaves the model, with a warning; with strict it raises; nothing has changed."""
    before = type(model)
    with pytest.warns(UserWarning, match=because):
        report = lmf.patch(model)
    assert not report.patched and because in report.left[0].reason
    with pytest.raises(lmf.InputError, match=because):
        lmf.patch(model, strict=True)
    assert type(model) is before and "_lmf_twin" not in vars(model)


def test_what_is_left_alone(no_cuda, seed):
    rng = random.Random(seed)
    given = inputs(rng)

    def draw(name="liif", cls=None):
        model = authors_classes.draw(name, rng, imnet_spec={"name": "mlp", "args": {"hidden_list": [8]}})
        model.__class__ = cls or type(model)
        return model

    louder = draw(cls=Louder)
    expected = louder(*given)
    left(louder, "computes something else")
    assert torch.equal(louder(*given), expected)
    model = draw()
    model.imnet.layers[1] = torch.nn.GELU()
    left(model, "no stack of linear layers with ReLU")
    model = draw()
    model.imnet = None
    left(model, "imnet is None")
    model = draw()
    model.extra = torch.nn.Linear(2, 2)
    left(model, "extra.weight")
    model = draw()
    model.forward = lambda *given: None
    left(model, "given another forward")
    model = draw()
    model.hypernet = model.imnet
    left(model, "not those of")
    with pytest.warns(UserWarning, match="no decoder"):
        assert lmf.patch(torch.nn.Linear(2, 2)).modules == ()
    with pytest.raises(lmf.InputError, match="no decoder"):
        lmf.patch(torch.nn.Linear(2, 2), strict=True)
    with pytest.raises(lmf.InputError, match="got a Tensor"):
        lmf.patch(torch.rand(3))
    with pytest.raises(lmf.InputError, match="runs on the kernels already"):
        lmf.patch(lmf.load_model("lmliif-edsr10"))
    with pytest.raises(lmf.InputError, match="backend"):
        lmf.patch(draw(), backend="none")


def test_strict_patches_all_or_nothing(no_cuda, seed):
    rng = random.Random(seed)
    odd = authors_classes.draw("liif", rng)
    odd.__class__ = Louder
    with torch.no_grad():
        odd.imnet.layers[-1].bias.add_(1)
    both = torch.nn.ModuleList([authors_classes.draw("lte", rng), odd])
    with pytest.raises(lmf.InputError, match="something else"):
        lmf.patch(both, strict=True)
    assert type(both[0]) is authors_classes.LTE
    assert [module.patched for module in lmf.patch(both).modules] == [True, False]
