"""Encoders: the golden outputs, the official parameter names, and what a bad spec is told."""

import json

import golden_cases
import pytest
import torch
from safetensors import safe_open

from lmf_kernels import InputError
from lmf_kernels.encoders import make_encoder


@pytest.fixture(scope="module")
def golden():
    """(descriptions, tensors) of the golden encoders."""
    with safe_open(golden_cases.FOLDER / "encoders.safetensors", "pt") as file:
        return json.loads(file.metadata()["encoders"]), {name: file.get_tensor(name) for name in file.keys()}


def test_edsr_baseline_reproduces_the_golden_output(golden):
    listed, tensors = golden
    entry = listed["edsr-baseline"]
    encoder = make_encoder({"name": "edsr-baseline", "args": entry["args"]}).eval()
    assert {name: list(value.shape) for name, value in encoder.state_dict().items()} == entry["shapes"]
    assert encoder.out_dim == entry["out_dim"]
    assert sum(value.numel() for value in encoder.parameters()) == entry["params"]
    encoder.load_state_dict({name: golden_cases.fill(name, shape) for name, shape in entry["shapes"].items()})
    expected = tensors["edsr-baseline.out"]
    with torch.no_grad():
        got = encoder(tensors["edsr-baseline.in"])
    assert (got - expected).abs().max() <= 1e-4 * expected.std()


def test_the_mean_shift_is_stored_but_neither_trained_nor_used(seed):
    encoder = make_encoder({"name": "edsr-baseline", "args": {"n_resblocks": 1, "n_feats": 4}})
    frozen = {name for name, value in encoder.named_parameters() if not value.requires_grad}
    assert frozen == {"sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"}
    image = torch.randn(1, 3, 5, 6)
    before = encoder(image)
    with torch.no_grad():
        encoder.sub_mean.bias += 1
    assert torch.equal(encoder(image), before)


def test_receptive_field_is_exact(seed):
    args = {"n_resblocks": 2, "n_feats": 8, "res_scale": 0.5}
    encoder = make_encoder({"name": "edsr-baseline", "args": args}).double()
    reach, side = encoder.receptive_field, 25
    image = torch.randn(1, 3, 1, side, dtype=torch.float64, requires_grad=True)
    encoder(image)[..., side // 2].sum().backward()
    touched = image.grad[0, :, 0].abs().sum(dim=0).nonzero().flatten()
    assert (touched[0], touched[-1]) == (side // 2 - reach, side // 2 + reach)


@pytest.mark.parametrize("spec, says", [
    ("edsr-baseline", "mapping"),
    ({"args": {}}, "mapping"),
    ({"name": "vgg", "args": {}}, "known encoders: edsr-baseline"),
    ({"name": "rdn", "args": {}}, "not available yet"),
    ({"name": "edsr-baseline", "args": [1]}, "mapping"),
    ({"name": "edsr-baseline", "args": {"depth": 3}}, "no option 'depth'"),
    ({"name": "edsr-baseline", "args": {"no_upsampling": False}}, "no_upsampling: true"),
    ({"name": "edsr-baseline", "args": {"n_feats": 0}}, "n_feats"),
    ({"name": "edsr-baseline", "args": {"n_resblocks": True}}, "n_resblocks"),
    ({"name": "edsr-baseline", "args": {"n_feats": 10**9}}, "n_feats"),
    ({"name": "edsr-baseline", "args": {"res_scale": "1"}}, "res_scale"),
])
def test_a_bad_spec_is_told_in_one_sentence(spec, says):
    with pytest.raises(InputError, match=says) as caught:
        make_encoder(spec)
    assert "\n" not in str(caught.value)
