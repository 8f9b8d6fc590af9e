"""Small pictures, a tiny model and a clock that ticks once a step, for the tests of training."""

import itertools

import numpy as np
import torch
from PIL import Image

from lmf_kernels.training import Recipe
from lmf_kernels.training.distributed import Team
from lmf_kernels.training.run import train

SPEC = {"name": "lmliif", "args": {
    "encoder_spec": {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": 1, "n_feats": 8}},
    "imnet_spec": {"name": "lmmlp", "args": {"out_dim": 3, "hidden_dim": 8, "hidden_depth": 2, "mod_scale": True,
                                             "mod_shift": True}},
    "hypernet_spec": {"name": "mlp", "args": {"out_dim": 40, "hidden_list": [16]}}}}
PHOTOGRAPHS = {"graphics": 0, "patterns": 0, "box": 0, "bilinear": 0, "lanczos": 0, "nearest": 0, "compression": 0,
               "noise": 0, "consistency": 0}  # and bicubic reductions, nothing else
RECIPE = {**PHOTOGRAPHS, "batch": 4, "patch": 8, "queries": 48, "lr": 5e-3, "ema": 0.9}


def make_pictures(folder, seed, count=5):
    """A folder of smooth random pictures."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(256, size=(5, 6, 3), dtype=np.uint8))
        coarse.resize((48 + index, 40), Image.Resampling.BICUBIC).save(folder / f"some_{index}.png")
    return folder


def ticking():
    """A clock that moves by one second whenever it is read: once a step, and once when a part of a run begins."""
    return itertools.count().__next__


def run(data, out, steps, *, team=None, clock=None, recipe=None, **options):
    """`training.run.train` of the tiny model for so many ticks."""
    team = team or Team(0, 1, torch.device("cpu"))
    return train(str(data), str(out), SPEC, Recipe(**{**RECIPE, **(recipe or {})}), minutes=steps / 60, team=team,
                 clock=clock or ticking(), **options)


def state_of(out):
    """The saved state of a run."""
    return torch.load(out / "state.pt", weights_only=True)


def assert_same(left, right, tolerance=0.0):
    """Two saved states hold the same tensors: bit for bit, or each within a part of its own norm."""
    pairs = {(part, name): (value, right[part][name]) for part in ("weights", "average")
             for name, value in left[part].items()}
    for index, moments in left["optimiser"]["state"].items():
        pairs |= {(index, name): (value, right["optimiser"]["state"][index][name]) for name, value in moments.items()}
    for name, (value, other) in pairs.items():
        if tolerance:
            assert (value - other).norm() <= tolerance * other.norm(), name
        else:
            assert torch.equal(value, other), name
    assert (left["step"], left["used"]) == (right["step"], right["used"])
