"""Encoders: the golden outputs, the official parameter names, any size and type, and what a bad spec is told."""

import json

import golden_cases
import pytest
import torch
from safetensors import safe_open

from lmf_kernels import InputError, load_model, save_model
from lmf_kernels.encoders import make_encoder
from lmf_kernels.models import build_model

# Small ones of each kind, with every layer that the large ones have.
SMALL = {
    "edsr-baseline": {"n_resblocks": 2, "n_feats": 8, "res_scale": 0.5},
    "rdn": {"RDNconfig": "A", "G0": 4},
    "swinir": {"img_size": 8, "window_size": 4, "embed_dim": 12, "depths": [2, 3], "num_heads": [2, 4]},
}


@pytest.fixture(scope="module")
def golden():
    """(descriptions, tensors) of the golden encoders."""
    with safe_open(golden_cases.FOLDER / "encoders.safetensors", "pt") as file:
        return json.loads(file.metadata()["encoders"]), {name: file.get_tensor(name) for name in file.keys()}


def small(name, **args):
    """A small encoder in evaluation mode."""
    return make_encoder({"name": name, "args": {**SMALL[name], **args}}).eval()


@pytest.mark.parametrize("name", SMALL)
def test_an_encoder_reproduces_the_golden_output(name, golden):
    listed, tensors = golden
    entry = listed[name]
    encoder = make_encoder({"name": name, "args": entry["args"]}).eval()
    assert {key: list(value.shape) for key, value in encoder.named_parameters()} == entry["shapes"]
    assert encoder.out_dim == entry["out_dim"]
    assert sum(value.numel() for value in encoder.parameters()) == entry["params"]
    with torch.no_grad():
        for key, value in encoder.named_parameters():
            value.copy_(golden_cases.fill(key, value.shape))
        got = encoder(tensors[name + ".in"])
    expected = tensors[name + ".out"]
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


def test_the_global_fusion_of_rdn_is_a_convolution_of_all_blocks(seed):
    encoder = small("rdn").double()
    image = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    outputs = []
    for block in encoder.RDBs:
        block.register_forward_hook(lambda module, given, result: outputs.append(result))
    got = encoder(image)
    expected = encoder.GFF(torch.cat(outputs, dim=1)) + encoder.SFENet1(image)
    assert (got - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("name, args", [
    ("edsr-baseline", {}), ("rdn", {}), ("rdn", {"RDNconfig": "B", "G0": 2}), ("rdn", {"RDNkSize": 5}),
])
def test_receptive_field_is_exact(name, args, seed):
    encoder = small(name, **args).double()
    reach = encoder.receptive_field
    assert encoder.window == 1
    with torch.no_grad():  # positive weights: nothing cancels, no unit is dead; so large that nothing underflows
        for value in encoder.parameters():
            value.uniform_(0.05, 0.15).div_(len(value))
    side = 2 * reach + 5
    image = torch.rand(1, 3, 1, side, dtype=torch.float64, requires_grad=True)
    encoder(image)[..., side // 2].sum().backward()
    touched = image.grad[0, :, 0].abs().sum(dim=0).nonzero().flatten()
    assert (touched[0], touched[-1]) == (side // 2 - reach, side // 2 + reach)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 2), (9, 13)])
def test_any_size_in_any_memory_format_and_batch(name, size, seed):
    encoder = small(name).double()
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        together = encoder(images)
        assert together.shape == (3, encoder.out_dim, *size)
        assert together.std() > 1e-6
        for other in (torch.cat([encoder(image[None]) for image in images]),
                      encoder(images.contiguous(memory_format=torch.channels_last)),
                      encoder(images.transpose(2, 3).contiguous().transpose(2, 3))):
            assert (other - together).abs().max() <= 1e-12 * together.abs().max()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_near_the_truth(name, dtype, seed):
    encoder, image = small(name), torch.randn(1, 3, 11, 10)
    half = small(name).to(dtype)
    half.load_state_dict(encoder.state_dict())
    encoder.load_state_dict(half.state_dict())  # the rounded weights
    with torch.no_grad():
        expected = encoder.double()(image.to(dtype).double())
        got = half(image.to(dtype))
    assert got.dtype == dtype
    assert (got - expected).abs().max() <= 32 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_its_gradient(name, seed):
    encoder = small(name).double().train()
    encoder(torch.randn(2, 3, 9, 12, dtype=torch.float64)).square().sum().backward()
    trained = {key: value for key, value in encoder.named_parameters() if value.requires_grad}
    assert trained and not [key for key, value in trained.items() if value.grad is None or not value.grad.any()]


@pytest.mark.parametrize("name", ["rdn", "swinir"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_checkpoint_with_this_encoder_goes_through_both_files(name, dtype, seed, tmp_path):
    args = {"encoder_spec": {"name": name, "args": {"no_upsampling": True, **SMALL[name]}},
            "imnet_spec": {"name": "lmmlp", "args": {"out_dim": 3, "hidden_dim": 16, "hidden_depth": 2,
                                                     "mod_scale": True, "mod_shift": True}},
            "hypernet_spec": {"name": "mlp", "args": {"out_dim": 80, "hidden_list": [8]}}}
    made = build_model({"name": "lmliif", "args": args}).to(dtype).eval()
    weights = made.state_dict()
    torch.save({"model": {"name": "lmliif", "args": args, "sd": weights}, "epoch": 1}, tmp_path / "model.pth")
    loaded = load_model(tmp_path / "model.pth")
    save_model(loaded, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    image = torch.rand(1, 3, 5, 7)
    with torch.no_grad():
        expected = made.float().render_grid(image, (9, 17))
    for model in (loaded, again):
        assert {key: value.dtype for key, value in model.state_dict().items()} == \
               {key: value.dtype for key, value in weights.items()}
        assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
        with torch.no_grad():
            got = model.float().render_grid(image, (9, 17))
        assert torch.equal(got, expected)


@pytest.mark.parametrize("spec, says", [
    ("edsr-baseline", "mapping"),
    ({"args": {}}, "mapping"),
    ({"name": "vgg", "args": {}}, "known encoders: edsr-baseline, rdn, swinir"),
    ({"name": "edsr-baseline", "args": [1]}, "mapping"),
    ({"name": "edsr-baseline", "args": {"depth": 3}}, "no option 'depth'"),
    ({"name": "edsr-baseline", "args": {"no_upsampling": False}}, "no_upsampling: true"),
    ({"name": "edsr-baseline", "args": {"n_feats": 0}}, "n_feats"),
    ({"name": "edsr-baseline", "args": {"n_resblocks": True}}, "n_resblocks"),
    ({"name": "edsr-baseline", "args": {"n_feats": 10**9}}, "n_feats"),
    ({"name": "edsr-baseline", "args": {"res_scale": "1"}}, "res_scale"),
    ({"name": "rdn", "args": {"no_upsampling": False}}, "no_upsampling: true"),
    ({"name": "rdn", "args": {"RDNconfig": "C"}}, "one of 'A', 'B'"),
    ({"name": "rdn", "args": {"RDNconfig": ["A"]}}, "one of 'A', 'B'"),
    ({"name": "rdn", "args": {"RDNkSize": 4}}, "RDNkSize is odd"),
    ({"name": "rdn", "args": {"G0": 0}}, "G0"),
    ({"name": "swinir", "args": {"no_upsampling": False}}, "no_upsampling: true"),
    ({"name": "swinir", "args": {"upsampler": "pixelshuffle"}}, "upsampler"),
    ({"name": "swinir", "args": {"resi_connection": "2conv"}}, "resi_connection"),
    ({"name": "swinir", "args": {"img_size": 50}}, "multiple of its window_size 8, got 50"),
    ({"name": "swinir", "args": {"img_size": 4}}, "img_size"),
    ({"name": "swinir", "args": {"img_size": [48, 48, 48]}}, "img_size"),
    ({"name": "swinir", "args": {"window_size": 0}}, "window_size"),
    ({"name": "swinir", "args": {"embed_dim": 100}}, "multiple of each entry of num_heads, got 100 and 6"),
    ({"name": "swinir", "args": {"depths": 6}}, "depths is a list"),
    ({"name": "swinir", "args": {"depths": [6]}}, "got 1 and 6 entries"),
    ({"name": "swinir", "args": {"depths": [4000] * 6}}, "add up to"),
    ({"name": "swinir", "args": {"depths": [6, 0] * 3}}, "depths"),
    ({"name": "swinir", "args": {"mlp_ratio": float("nan")}}, "mlp_ratio"),
    ({"name": "swinir", "args": {"drop_path_rate": 2}}, "drop_path_rate"),
    ({"name": "swinir", "args": {"qkv_bias": 1}}, "qkv_bias"),
    ({"name": "swinir", "args": {"qk_scale": "1"}}, "qk_scale"),
])
def test_a_bad_spec_is_told_in_one_sentence(spec, says):
    with pytest.raises(InputError, match=says) as caught:
        make_encoder(spec)
    assert "\n" not in str(caught.value)
