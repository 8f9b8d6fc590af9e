"""Both forms of the reference reproduce the numbers of the authors' published code."""

import importlib

import golden_cases
import pytest
import torch
from python_ref import lmliif, lmlte, mlp


@pytest.mark.parametrize("form", ["decode", "decode_published"])
@pytest.mark.parametrize("model, name", golden_cases.ids())
def test_golden_outputs(model, name, form):
    case, loaded = golden_cases.case(model, name), golden_cases.load(model)
    decode = getattr(importlib.import_module(f"python_ref.{model}"), form)
    with torch.no_grad():
        got = decode(case.features, loaded.sd, **case.where, **case.skip, options=loaded.options)
    assert case.keep.float().mean() > 0.7, "a comparison that leaves out most of the image proves little"
    print(f"largest difference {golden_cases.check(got, case):.2e}")


def close(got, expected):
    difference = (got - expected).abs().max().item()
    assert difference <= golden_cases.TOLERANCE, f"largest difference {difference:.2e}"


def test_golden_features():
    close(golden_cases.case("lmliif", "image0-48x40").features, golden_cases.tensors("lmliif")["dbg_feat"])


REL_CELL_X2 = torch.tensor([1.0, 1.0])  # 2 / (2 h) * h


def test_golden_latents_of_lmliif():
    loaded, expected = golden_cases.load("lmliif"), golden_cases.tensors("lmliif")["dbg_mod_x2"]
    features = golden_cases.case("lmliif", "image0-48x40").features
    close(lmliif.latent_published(features, loaded.sd, REL_CELL_X2), expected)
    code = expected[:, 192:].permute(0, 2, 3, 1)
    base = code @ loaded.sd["imnet.layers.0.weight"][:, :16].T
    close(lmliif.latent(features, loaded.sd, REL_CELL_X2), torch.cat([absorbed(expected, loaded.sd), base], dim=-1))


def test_golden_latents_of_lmlte():
    loaded, stored = golden_cases.load("lmlte"), golden_cases.tensors("lmlte")
    features = golden_cases.case("lmlte", "image0-48x40").features
    mods, coef, freq = lmlte.latent_published(features, loaded.sd, REL_CELL_X2)
    expected = stored["dbg_mod_x2"]
    close(mods, expected)
    close(coef, stored["dbg_coef"])
    close(freq, stored["dbg_freq"])
    code = expected[:, 256:].permute(0, 2, 3, 1)
    close(lmlte.latent(features, loaded.sd, REL_CELL_X2), torch.cat([absorbed(expected, loaded.sd), code], dim=-1))


def absorbed(mods, sd):
    """[s | t] of the fields, from the official modulations (B, C', h, w): t takes in the layers' biases."""
    layers = mlp.linear_layers(sd, "imnet")[:-1]
    bias = torch.cat([b for _, b in layers])
    s, t = mods.permute(0, 2, 3, 1)[..., :2 * len(bias)].chunk(2, dim=-1)
    return torch.cat([s, t + bias * (1 + s)], dim=-1)
