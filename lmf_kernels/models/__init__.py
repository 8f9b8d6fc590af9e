"""The models, each built from the `{"name", "args"}` that a checkpoint carries.

A model is a latent stage (ordinary torch, once per LR pixel) that ends in fields, and the name of a render family.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .base import Decoder
from .diif import DIIF
from .dlte import DLTE
from .liif import LIIF
from .lmciaosr import LMCiaoSR
from .lmliif import LMLIIF
from .lmlte import LMLTE
from .lte import LTE

__all__ = ["DIIF", "DLTE", "Decoder", "LIIF", "LMCiaoSR", "LMLIIF", "LMLTE", "LTE", "build_model"]

_MODELS = {model.name: model for model in (LMLIIF, LMLTE, LMCiaoSR, LIIF, LTE, DIIF, DLTE)}


def build_model(
    model_spec: Mapping[str, Any], *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Decoder:
    """Build the model that a checkpoint describes, weights freshly initialised.

    Args:
        model_spec: mapping `{"name": str, "args": mapping}` as in the authors' checkpoints; other keys play no part.
        shapes: `{parameter name: shape}` of weights that will be loaded, or None: options that args leaves out are
            derived from them, else on.

    Returns:
        Decoder, in training mode like any new module; its `spec` has every option spelt out.

    Raises:
        InputError: the spec is malformed, or a name, an option or an option's value is unknown.
    """
    if not isinstance(model_spec, Mapping) or not isinstance(model_spec.get("name"), str):
        raise InputError(f"A model spec is a mapping with a 'name' and 'args', got {model_spec!r:.80}.")
    name, args = model_spec["name"], model_spec.get("args")
    if name not in _MODELS:
        raise InputError(f"Unknown model {name!r:.60}; known models: {', '.join(_MODELS)}.")
    if not isinstance(args, Mapping):
        raise InputError(f"The args of the model '{name}' are a mapping, got {args!r:.80}.")
    known = inspect.signature(_MODELS[name]).parameters
    unknown = [key for key in args if key not in known or key == "shapes"]
    if unknown:
        known = ", ".join(key for key in known if key != "shapes")
        raise InputError(f"The model '{name}' has no option {unknown[0]!r:.60}; its options: {known}.")
    missing = [key for key, option in known.items() if option.default is option.empty and key not in args]
    if missing:
        raise InputError(f"The args of the model '{name}' lack {missing[0]!r}.")
    return _MODELS[name](**args, shapes=shapes)
