"""Encoders: a low-resolution image in, one feature vector per low-resolution pixel out.

An encoder is an `nn.Module` that maps (B, 3, h, w), values in [-1, 1], to (B, out_dim, h, w) and carries three
integers: `out_dim`, its feature width; `receptive_field`, how many pixels away an input pixel still reaches a feature;
and `window`, 1 or the grid that features depend on: a crop that starts at a multiple of `window` has the whole image's
features, `receptive_field` pixels in from where it was cut. All encoders take any size from 1x1 on.
Its parameter names are the official ones, so that published weights load as they are.
"""

import inspect
from collections.abc import Mapping

from ..errors import InputError
from .edsr import edsr_baseline
from .rdn import rdn
from .swinir import swinir

_MAKERS = {
    "edsr-baseline": edsr_baseline,
    "rdn": rdn,
    "swinir": swinir,
}


def make_encoder(spec):
    """Build the encoder that a checkpoint's `encoder_spec` describes.

    Args:
        spec: mapping `{"name": str, "args": mapping}`, as in the authors' checkpoints; `args` may be absent.

    Returns:
        nn.Module with `out_dim`, `receptive_field` and `window`, weights freshly initialised.

    Raises:
        InputError: the spec is malformed, the name or an argument is unknown, or an argument's value is not supported.
    """
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise InputError(f"An encoder spec is a mapping with a 'name' and 'args', got {spec!r:.80}.")
    name, args = spec["name"], spec.get("args") or {}
    if name not in _MAKERS:
        raise InputError(f"Unknown encoder {name!r}; known encoders: {', '.join(_MAKERS)}.")
    if not isinstance(args, Mapping):
        raise InputError(f"The args of the encoder '{name}' are a mapping, got {args!r:.80}.")
    known = inspect.signature(_MAKERS[name]).parameters
    unknown = [key for key in args if key not in known]
    if unknown:
        raise InputError(f"The encoder '{name}' has no option {unknown[0]!r}; its options: {', '.join(known)}.")
    return _MAKERS[name](**args)
