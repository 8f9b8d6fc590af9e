"""Decoders with freshly drawn options, widths, depths and weights, under the official parameter names."""

import random
from typing import NamedTuple

import torch
from python_ref import Options
from torch import Tensor

MODELS = ("lmliif", "lmlte", "lmciaosr", "liif", "lte")
MODULATED = ("lmliif", "lmlte", "lmciaosr")
WITH_SKIP = ("lmlte", "lmciaosr", "lte")
CELLS_RENDERED = ("lmliif", "lmlte", "liif", "lte")  # their render stage sees each query's cell
_SWITCHES = [name for name, value in Options._field_defaults.items() if value is True]


class Decoder(NamedTuple):
    model: str
    sd: dict
    options: Options
    features: Tensor  # (B, C, h, w)
    image: Tensor  # (B, 3, h, w)

    @property
    def skip(self):
        """Keyword arguments of a `decode`: the LR image for the models that have the skip."""
        return {"skip": self.image} if self.model in WITH_SKIP else {}

    def __str__(self):
        shapes = {name: tuple(value.shape) for name, value in self.sd.items() if name.endswith("weight")}
        return f"{self.model} {self.options} features {tuple(self.features.shape)} {shapes}"


def draw(model, seed, lr_size, *, batch=1, dtype=torch.float64, **switches):
    """A decoder and its inputs. `switches` fixes options by name; the others are drawn."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    options = Options(**{name: choose.random() < 0.7 for name in _SWITCHES})
    if model == "lmciaosr":
        options = options._replace(multi_scale=choose.choice([(2,), (2,), (3,), (4, 1), ()]), softmax_scale=0.7)
    if not (options.mod_scale or options.mod_shift):
        options = options._replace(**{choose.choice(["mod_scale", "mod_shift"]): True})
    options = options._replace(**switches)
    channels = choose.choice([3, 8, 17])
    build = {"lmliif": _lmliif, "lmlte": _lmlte, "lmciaosr": _lmciaosr, "liif": _liif, "lte": _lte}[model]
    sd = {name: value.to(dtype) for name, value in build(choose, channels, options).items()}
    features = torch.randn(batch, channels, *lr_size, dtype=dtype)
    return Decoder(model, sd, options, features, torch.rand(batch, 3, *lr_size, dtype=dtype) * 2 - 1)


def _lmliif(choose, channels, options):
    hidden, depth = choose.choice([4, 7, 16]), choose.randint(1, 6)
    seen = 2 if options.cell_decode else 0
    code = hidden if options.mod_input else channels
    outputs = options.modulation_count * depth * hidden + (hidden if options.mod_input else 0)
    return {
        **_mlp("hypernet", [channels * (9 if options.feat_unfold else 1) + seen, *_hidden(choose), outputs]),
        **_mlp("imnet", [code + 2 + seen, *[hidden] * depth, 3]),
    }


def _lmlte(choose, channels, options):
    hidden, depth, width = choose.choice([4, 6, 16]), choose.randint(1, 6), choose.choice([6, 10, 32])
    code = hidden if options.mod_input else width
    outputs = options.modulation_count * depth * hidden + (2 * hidden if options.mod_input else 0)
    sd = {
        **_fourier(channels, width),
        **_mlp("hypernet", [width, *_hidden(choose), outputs]),
        **_mlp("imnet", [code, *[hidden] * depth, 3]),
    }
    if options.mod_input:
        sd["imphase.weight"] = torch.randn(hidden // 2, 2)
    return sd


def _lmciaosr(choose, channels, options):
    hidden, depth = choose.choice([4, 7, 16]), choose.randint(1, 6)
    key, half = 4 * channels, channels // 2
    value = key + channels * len(options.multi_scale)
    code = 2 * hidden if options.mod_input else value
    outputs = options.modulation_count * depth * hidden + (2 * hidden if options.mod_input else 0)
    sd = {
        **_mlp("prenet_q", [9 * channels, *_hidden(choose), key]),
        **_mlp("imnet_k", [key + 4, *_hidden(choose), key]),
        **_mlp("imnet_v", [value + 4, *_hidden(choose), value]),
        **_mlp("hypernet_q", [value, *_hidden(choose), outputs]),
        **_mlp("imnet_q", [code + 2, *[hidden] * depth, 3]),
    }
    if options.multi_scale:
        for name, width in (("conv_match_1", half), ("conv_match_2", half), ("conv_assembly", channels)):
            sd |= {f"cs_attn.{name}.0.weight": torch.randn(width, channels, 1, 1) / channels ** 0.5,
                   f"cs_attn.{name}.0.bias": torch.randn(width) * 0.1, f"cs_attn.{name}.1.weight": torch.rand(1)}
    for scale in {2, 3, 4} & set(options.multi_scale):
        name = "down" if scale == 2 else f"downx{scale}"
        sd |= {f"cs_attn.{name}.weight": torch.randn(channels, channels, 3, 3) / (3 * channels ** 0.5),
               f"cs_attn.{name}.bias": torch.randn(channels) * 0.1}
    return sd


def _liif(choose, channels, options):
    width = channels * (9 if options.feat_unfold else 1) + (4 if options.cell_decode else 2)
    return _mlp("imnet", [width, *_hidden(choose), 3])


def _lte(choose, channels, options):
    width = choose.choice([4, 10, 32])
    return {**_fourier(channels, width), **_mlp("imnet", [width, *_hidden(choose), 3])}


def _hidden(choose):
    return [choose.choice([5, 12, 24]) for _ in range(choose.randint(0, 3))]


def _fourier(channels, width):
    sd = {"phase.weight": torch.randn(width // 2, 2)}
    for name in ("coef", "freq"):
        sd[f"{name}.weight"] = torch.randn(width, channels, 3, 3) / (3 * channels ** 0.5)
        sd[f"{name}.bias"] = torch.randn(width)
    return sd


def _mlp(prefix, widths):
    sd = {}
    for index, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        sd[f"{prefix}.layers.{2 * index}.weight"] = torch.randn(n_out, n_in) * (1.5 / n_in) ** 0.5
        sd[f"{prefix}.layers.{2 * index}.bias"] = torch.randn(n_out) * 0.5
    return sd
