"""The golden numbers of `tests/golden`: checkpoints, features, cases, and what a comparison leaves out.

    for case in golden_cases.cases("lmliif"):
        model = golden_cases.load("lmliif")              # .args, .sd (decoder), .options, .encoder
        got = lmliif.decode(case.features, model.sd, **case.where, **case.skip, options=model.options)
        golden_cases.check(got, case)

Any subset of the models' names is a valid parametrisation: `golden_cases.ids()` gives (model, case name) of all.
"""

import functools
import json
import pathlib
import zlib
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from lmf_kernels.encoders import make_encoder
from python_ref import Options, SliceOptions

FOLDER = pathlib.Path(__file__).parent / "golden"
MODELS = ("lmliif", "lmlte", "lmciaosr", "liif", "lte", "diif", "dlte")
WITH_SKIP = ("lmlte", "lmciaosr", "lte", "dlte")
SLICED = ("diif", "dlte")
WITH_POINTS = tuple(name for name in MODELS if name not in SLICED)
TOLERANCE = 2e-5  # absolute, on values as the network gives them


class Model(NamedTuple):
    args: dict  # of the checkpoint
    options: Options | SliceOptions
    sd: dict  # all parameters under official names, the encoder's included
    encoder: torch.nn.Module


class Case(NamedTuple):
    name: str
    model: str
    image: Tensor  # (B, 3, h, w), normalised: 2 * image - 1
    expected: Tensor  # (B, 3, H, W) or (B, Q, 3)
    keep: Tensor  # bool, broadcastable to expected: what is compared
    size: tuple | None = None
    coord: Tensor | None = None  # (B, Q, 2)
    cell: Tensor | None = None  # (B, Q, 2)

    @property
    def features(self):
        """Encoder features (B, 64, h, w) of the image."""
        return _features(self.model, self.name.split("-")[0])

    @property
    def where(self):
        """Keyword arguments of a `decode`: size, or coord and cell."""
        return {"size": self.size} if self.size else {"coord": self.coord, "cell": self.cell}

    @property
    def skip(self):
        """Keyword arguments of a `decode`: the LR image for the models that have the skip."""
        return {"skip": self.image} if self.model in WITH_SKIP else {}


def path(model):
    """The checkpoint file of a model."""
    return FOLDER / f"{model}.pth"


@functools.cache
def load(model):
    """The checkpoint's model, its encoder built and filled. Draws no random numbers of the test that happens to be the
    first to load it, so that a seed repeats that test alone too."""
    stored = torch.load(path(model), map_location="cpu", weights_only=True)["model"]
    args = stored["args"]
    with torch.random.fork_rng(devices=[]):
        encoder = make_encoder(args["encoder"] if "encoder" in args else args["encoder_spec"])
    encoder.eval().requires_grad_(False)
    start = "encoder."
    encoder.load_state_dict({k[len(start):]: v for k, v in stored["sd"].items() if k.startswith(start)})
    kind = SliceOptions if model in SLICED else Options
    return Model(args, kind.from_args(args), stored["sd"], encoder)


@functools.cache
def tensors(model):
    """All tensors of a model's cases file, by name."""
    with safe_open(FOLDER / f"{model}.cases.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


@functools.cache
def cases(model):
    """All golden cases of a model."""
    with safe_open(FOLDER / f"{model}.cases.safetensors", "pt") as file:
        listed = json.loads(file.metadata()["cases"])["cases"]
    return tuple(_case(model, entry) for entry in listed)


def case(model, name):
    """One golden case by name."""
    return next(found for found in cases(model) if found.name == name)


def ids(models=MODELS):
    """(model, case name) of every golden case, for pytest.mark.parametrize."""
    return [(model, found.name) for model in models for found in cases(model)]


def check(got, case, tolerance=TOLERANCE):
    """Assert that `got` has the golden values; returns the largest difference seen."""
    assert got.shape == case.expected.shape
    difference = ((got - case.expected).abs() * case.keep).max().item()
    assert difference <= tolerance, f"{case.model} {case.name}: largest difference {difference:.2e} > {tolerance:.0e}"
    return difference


def fill(name, shape, gain=0.7):
    """Pseudo-random weights that depend on the name alone, so that a golden encoder needs no stored weights."""
    count = torch.Size(shape).numel()
    start = zlib.crc32(name.encode()) % 10007
    wave = torch.sin(torch.arange(count, dtype=torch.float64) * 12.9898 + start) * 43758.5453
    uniform = (wave - wave.floor()) * 2 - 1
    if len(shape) > 1:
        uniform = uniform * (3 * shape[0] / count) ** 0.5 * gain
    else:
        uniform = 0.1 * uniform + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return uniform.reshape(shape).float()


def _case(model, entry):
    stored = tensors(model)
    image = 2 * stored[f"image{entry['image']}"] - 1
    lr_size = image.shape[-2:]
    if model in SLICED:  # nothing there is decided by rounding noise
        size = (entry["H"], entry["W"])
        keep = torch.ones(size, dtype=torch.bool)
        return Case(f"image{entry['image']}-{size[0]}x{size[1]}", model, image, stored[entry["out"]], keep, size=size)
    ensemble = load(model).options.local_ensemble
    if "points" in entry:
        coord = stored[entry["coord"]]
        u = [((coord[..., i].double() + 1) * lr_size[i] - 1) / 2 for i in (0, 1)]
        keep = _kept(u[0], lr_size[0], ensemble) & _kept(u[1], lr_size[1], ensemble)
        return Case(f"image{entry['image']}-points", model, image, stored[entry["points"]], keep[..., None],
                    coord=coord, cell=stored[entry["cell"]])
    size = (entry["H"], entry["W"])
    u = [(torch.arange(n).double() + 0.5) * n_in / n - 0.5 for n, n_in in zip(size, lr_size)]
    keep = _kept(u[0], lr_size[0], ensemble)[:, None] & _kept(u[1], lr_size[1], ensemble)
    return Case(f"image{entry['image']}-{size[0]}x{size[1]}", model, image, stored[entry["out"]], keep, size=size)


def _kept(u, n_in, ensemble):
    """Where the published numbers are not decided by rounding noise (u in LR index units)."""
    kept = (u - (n_in - 1)).abs() >= 1e-3  # there all four published areas vanish
    if not ensemble:
        kept &= ((u - 0.5) - (u - 0.5).round()).abs() >= 1e-3  # a tie between two cells
    return kept


@functools.cache
def _features(model, image_name):
    image = next(found.image for found in cases(model) if found.name.startswith(image_name + "-"))
    with torch.no_grad():
        return load(model).encoder(image)
