"""First weights of a model in training: a seed's, and from there a network that already passes its input on.

LIIF, LM-LIIF and DIIF add no interpolated input to their output, so with torch's first weights they spend thousands of
steps on learning to repeat the picture before they learn to sharpen it. Here they begin as an interpolation: three
channels take the colours, raised by 1 so that every ReLU on their way lets them through, and the output layer lowers
them again.
All shapes and names stay the authors' own.
"""

import os

import torch
from torch import nn

from . import initial_slices
from .. import built_in
from ..checkpoints import load_model, read_metadata
from ..encoders.edsr import EDSR
from ..errors import InputError
from ..models import build_model
from .models import encoder_spec_of

_COLOURS = 3
_QUIET = 0.03  # factor on the output layer's other weights: what the network adds to the picture at first


def initial_model(spec, seed, encoder=None):
    """The model of a spec in training mode, with the weights that a seed gives, whatever the process has drawn before.

    Args:
        spec: {"name", "args"}. seed: a whole number.
        encoder: an encoder of the spec's kind, whose weights the model's begins with, or None.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(spec).train()
        if encoder is not None:
            model.encoder.load_state_dict(encoder.state_dict())
        if initial_slices.can_pass(model):
            if encoder is not None:
                initial_slices.pass_picture_on(model, *initial_slices.fit_colours(model.encoder))
            elif isinstance(model.encoder, EDSR) and model.encoder.out_dim >= _COLOURS:
                _colours_in_features(model.encoder)
                initial_slices.pass_picture_on(
                    model, torch.eye(_COLOURS, model.encoder.out_dim), torch.zeros(_COLOURS))
        elif encoder is None and _can_pass(model):
            _pass_picture_on(model)
    return model


def encoder_from_file(path_or_name):
    """The encoder of a model of `load_model`: (encoder, its spec, {"encoder_of": name, the metadata of its file})."""
    model = load_model(path_or_name, dtype=torch.float32, device="cpu")
    return model.encoder, encoder_spec_of(model.spec), {"encoder_of": _about(path_or_name)}


def model_from_file(path_or_name, spec):
    """A model of `load_model` in training mode, and its name with the metadata of its file: (model, {"name", ...}).

    Raises:
        CheckpointError: there is no such file or built-in model. InputError: it is not the model of the spec.
    """
    model = load_model(path_or_name, dtype=torch.float32, device="cpu").train()
    with torch.device("meta"):
        wanted = build_model(spec).spec  # with the options that it leaves out
    if model.spec != wanted:
        raise InputError(f"{path_or_name} holds another model than the one to train; leave the model's options out.")
    return model, _about(path_or_name)


def _about(path_or_name):
    """{"name", and the metadata of a model's file}."""
    path = built_in.path_of(path_or_name) or str(path_or_name)
    stated = read_metadata(path) if path.lower().endswith(".safetensors") else {}
    return {"name": os.path.basename(path_or_name), **stated}


def _can_pass(model):
    """Whether the model lacks the skip, and has everywhere the room for three colours."""
    if model.has_skip or not isinstance(model.encoder, EDSR) or not hasattr(model.imnet, "linears"):
        return False
    modulated = hasattr(model, "hypernet")
    if modulated and not model.render_mlp.mod_shift:
        return False
    inner = [*(model.hypernet.linears[:-1] if modulated else ()), *model.imnet.linears[:-1]]
    return all(linear.out_features >= _COLOURS for linear in inner) and model.encoder.out_dim >= _COLOURS


@torch.no_grad()
def _pass_picture_on(model):
    """Let the first three features, and one channel each of what reads them, carry the colours."""
    _colours_in_features(model.encoder)
    features = [c * model.kernel ** 2 + model.kernel ** 2 // 2 for c in range(_COLOURS)]  # the middle of the unfold
    *hidden, out = model.imnet.linears
    for linear in hidden:
        nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
    if hasattr(model, "hypernet"):
        *latent, modulations = model.hypernet.linears
        features, bias = _carry_through(latent, features)
        # The shift of the last modulated layer adds the colours there.
        first_shift = (model.render_mlp.depth * (1 + model.render_mlp.mod_scale) - 1) * model.render_mlp.hidden
        _carry(modulations, features, range(first_shift, first_shift + _COLOURS), bias)
        hidden[-1].weight[:_COLOURS].mul_(_QUIET)
        features, bias = range(_COLOURS), 0.0
    else:
        features, bias = _carry_through(hidden, features)
    out.weight.mul_(_QUIET)
    _carry(out, features, range(_COLOURS), bias - 1, clear=False)


@torch.no_grad()
def _colours_in_features(encoder):
    """Let the first three features of an EDSR be the colours."""
    _carry(encoder.head[0], [0, 1, 2], range(_COLOURS), 0.0)
    closing = encoder.body[-1]
    closing.weight[:_COLOURS] = 0  # the blocks are random yet
    closing.bias[:_COLOURS] = 0


def _carry_through(linears, features):
    """Let the first three channels of every layer hold the colours plus 1, from the features they begin in.

    Returns where the colours are now, and what is still to be added to them.
    """
    bias = 1.0
    for linear in linears:
        _carry(linear, features, range(_COLOURS), bias)
        features, bias = range(_COLOURS), 0.0
    return features, bias


def _carry(linear, inputs, outputs, bias, clear=True):
    """Make outputs[i] of a linear layer, or of a 3x3 convolution, inputs[i] plus a constant."""
    middle = tuple(extent // 2 for extent in linear.weight.shape[2:])
    for source, target in zip(inputs, outputs):
        if clear:
            linear.weight[target] = 0
        linear.weight[(target, source, *middle)] = 1
        linear.bias[target] = bias
