"""Packed weights: made once, and never older than the parameters they came from."""

import copy
import pickle

import golden_cases
import pytest
import random_models
import torch
from random_models import render_mlp
from torch._subclasses.fake_tensor import FakeTensorMode

from lmf_kernels import load_model

NAMES = random_models.NAMES
SIZE = (9, 11)


@pytest.fixture(params=NAMES)
def model(request):
    return load_model(golden_cases.path(request.param))


@pytest.fixture
def inp(seed):
    return torch.rand(1, 3, 5, 6) * 2 - 1


def render(model, inp):
    with torch.no_grad():
        return model.render_grid(inp, SIZE)


def fresh(model, inp):
    """What a model with these parameters renders when nothing was packed before."""
    model = copy.deepcopy(model)
    model.repack()
    return render(model, inp)


def parameters(model):
    """One parameter of every part that is packed."""
    first, *_, last = render_mlp(model).linears
    parts = [first.weight, first.bias, last.weight]
    for part in ("hypernet", "coef", "freq", "phase", "imphase", "hypernet_q", "prenet_q", "imnet_k", "imnet_v",
                 "cs_attn"):
        if hasattr(model, part):
            parts += list(getattr(model, part).parameters())
    return parts


def test_unchanged_parameters_are_packed_once(model, inp):
    render(model, inp)
    with torch.no_grad():
        first = model.render_weights()
        assert model.render_weights() is first
    with torch.inference_mode():
        assert model.render_weights() is first


def test_in_place_changes_are_seen(model, inp):
    before = render(model, inp)
    for parameter in parameters(model):
        with torch.no_grad():
            parameter.add_(0.002)  # small: over a deep network, larger sums overflow
        now = render(model, inp)
        assert not torch.equal(now, before)
        assert torch.equal(now, fresh(model, inp))
        before = now


def test_an_optimizer_step_is_seen(model, inp):
    before = render(model, inp)
    trained = [value for value in model.parameters() if value.requires_grad]
    model.render_grid(inp, SIZE).square().mean().backward()
    for optimizer in (torch.optim.SGD(trained, lr=0.1), torch.optim.Adam(trained, lr=0.01)):
        optimizer.step()
        now = render(model, inp)
        assert not torch.equal(now, before)
        assert torch.equal(now, fresh(model, inp))
        before = now


def test_new_memory_and_loaded_weights_are_seen(model, inp):
    before = render(model, inp)
    other = {key: value * 1.1 for key, value in model.state_dict().items()}
    first = render_mlp(model).linears[0]
    first.weight.data = first.weight.data * 1.1
    now = render(model, inp)
    assert not torch.equal(now, before) and torch.equal(now, fresh(model, inp))
    model.load_state_dict(other)
    then = render(model, inp)
    assert not torch.equal(then, now) and torch.equal(then, fresh(model, inp))


def test_a_write_through_data_is_seen_after_repack(model, inp):
    before = render(model, inp)
    render_mlp(model).linears[0].weight.data.add_(0.05)
    model.repack()
    now = render(model, inp)
    assert not torch.equal(now, before) and torch.equal(now, fresh(model, inp))


def test_a_change_of_type_is_seen(model, inp):
    before = render(model, inp)
    got = render(model.double(), inp.double())
    assert got.dtype == torch.float64
    torch.testing.assert_close(got.float(), before, rtol=0, atol=2e-5)
    assert torch.equal(render(model.float(), inp), before)


def test_copies_are_independent(model, inp):
    before = render(model, inp)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(render(twin, inp), before)
        assert twin.spec == model.spec and twin.backend == model.backend
        with torch.no_grad():
            render_mlp(twin).linears[0].weight.zero_()
        assert not torch.equal(render(twin, inp), before)
    assert torch.equal(render(model, inp), before)


def test_a_pickle_holds_no_packed_weights(model, inp):
    size = len(pickle.dumps(model))
    render(model, inp)
    assert len(pickle.dumps(model)) == size


def test_weights_packed_in_inference_mode_serve_training(model, inp):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        model.render_grid(inp, SIZE)
    inp = inp.clone().requires_grad_()
    model.render_grid(inp, SIZE).sum().backward()
    assert inp.grad.abs().max() > 0


def test_parameters_made_in_inference_mode_work(inp):
    with torch.inference_mode():
        model = load_model(golden_cases.path("lmliif"))
        before = model.render_grid(inp, SIZE)
        model.imnet.linears[0].weight.zero_()
        assert not torch.equal(model.render_grid(inp, SIZE), before)


def test_autocast_keeps_packed_weights_in_full_precision(model, inp):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        model.render_grid(inp, SIZE)
    assert torch.equal(render(model, inp), fresh(model, inp))


def test_fake_tensors_do_not_stay(model, inp):
    expected = fresh(model, inp)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        assert model.render_grid(torch.empty(inp.shape), SIZE).shape == (1, 3, *SIZE)
    assert torch.equal(render(model, inp), expected)
