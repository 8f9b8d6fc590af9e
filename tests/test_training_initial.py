"""First weights in training: a model without the input skip begins as an interpolation, the others as torch begins."""

import pytest
import torch
import torch.nn.functional as F
import training_pieces as pieces

from lmf_kernels import build_model
from lmf_kernels.training import models
from lmf_kernels.training.initial import initial_model

LIIF = {"name": "liif", "args": {"encoder_spec": pieces.SPEC["args"]["encoder_spec"],
                                 "imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [24, 16]}}}}


def error(model):
    """Mean difference of a model's x2 rendering from bilinear interpolation, on a random picture in [-1, 1]."""
    inp = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        got = model.eval().render_grid(inp, (24, 28))
    expected = F.interpolate(inp, scale_factor=2, mode="bilinear")
    return (got - expected)[..., 2:-2, 2:-2].abs().mean().item()


@pytest.mark.parametrize("spec", [pieces.SPEC, LIIF, models.shipping_spec()], ids=["lmliif", "liif", "shipping"])
def test_it_begins_as_an_interpolation(spec, seed):
    model = initial_model(spec, seed % 1000)
    assert model.training and error(model) < 0.12
    assert error(build_model(spec)) > 0.2


@pytest.mark.parametrize("change", [
    {"feat_unfold": False}, {"mod_input": False}, {"cell_decode": False}, {"local_ensemble": False},
    {"hypernet_spec": {"name": "mlp", "args": {"out_dim": 40, "hidden_list": [9, 12, 7]}}},
    {"hypernet_spec": {"name": "mlp", "args": {"out_dim": 40, "hidden_list": []}}},
])
def test_any_options(change, seed):
    spec = {"name": "lmliif", "args": {**pieces.SPEC["args"], **change}}
    model = initial_model(spec, seed % 1000)
    if change == {"local_ensemble": False}:
        inp = torch.rand(1, 3, 5, 6) * 2 - 1
        with torch.no_grad():
            got = model.eval().render_grid(inp, (10, 12))
        assert (got - F.interpolate(inp, scale_factor=2, mode="nearest")).abs().mean() < 0.12
    else:
        assert error(model) < 0.12


def test_without_room_for_colours_it_begins_as_torch_does(seed):
    for change in ({"hypernet_spec": {"name": "mlp", "args": {"out_dim": 40, "hidden_list": [2]}}},
                   {"imnet_spec": {"name": "lmmlp", "args": {"hidden_dim": 8, "hidden_depth": 2, "mod_shift": False}}}):
        spec = {"name": "lmliif", "args": {**pieces.SPEC["args"], **change}}
        torch.manual_seed(seed % 1000)
        plain = build_model(spec)
        got = initial_model(spec, seed % 1000)
        assert all(map(torch.equal, plain.state_dict().values(), got.state_dict().values()))


def test_a_seed_gives_its_weights_whatever_was_drawn_before(seed):
    first = initial_model(pieces.SPEC, 3).state_dict()
    torch.rand(7)
    again, other = (initial_model(pieces.SPEC, n).state_dict() for n in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_every_weight_can_learn(seed):
    """No channel begins dead: all gradients but the unused mean shifts' are there and not all zero."""
    model = initial_model(pieces.SPEC, seed % 1000)
    inp = torch.rand(2, 3, 8, 8) * 2 - 1
    model.render_grid(inp, (16, 16)).square().sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    dead = [name for name, grad in grads.items() if grad is None or not grad.abs().max() > 0]
    assert not dead
