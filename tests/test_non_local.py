"""The operator of LM-CiaoSR's non-local features: values and gradients are the reference's, whatever the picture."""

import pytest
import random_decoders
import torch
from python_ref import cross_scale as reference
from torch import library as torch_library

from lmf_kernels import InputError
from lmf_kernels.ops import cross_scale, non_local

# One block, thin and odd ones, four blocks, one block above 48 x 48 cells, and none.
SIZES = [(7, 9), (1, 8), (5, 1), (1, 1), (98, 97), (50, 53), (30, 90)]


def draw(seed, scale, size, batch=1, dtype=torch.float64):
    """(features, sd, flat weights): few channels, so that small attention matters."""
    decoder = random_decoders.draw("lmciaosr", seed, size, batch=batch, multi_scale=(scale,))
    sd = {name: value.to(dtype).requires_grad_() for name, value in decoder.sd.items() if name.startswith("cs_attn")}
    embeddings = ((sd[f"cs_attn.{name}.0.weight"].flatten(1), sd[f"cs_attn.{name}.0.bias"],
                   sd[f"cs_attn.{name}.1.weight"]) for name in ("conv_match_1", "conv_match_2", "conv_assembly"))
    down = () if scale == 1 else [value for name, value in sd.items() if "down" in name]
    return decoder.features.to(dtype), sd, cross_scale.pack(cross_scale.Weights(*embeddings, down))


def run(features, weights, scale):
    return non_local.non_local(features, weights, scale, features.shape[2:], (0, 0)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_values_and_gradients_are_the_reference_s(scale, size, seed):
    features, sd, weights = draw(seed, scale, size, batch=2 if size[0] < 50 else 1)
    features.requires_grad_()
    got = run(features, weights, scale)
    expected = reference.non_local(features, sd, (scale,), reference.attend_published)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)
    assert got.any() == (size != (30, 90)), "a side under 48 of a larger picture has no block"
    if not expected.requires_grad:
        return
    leaves, grad = [features, *sd.values()], torch.randn_like(got)
    pairs = zip(*(torch.autograd.grad(values, leaves, grad) for values in (got, expected)), ("features", *sd))
    for found, true, name in pairs:
        torch.testing.assert_close(found, true, rtol=1e-8, atol=1e-10 * max(1, true.abs().max().item()),
                                   msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_types_are_worked_out_in_float32(dtype, seed):
    features, _, weights = draw(seed, 2, (9, 12), dtype=dtype)
    got = run(features, weights, 2)
    assert got.dtype == dtype
    assert torch.equal(got, run(features.float(), weights.float(), 2).to(dtype))


def test_under_autocast_it_stays_float32(seed):
    features, _, weights = draw(seed, 2, (9, 12), dtype=torch.float32)
    features = features.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        got = run(features, weights, 2)
    assert got.dtype == torch.float32
    assert torch.equal(got, run(features.float(), weights, 2))
    grad, = torch.autograd.grad(got.sum(), features)
    assert grad.dtype == torch.bfloat16 and grad.any()


@pytest.mark.parametrize("size", [(6, 7), (52, 50)], ids=str)
def test_torch_s_own_checks(size, seed):
    features, _, weights = draw(seed, 2, size, dtype=torch.float32)
    arguments = (features.detach().requires_grad_(), weights.detach().requires_grad_(), 2, size, (0, 0))
    torch_library.opcheck(torch.ops.lmf_kernels.non_local.default, arguments)
    grad = torch.randn(1, *size, features.shape[1])
    torch_library.opcheck(torch.ops.lmf_kernels.non_local_backward.default,
                          (grad, features.detach(), weights.detach(), 2, size, (0, 0)))


def test_compiled_gradients_are_the_same(seed):
    features, _, weights = draw(seed, 2, (50, 53))
    leaves = features.requires_grad_(), weights.detach().requires_grad_()

    def loss(features, weights):
        return run(features * 1, weights * 1, 2).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    found, expected = (torch.autograd.grad(f(*leaves), leaves) for f in (compiled, loss))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_second_derivatives_are_refused(seed):
    features, _, weights = draw(seed, 2, (5, 6))
    features.requires_grad_()
    grad, = torch.autograd.grad(run(features, weights, 2).square().sum(), features, create_graph=True)
    with pytest.raises(InputError, match="no second derivatives: use python_ref.cross_scale"):
        grad.sum().backward()


def test_unpacked_weights_are_those_packed(seed):
    _, sd, flat = draw(seed, 3, (4, 4))
    weights = cross_scale.unpack(flat, sd["cs_attn.conv_assembly.0.bias"].shape[0], 3)
    assert torch.equal(weights.coarse[0], sd["cs_attn.conv_match_2.0.weight"].flatten(1))
    assert torch.equal(weights.down[0], sd["cs_attn.downx3.weight"])
    assert weights.down[1].shape == sd["cs_attn.downx3.bias"].shape
