"""First weights in training: a model without the input skip begins as an interpolation, the others as torch begins."""

import json

import pytest
import torch
import torch.nn.functional as F
import training_pieces as pieces

from lmf_kernels import build_model, load_model, save_model, upscale
from lmf_kernels.checkpoints import read_metadata
from lmf_kernels.cli import main
from lmf_kernels.training import models
from lmf_kernels.training.initial import encoder_from_file, initial_model

LIIF = {"name": "liif", "args": {"encoder_spec": pieces.SPEC["args"]["encoder_spec"],
                                 "imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [24, 16]}}}}


DIIF = {"name": "diif", "args": {"encoder_spec": pieces.SPEC["args"]["encoder_spec"], "coarse": [24, 16],
                                 "fine": [16, 24]}}


def error(model, smooth=False):
    """Mean difference of a model's x2 rendering from bilinear interpolation, on a random picture in [-1, 1]."""
    inp = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(1)) * 2 - 1
    inp = F.interpolate(inp[..., :4, :5], (12, 14), mode="bicubic") if smooth else inp
    with torch.no_grad():
        got = model.eval().render_grid(inp, (24, 28))
    expected = F.interpolate(inp, scale_factor=2, mode="bilinear")
    return (got - expected)[..., 2:-2, 2:-2].abs().mean().item()


@pytest.mark.parametrize("spec", [pieces.SPEC, LIIF, models.shipping_spec()], ids=["lmliif", "liif", "shipping"])
def test_it_begins_as_an_interpolation(spec, seed):
    model = initial_model(spec, seed % 1000)
    assert model.training and error(model) < 0.12
    assert error(build_model(spec)) > 0.2


@pytest.mark.parametrize("change", [{}, {"slicing": "constant"}, {"coarse": [16], "fine": [12]},
                                    {"coarse": [9, 16, 12], "fine": [12, 7, 16]}])
def test_diif_begins_as_an_interpolation(change, seed):
    spec = {"name": "diif", "args": {**DIIF["args"], **change}}
    assert error(initial_model(spec, seed % 1000)) < 0.2
    assert error(build_model(spec)) > 0.3


def test_diif_on_a_trained_encoder_begins_as_an_interpolation_too(seed, tmp_path):
    """The colours are found among the features of an encoder in which no feature is one."""
    wide = {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": 1, "n_feats": 24}}
    other = build_model({"name": "lmliif", "args": {**pieces.SPEC["args"], "encoder_spec": wide}})
    save_model(other, tmp_path / "other.safetensors", {"license": "CC0 1.0"})
    encoder, spec, about = encoder_from_file(str(tmp_path / "other.safetensors"))
    assert spec == wide
    assert about == {"encoder_of": {"name": "other.safetensors", "license": "CC0 1.0"}}
    diif = {"name": "diif", "args": {**DIIF["args"], "encoder_spec": wide}}
    model = initial_model(diif, seed % 1000, encoder)
    assert all(torch.equal(value, other.encoder.state_dict()[name]) for name, value in
               model.encoder.state_dict().items())
    assert error(model, smooth=True) < 0.15
    assert error(build_model(diif), smooth=True) > 0.3


def test_training_a_diif_on_the_encoder_of_another_model(seed, tmp_path):
    data = pieces.make_pictures(tmp_path / "pictures", seed)
    save_model(initial_model(pieces.SPEC, seed % 1000), tmp_path / "other.safetensors")
    (tmp_path / "diif.json").write_text(json.dumps(DIIF))
    given = [str(data), str(tmp_path / "out"), "--model", str(tmp_path / "diif.json"), "--minutes", "0.02",
             "--patch", "8", "--batch", "2", "--queries", "64", "--threads", "1", "--precision", "fp32"]
    assert main(["train", *given, "--init-encoder", str(tmp_path / "other.safetensors")]) == 0
    model = load_model(tmp_path / "out")
    assert model.spec["name"] == "diif"
    assert read_metadata(tmp_path / "out")["initial_weights"]["encoder_of"]["name"] == "other.safetensors"
    assert upscale(model, torch.rand(1, 3, 5, 6), 3.3).shape == (1, 3, 16, 19)


@pytest.mark.parametrize("given, says", [
    (["--init", "a.pth", "--init-encoder", "b.pth"], "--init takes a whole model's weights"),
    (["--resume", "--init-encoder", "b.pth"], "--init-encoder begins a run"),
    (["--blocks", "3", "--init-encoder", "b.pth"], "--blocks describes an encoder"),
])
def test_init_encoder_excludes(given, says, capsys):
    assert main(["train", "in", "out", "--minutes", "1", *given]) == 2
    assert says in capsys.readouterr().err


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
