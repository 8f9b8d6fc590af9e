"""Our own models answer the calls of scripts written around LIIF: features first, then queries in pieces."""

import copy
import random

import pytest
import random_models
import torch

import lmf_kernels as lmf


def drawn(name, seed):
    model = random_models.draw_model(name, seed)
    coord = torch.rand(1, 50, 2, dtype=torch.float64) * 2 - 1
    cell = torch.full_like(coord, random.Random(seed).uniform(0.02, 0.2))
    return model, torch.rand(1, 3, 6, 7, dtype=torch.float64) * 2 - 1, coord, cell


def batched_predict(model, inp, coord, cell, bsize):
    """A loop as those scripts have it."""
    with torch.no_grad():
        model.gen_feat(inp)
        return torch.cat([model.query_rgb(*part) for part in zip(coord.split(bsize, 1), cell.split(bsize, 1))], dim=1)


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", random_models.NAMES)
def test_pieces_give_what_forward_gives(name, seed):
    model, inp, coord, cell = drawn(name, seed)
    with torch.no_grad():
        expected = model(inp, coord, cell)
        assert model.gen_feat(inp) is model.feat
    close(batched_predict(model, inp, coord, cell, 13), expected)
    close(model.batched_predict(inp, coord, cell, 13), expected)
    with torch.no_grad():
        close(model.batched_query_rgb(coord, cell, 13), expected)
        close(model(inp, coord, cell, bsize=13), expected)
        for shared in (cell[:, :1], cell[0, 0], cell[0]):
            close(model(inp, coord, shared), expected)
            close(model.query_rgb(coord, shared), expected)
        assert model.query_rgb(coord[:, :0], cell[:, :0]).shape == (1, 0, 3)


@pytest.mark.parametrize("name", random_models.NAMES)
def test_what_is_kept_follows_image_cell_and_weights(name, seed, monkeypatch):
    model, inp, coord, cell = drawn(name, seed)
    made, fields = [], model.fields
    monkeypatch.setattr(model, "fields", lambda *given: made.append(1) or fields(*given))
    with torch.no_grad():
        model.gen_feat(inp)
        model.query_rgb(coord, cell)
        model.query_rgb(coord[:, 9:], cell[:, 9:])
        assert len(made) == 1
        for given in ((coord, cell * 2), (coord, cell)):
            close(model.query_rgb(*given), model(inp, *given))
        next(value for name, value in model.named_parameters() if name.startswith("imnet")).mul_(1.2)
        close(model.query_rgb(coord, cell), model(inp, coord, cell))
        other = torch.rand_like(inp)
        model.gen_feat(other)
        close(model.query_rgb(coord, cell), model(other, coord, cell))
    with torch.inference_mode():
        made.clear()
        model.gen_feat(inp)
        values = model.query_rgb(coord, cell)
        model.query_rgb(coord, cell)
        assert len(made) == 1
        close(values, model(inp, coord, cell))


def test_gradients_copies_and_moves(seed):
    model, inp, coord, cell = drawn("lmliif", seed)
    model.gen_feat(inp)
    values = model.query_rgb(coord, cell)
    weights = [value for value in model.parameters() if value.requires_grad]
    wanted = torch.autograd.grad(model(inp, coord, cell).sum(), weights)
    torch.testing.assert_close(torch.autograd.grad(values.sum(), weights), wanted)
    assert copy.deepcopy(model).feat is None and model.feat is not None
    with pytest.raises(lmf.InputError, match="call gen_feat"):
        model.float().query_rgb(coord, cell)
    with pytest.raises(lmf.InputError, match="one shape"):
        model(inp.float(), coord.float(), cell.float()[:, :3])
