"""The families' dense forms against python_ref itself: values and gradients in float64, with every option."""

import pytest
import random_networks
import torch
from lmf_kernels.families import FAMILIES
from python_ref import geometry

KINDS = [(family, head) for family in ("modulated_mlp", "plain_mlp") for head in ("linear", "fourier")]


def assert_same(network, seed, *, has_skip, lr_size=(5, 4), count=60):
    torch.manual_seed(seed + 1)
    fields, skip = random_networks.draw_inputs(network, lr_size, skip=has_skip)
    coord = torch.rand(2, count, 2, dtype=torch.float64) * 2.2 - 1.1  # some beyond the border
    cell = torch.rand(2, count, 2, dtype=torch.float64) * 0.3 + 0.05
    leaves = {"fields": fields, "coord": coord, "cell": cell, **({"skip": skip} if has_skip else {})}
    leaves = {name: tensor.requires_grad_() for name, tensor in leaves.items()}
    network = network.apply(lambda matrix: matrix.requires_grad_())
    leaves |= network.matrices
    queries = geometry.point_queries(coord, cell, lr_size, ensemble=network.spec.ensemble)
    expected = network.render(fields, queries, skip)
    got = FAMILIES[network.family].dense(network.spec, fields, network.weights(), coord, cell, skip)
    assert got.dtype == torch.float64 and got.shape == (2, count, 3)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12 * expected.abs().max().item())
    grad = torch.randn_like(got)
    random_networks.assert_each_close(*(random_networks.gradients(values, grad, leaves) for values in (got, expected)),
                                      bound=1e-12, note=network)


@pytest.mark.parametrize("has_skip", [True, False], ids=["skip", "no skip"])
@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "nearest"])
@pytest.mark.parametrize("family, head", KINDS)
def test_it_is_the_reference(family, head, ensemble, has_skip, seed):
    assert_same(random_networks.draw(family, head, seed, ensemble=ensemble), seed, has_skip=has_skip)


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "nearest"])
@pytest.mark.parametrize("family, head, widths", [
    ("plain_mlp", "linear", ()), ("plain_mlp", "fourier", ()), ("plain_mlp", "linear", (7,)),
    ("plain_mlp", "fourier", (7,)), ("modulated_mlp", "linear", (7,)), ("modulated_mlp", "fourier", (7,))])
def test_networks_of_no_or_one_hidden_layer(family, head, widths, ensemble, seed):
    assert_same(random_networks.draw(family, head, seed, ensemble=ensemble, widths=widths), seed, has_skip=True)


@pytest.mark.parametrize("family, head", KINDS)
@pytest.mark.parametrize("lr_size", [(1, 1), (1, 6), (7, 1)])
def test_thin_maps(family, head, lr_size, seed):
    assert_same(random_networks.draw(family, head, seed, widths=(6, 6)), seed, has_skip=True, lr_size=lr_size)
