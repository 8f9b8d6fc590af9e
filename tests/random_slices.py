"""Decoders of DIIF and DLTE with freshly drawn options, widths, depths and weights; renders of their family."""

import random
from typing import NamedTuple

import torch
from lmf_kernels.families import C2F_MLP, C2FSpec
from lmf_kernels.models import build_model
from python_ref import SliceOptions

KINDS = [("diif", "linear", True), ("diif", "linear", False), ("diif", "constant", True), ("diif", "constant", False),
         ("dlte", "linear", True)]
IDS = [f"{name}-{slicing}-{'ensemble' if ensemble else 'centre'}" for name, slicing, ensemble in KINDS]


class Drawn(NamedTuple):
    model: torch.nn.Module  # float64
    options: SliceOptions
    features: torch.Tensor  # (B, C, h, w)
    image: torch.Tensor  # (B, 3, h, w)

    @property
    def skip(self):
        return {"skip": self.image} if self.model.has_skip else {}

    @property
    def sd(self):
        return dict(self.model.named_parameters())


def draw(kind, seed, lr_size, *, batch=1):
    """A float64 model of a kind of KINDS, and inputs of its decoder."""
    name, slicing, ensemble = kind
    choose = random.Random(seed)
    torch.manual_seed(seed)
    channels = choose.choice([3, 5, 8])
    args = {"encoder_spec": {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": 0,
                                                               "n_feats": channels}},
            "coarse": [choose.choice([5, 8, 16]) for _ in range(choose.randint(1, 4))],
            "fine": [choose.choice([5, 8, 16]) for _ in range(choose.randint(1, 4))]}
    args.update({"slicing": slicing, "slice_ensemble": ensemble} if name == "diif" else {"hidden_dim": 4})
    model = build_model({"name": name, "args": args}).double().eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    features = torch.randn(batch, channels, *lr_size, dtype=torch.float64)
    return Drawn(model, SliceOptions(slicing, ensemble), features,
                 torch.rand(batch, 3, *lr_size, dtype=torch.float64) * 2 - 1)


def draw_spec(kind, seed, least=5):
    """A C2FSpec of a kind of KINDS."""
    name, slicing, ensemble = kind
    choose = random.Random(seed)
    coarse, fine = (tuple(choose.randint(least, 19) for _ in range(choose.randint(1, 3))) for _ in range(2))
    head = ("linear", 0) if name == "diif" else ("fourier", 12)
    return C2FSpec(*head, coarse, fine, slicing, ensemble, limit_cell=name == "diif")


def draw_tensors(spec, lr_size, *, batch=1, dtype=torch.float64, skip=False):
    """(fields, weights, skip or None) of a spec for a whole picture."""
    rows = [C2F_MLP.map_of(spec).size(n) for n in lr_size]
    fields = torch.randn(batch, *rows, C2F_MLP.field_channels(spec), dtype=dtype)
    pieces = [torch.randn(shape, dtype=dtype) * (1.7 / max(shape[0], 1)) ** 0.5 if len(shape) == 2 else
              torch.randn(shape, dtype=dtype) * 0.3 for shape in C2F_MLP.weight_shapes(spec)]
    image = torch.rand(batch, 3, *lr_size, dtype=dtype) * 2 - 1 if skip else None
    return fields, C2F_MLP.flatten_weights(spec, pieces), image
