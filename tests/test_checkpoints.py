"""Checkpoints: the authors' files and our own, and one sentence for everything that is neither."""

import collections
import copy
import json
import os
import pickle
import stat

import golden_cases
import pytest
import random_models
import torch
from safetensors.torch import save_file

from lmf_kernels import CheckpointError, InputError, load_model, save_model
from lmf_kernels.models import build_model

NAMES = random_models.NAMES


def stored(name="lmliif"):
    """A fresh copy of a golden checkpoint's content."""
    return copy.deepcopy(torch.load(golden_cases.path(name), weights_only=True))


def refused(path, says, **options):
    """load_model refuses the file in one sentence that contains `says`."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path, **options)
    message = str(caught.value)
    assert says in message and "\n" not in message and message.endswith("."), message
    assert len(message) < 300


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_files_load_as_they_are(name):
    state = torch.get_rng_state()
    model = load_model(golden_cases.path(name))
    assert torch.equal(torch.get_rng_state(), state)  # loading draws no random numbers
    assert model.name == name and not model.training and model.backend == "auto"
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    constants = {key for key in model.state_dict() if "_mean." in key or key.endswith("escape_NaN")}
    assert constants == model.state_dict().keys() - trained


def test_a_bare_model_entry_is_enough(tmp_path):
    torch.save({"model": stored()["model"]}, tmp_path / "bare.pt")
    assert load_model(str(tmp_path / "bare.pt")).name == "lmliif"


def test_device_dtype_and_backend_are_set(tmp_path):
    model = load_model(golden_cases.path("lmliif"), device="cpu", dtype=torch.float64, backend="reference")
    assert {value.dtype for value in model.parameters()} == {torch.float64} and model.backend == "reference"
    save_model(model, tmp_path / "wide.safetensors")
    assert next(load_model(tmp_path / "wide.safetensors").parameters()).dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_comes_back(name, tmp_path, seed):
    model = build_model(random_models.draw_spec(name))
    save_model(model, tmp_path / "model.safetensors")
    back = load_model(tmp_path / "model.safetensors")
    assert back.spec == json.loads(json.dumps(model.spec))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in back.state_dict().items())
    image = torch.rand(1, 3, 4, 5)
    with torch.no_grad():
        assert torch.equal(back.render_grid(image, (7, 7)), model.render_grid(image, (7, 7)))


def test_saving_replaces_whole_files_only(tmp_path):
    model = load_model(golden_cases.path("lmliif"))
    path = tmp_path / "model.safetensors"
    path.write_text("old")
    save_model(model, path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    before = path.read_bytes()
    model.spec = {"name": object()}  # cannot become JSON
    with pytest.raises(TypeError):
        save_model(model, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("model, path, says", [
    (torch.nn.Linear(1, 1), "m.safetensors", "got a Linear"),
    (None, "m.pth", "ends in .safetensors"),
    (None, "nowhere/m.safetensors", "no folder"),
    (None, "folder.safetensors", "it is a folder"),
])
def test_a_model_that_cannot_be_saved(model, path, says, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match=says):
        save_model(model or load_model(golden_cases.path("lmliif")), tmp_path / path)
    assert os.listdir(tmp_path) == ["folder.safetensors"]


def test_a_missing_file_a_folder_and_an_unknown_name(tmp_path):
    refused(tmp_path / "none.pth", "There is no file")
    refused(tmp_path, "is a folder")
    refused("lmliif-photo", "no built-in model 'lmliif-photo'")
    (tmp_path / "model.onnx").write_bytes(b"x")
    refused(tmp_path / "model.onnx", "unknown suffix")
    refused(3, "got a int")
    refused(b"model.pth", "got a bytes")


class Shout:
    """Pickles into a call that leaves a trace when it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    trace = str(tmp_path / "trace")
    torch.save({"model": Shout(trace)}, tmp_path / "code.pth")
    refused(tmp_path / "code.pth", "could run code")
    torch.save({"model": Shout(trace)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pth", "could run code")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    refused(tmp_path / "module.pth", "could run code")
    with open(tmp_path / "plain.pth", "wb") as file:
        pickle.dump(Shout(trace), file)
    refused(tmp_path / "plain.pth", "not a checkpoint")
    assert not os.path.exists(trace)


def test_a_pickle_that_is_no_checkpoint(tmp_path):
    for content in ([1, 2], {"model": 3}, {"state_dict": {}}, {"model": {"name": "lmliif"}}, torch.zeros(3)):
        torch.save(content, tmp_path / "other.pth")
        refused(tmp_path / "other.pth", "no checkpoint of a known kind")
    with open(tmp_path / "plain.pth", "wb") as file:
        pickle.dump(collections.OrderedDict(a=1), file)
    refused(tmp_path / "plain.pth", "not a checkpoint")


@pytest.mark.parametrize("wrap", [lambda weights: weights, lambda weights: {"state_dict": weights},
                                  lambda weights: {"model": weights, "epoch": 3}, lambda weights: {"params": weights}])
def test_bare_weights_are_refused_with_what_to_do(tmp_path, wrap, seed):
    model = build_model(stored()["model"])
    torch.save(wrap(model.state_dict()), tmp_path / "bare.pth")
    refused(tmp_path / "bare.pth", "bare weights (a state_dict), not which model they are for; load them into a model")
    save_file(model.state_dict(), tmp_path / "bare.safetensors")
    refused(tmp_path / "bare.safetensors", "its metadata name no model; load them into a model of lmf_kernels.build")
    # What the sentence says, done:
    again = build_model(stored()["model"])
    again.load_state_dict(model.state_dict())
    save_model(again, tmp_path / "whole.safetensors")
    assert torch.equal(load_model(tmp_path / "whole.safetensors").render_weights(), model.eval().render_weights())


def test_damaged_files(tmp_path, recwarn):
    whole = golden_cases.path("lmliif").read_bytes()
    path = tmp_path / "damaged.pth"
    for content in (b"", b"hello world\n" * 20, os.urandom(4000), whole[:100], whole[:len(whole) // 2], whole[1000:]):
        path.write_bytes(content)
        refused(path, "damaged or not a checkpoint")
    save_model(load_model(golden_cases.path("lmliif")), tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    path = tmp_path / "damaged.safetensors"
    for content in (b"", b"hello", os.urandom(4000), whole[:100], whole[:len(whole) // 2]):
        path.write_bytes(content)
        refused(path, "damaged or no safetensors")
    assert not recwarn.list


def test_safetensors_without_a_model(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    refused(path, "metadata name no model")
    save_file({"a": torch.zeros(2)}, path, {"lmf_kernels": "{"})
    refused(path, "do not describe a model")
    save_file({"a": torch.zeros(2)}, path, {"lmf_kernels": "[1]"})
    refused(path, "mapping")
    save_file({}, path, {"lmf_kernels": json.dumps(stored()["model"]["args"])})
    refused(path, "no weights")


@pytest.mark.parametrize("change, says", [
    (lambda m: m.update(name="srcnn"), "Unknown model 'srcnn'"),
    (lambda m: m.update(name=3), "mapping with a 'name'"),
    (lambda m: m.update(name="diif"), "not available yet"),
    (lambda m: m.update(args=None), "mapping"),
    (lambda m: m.update(sd=None), "no weights"),
    (lambda m: m.update(sd={}), "no weights"),
    (lambda m: m.update(sd={"a": 1}), "is no tensor"),
    (lambda m: m.update(sd={1: torch.zeros(1)}), "is no tensor"),
    (lambda m: m["sd"].update({"coef.weight": torch.zeros(1)}), "unknown weight coef.weight"),
    (lambda m: m["sd"].pop("imnet.layers.0.weight"), "lacks the weight imnet.layers.0.weight"),
    (lambda m: m["sd"].update({"imnet.layers.0.weight": torch.zeros(16, 19)}), "(16, 19), but the model's args"),
    (lambda m: m["sd"].update({"imnet.layers.0.weight": torch.zeros(16, 20).long()}), "torch.int64"),
    (lambda m: m["sd"].update({"imnet.layers.0.weight": torch.zeros(16, 20).to_sparse()}), "sparse"),
    (lambda m: m["args"].update(feat_unfold=False), "but the model's args make it"),
    (lambda m: m["args"].update(nonsense=1), "no option 'nonsense'"),
    (lambda m: m["args"]["encoder_spec"].update(name="vgg"), "Unknown encoder 'vgg'"),
    (lambda m: m["args"]["encoder_spec"].update(name="rdn"), "no option 'n_resblocks'"),
    (lambda m: m["args"]["encoder_spec"]["args"].update(no_upsampling=False), "no_upsampling"),
    (lambda m: m["args"]["encoder_spec"]["args"].update(n_resblocks=3), "lacks the weight encoder.body.2"),
    (lambda m: m["args"]["imnet_spec"]["args"].update(hidden_dim=65536), "but the model's args make it"),
    (lambda m: m["args"]["imnet_spec"]["args"].update(hidden_dim=10**12), "whole number"),
    (lambda m: m["args"].pop("imnet_spec"), "lack 'imnet_spec'"),
])
def test_a_checkpoint_that_does_not_fit(change, says, tmp_path):
    content = stored()
    change(content["model"])
    torch.save(content, tmp_path / "model.pth")
    refused(tmp_path / "model.pth", says)


@pytest.mark.parametrize("options, says", [
    ({"device": "gpu"}, "'gpu' cannot be used"),
    ({"device": "cuda:99"}, "cannot be used"),
    ({"device": "meta"}, "cannot be used"),
    ({"device": 1.5}, "cannot be used"),
    ({"dtype": torch.int8}, "torch.int8"),
    ({"dtype": "float32"}, "'float32'"),
    ({"backend": "gpu"}, "unknown backend 'gpu'"),
])
def test_unusable_options(options, says):
    with pytest.raises(InputError, match=says) as caught:
        load_model(golden_cases.path("lmliif"), **options)
    assert "\n" not in str(caught.value)


def test_mixed_types_become_float32(tmp_path):
    content = stored()
    sd = content["model"]["sd"]
    sd["imnet.layers.0.weight"] = sd["imnet.layers.0.weight"].half()
    torch.save(content, tmp_path / "mixed.pth")
    assert {value.dtype for value in load_model(tmp_path / "mixed.pth").parameters()} == {torch.float32}


def test_weights_that_share_memory_are_parted(tmp_path):
    content = stored()
    shared = torch.randn(2, 16, 16)
    content["model"]["sd"]["imnet.layers.2.weight"] = shared[0]
    content["model"]["sd"]["imnet.layers.4.weight"] = shared[1].t()
    torch.save(content, tmp_path / "shared.pth")
    model = load_model(tmp_path / "shared.pth")
    first, second = (model.imnet.linears[i].weight for i in (1, 2))
    assert torch.equal(first, shared[0]) and torch.equal(second, shared[1].t()) and second.is_contiguous()
    assert first.untyped_storage().nbytes() == 16 * 16 * 4
