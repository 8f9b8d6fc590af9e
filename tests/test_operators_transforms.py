"""The operators under torch.func, forward mode and autocast: what is served gives the same numbers, the rest says so.
"""

import pytest
import torch
from lmf_kernels.errors import InputError
from lmf_kernels.ops import RenderSpec, modulated_mlp, modulated_mlp_points, plain_mlp
from lmf_kernels.families import MODULATED_MLP, PLAIN_MLP
from torch.autograd import forward_ad

SPEC, PLAIN = RenderSpec("linear", 0, (4,) * 3), RenderSpec("fourier", 4, (5, 3))


@pytest.fixture
def tensors(seed):
    """fields (2, 3, 4, C), weights (P,)."""
    return torch.randn(2, 3, 4, MODULATED_MLP.field_channels(SPEC)), torch.randn(MODULATED_MLP.weight_count(SPEC))


def loss(weights, fields):
    return modulated_mlp(fields, weights, SPEC, (6, 6)).square().sum()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_runs_once_an_element(tensors):
    """Also where gradients are recorded around it."""
    fields, weights = tensors
    many = torch.stack([weights, weights * 0.5, weights * 2]).requires_grad_()
    got = torch.func.vmap(loss, in_dims=(0, None))(many, fields)
    expected = torch.stack([loss(one, fields) for one in many])
    assert torch.equal(got, expected)
    assert torch.equal(*(torch.autograd.grad(values.sum(), many)[0] for values in (got, expected)))


@pytest.mark.parametrize("transform", [
    torch.func.grad, torch.func.jacrev, torch.func.jacfwd, torch.func.hessian,
    lambda f: lambda *given: torch.func.jvp(f, given, given), lambda f: lambda *given: torch.func.vjp(f, *given),
    lambda f: lambda w, fields: torch.func.vmap(torch.func.grad(f), in_dims=(0, None))(w[None], fields),
], ids=["grad", "jacrev", "jacfwd", "hessian", "jvp", "vjp", "vmap of grad"])
def test_derivatives_through_torch_func_are_refused(transform, tensors):
    fields, weights = tensors
    with pytest.raises(InputError, match="modulated_mlp has no derivatives through torch.func") as raised:
        transform(loss)(weights, fields)
    assert "torch.autograd.grad" in str(raised.value) and "python_ref.modulated_mlp.render" in str(raised.value)
    assert loss(weights, fields).isfinite(), "a transform was left behind"


def test_forward_mode_is_refused_where_a_tangent_is_given(tensors):
    """torch would drop the tangent, and take the derivative for zero."""
    fields, weights = tensors
    expected = loss(weights, fields)
    with forward_ad.dual_level():
        assert torch.equal(loss(weights, fields), expected)
        with pytest.raises(InputError, match="no derivatives through forward mode"):
            loss(forward_ad.make_dual(weights, weights), fields)
        plain = torch.randn(1, 2, 2, PLAIN_MLP.field_channels(PLAIN))
        dual = forward_ad.make_dual(plain, plain)
        with pytest.raises(InputError, match="plain_mlp has no derivatives through forward mode"):
            plain_mlp(dual, torch.randn(PLAIN_MLP.weight_count(PLAIN)), PLAIN, (3, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_coordinates_and_modulations_in_float32(dtype, tensors):
    """Half of a float32 coordinate's bits would move points by pixels; half a modulation's would show."""
    fields, weights = tensors
    coord = torch.rand(2, 50, 2) * 2 - 1
    cell = torch.full_like(coord, 0.07)
    expected = modulated_mlp_points(fields, weights, SPEC, coord, cell)
    rounded = modulated_mlp_points(fields, weights, SPEC, coord.to(dtype).float(), cell)
    assert not torch.equal(rounded, expected), "rounded coordinates do not show: the case proves nothing"
    with torch.autocast("cpu", dtype):
        got = modulated_mlp_points(fields, weights, SPEC, coord, cell)
        mixed = modulated_mlp_points(fields.to(dtype), weights, SPEC, coord, cell)
        grid = modulated_mlp(fields.to(dtype), weights, SPEC, (7, 5))
    assert torch.equal(got, expected)
    assert torch.equal(mixed, modulated_mlp_points(fields.to(dtype).float(), weights, SPEC, coord, cell))
    assert torch.equal(grid, modulated_mlp(fields.to(dtype).float(), weights, SPEC, (7, 5)))


def test_a_call_without_gradients_is_still_seen_by_dispatch_modes(tensors):
    """It goes past torch's autograd, not past torch."""
    fields, weights = tensors

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        names = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names.append(str(function))
            return function(*args, **(kwargs or {}))

    with torch.no_grad(), Seen() as seen:
        modulated_mlp(fields, weights, SPEC, (6, 6))
    assert seen.names == ["lmf_kernels.modulated_mlp.default"]
    assert modulated_mlp(fields.requires_grad_(), weights, SPEC, (6, 6)).requires_grad
