"""Which model is trained: a spec from a name and a few sizes, or from a JSON file."""

import json
import os

from ..errors import InputError
from ..models import build_model

ENCODERS = ("edsr-baseline",)
BLOCKS, FEATURES = 10, 64  # of the model that ships: what two CPU cores train in an hour

# The decoders of the published configurations. LMF: arXiv 2404.16451, section 4; LIIF: 2012.09161; LTE: 2111.08918.
_DECODERS = {
    "lmliif": {"imnet_spec": {"name": "lmmlp", "args": {"out_dim": 3, "hidden_dim": 16, "hidden_depth": 6,
                                                        "mod_scale": True, "mod_shift": True}},
               "hypernet_spec": {"name": "mlp", "args": {"out_dim": 208, "hidden_list": [208]}}},
    "lmlte": {"imnet_spec": {"name": "lmmlp", "args": {"out_dim": 3, "hidden_dim": 16, "hidden_depth": 8,
                                                       "mod_scale": True, "mod_shift": True}},
              "hypernet_spec": {"name": "mlp", "args": {"out_dim": 288, "hidden_list": [288]}},
              "hidden_dim": 128},
    "lmciaosr": {"imnet_q": {"name": "lmmlp", "args": {"out_dim": 3, "hidden_dim": 16, "hidden_depth": 8,
                                                       "mod_scale": True, "mod_shift": True}},
                 "hypernet_q": {"name": "mlp", "args": {"out_dim": 288, "hidden_list": [288]}},
                 **{name: {"name": "mlp", "args": {"out_dim": 256, "hidden_list": [256]}}
                    for name in ("prenet_q", "imnet_k", "imnet_v")}},
    "liif": {"imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [256] * 4}}},
    "lte": {"imnet_spec": {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [256] * 3}}, "hidden_dim": 256},
}


def shipping_spec():
    """Spec of the model that the package ships: LM-LIIF on a shallower EDSR-baseline."""
    return named_spec("lmliif")


def named_spec(name, encoder=ENCODERS[0], blocks=BLOCKS, features=FEATURES):
    """A published decoder on an encoder of the given size.

    Args:
        name: lmliif, lmlte, lmciaosr, liif or lte.
        encoder: one of ENCODERS.
        blocks, features: the encoder's residual blocks and channels.

    Returns:
        {"name", "args"} for `models.build_model`.
    """
    if name not in _DECODERS:
        raise InputError(f"There is no model {name!r:.60} to train and no such file; "
                         f"give one of {', '.join(_DECODERS)}, or a JSON file with 'name' and 'args'.")
    if encoder not in ENCODERS:
        raise InputError(f"There is no encoder {encoder!r:.60} to train; give one of {', '.join(ENCODERS)}.")
    size = {"no_upsampling": True, "n_resblocks": blocks, "n_feats": features}
    option = "encoder" if name == "lmciaosr" else "encoder_spec"  # as the authors' checkpoints name it
    return {"name": name, "args": {option: {"name": encoder, "args": size}, **_DECODERS[name]}}


def read_spec(path):
    """The spec in a JSON file, `{"name": ..., "args": {...}}`, checked by building it without memory.

    Raises:
        InputError: no such file, no JSON, or no model that we know.
    """
    import torch

    try:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}.") from None
    try:
        with torch.device("meta"):
            build_model(spec)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return spec


def is_file(name):
    """Whether --model names a file: by its suffix, or because it is there."""
    return name.lower().endswith(".json") or os.path.exists(name)
