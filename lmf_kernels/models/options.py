"""Reading a checkpoint's args: which MLP, how wide, and the options that a file may leave out."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import InputError

_LARGEST = 65536  # of any width or depth: far above every published model, and a damaged file cannot keep us busy


class RenderMLP(NamedTuple):
    """What `imnet_spec` says of a modulated render MLP."""

    hidden: int  # width of every hidden layer
    depth: int  # number of hidden (modulated) layers
    mod_scale: bool
    mod_shift: bool

    @property
    def mod_dim(self):
        """Number of modulation channels that the latent MLP gives."""
        return self.depth * self.hidden * (self.mod_scale + self.mod_shift)


def render_mlp(spec, what="imnet_spec"):
    """The render MLP of an LMF model, `{"name": "lmmlp", "args": {...}}`, checked; what: the option's name.

    `mod_up_merge` plays no part: the authors' LM-LIIF and LM-LTE set it to false whatever a checkpoint says.
    """
    args = _args(spec, what, "lmmlp", ("in_dim", "out_dim", "hidden_dim", "hidden_depth", "mod_scale", "mod_shift",
                                       "mod_up_merge", "use_conv"))
    return RenderMLP(
        whole(args.get("hidden_dim"), f"{what}'s hidden_dim"),
        whole(args.get("hidden_depth"), f"{what}'s hidden_depth"),
        flag(args.get("mod_scale", True), f"{what}'s mod_scale"),
        flag(args.get("mod_shift", True), f"{what}'s mod_shift"),
    )


def hidden_list(spec, what):
    """The hidden widths of a plain MLP's spec, `{"name": "mlp", "args": {"hidden_list": [...]}}`, checked."""
    args = _args(spec, what, "mlp", ("in_dim", "out_dim", "hidden_list", "use_conv"), rgb=what == "imnet_spec")
    widths = args.get("hidden_list")
    if not isinstance(widths, (list, tuple)):
        raise InputError(f"{what}'s hidden_list is a list of widths, got {widths!r:.60}.")
    return [whole(width, f"a width in {what}'s hidden_list") for width in widths]


def whole(value, what):
    """A positive whole number, or an InputError that names it."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise InputError(f"{what} is a whole number from 1 to {_LARGEST}, got {value!r:.40}.")
    return value


def even(value, what):
    """A positive even number: Fourier features come in pairs."""
    if whole(value, what) % 2:
        raise InputError(f"{what} is an even number (cosines and sines share it), got {value}.")
    return value


def positive(value, what):
    """A positive finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InputError(f"{what} is a positive number, got {value!r:.40}.")
    return value


def attention_scales(values):
    """The scales of the cross-scale attention, some of 1 to 4, as a tuple."""
    listed = isinstance(values, (list, tuple)) and values and len(set(map(repr, values))) == len(values)
    if not listed or not all(type(value) is int and 1 <= value <= 4 for value in values):
        raise InputError(f"multi_scale is a list of different whole numbers from 1 to 4, got {values!r:.40}.")
    return tuple(values)


def flag(value, what):
    """True or False, or an InputError that names the option."""
    if not isinstance(value, bool):
        raise InputError(f"{what} is true or false, got {value!r:.40}.")
    return value


def switches(given, guessed):
    """Options that may be absent (None): the value given, else the guess from the weights' shapes, else on.

    Args:
        given: {name: True | False | None}.
        guessed: {name: True | False}, only what can be derived from the shapes.
    """
    return {name: flag(guessed.get(name, True) if value is None else value, name) for name, value in given.items()}


def guess_unfold_and_cell(width, channels, extra):
    """feat_unfold and cell_decode, derived from an input width.

    Args:
        width: input width of the layer that sees the features, or None without weights.
        channels: the encoder's feature width.
        extra: further inputs that are always there.
    """
    for unfold in (True, False):
        for cell in (True, False):
            if width == channels * (9 if unfold else 1) + extra + 2 * cell:
                return {"feat_unfold": unfold, "cell_decode": cell}
    return {}


def extent(shapes, key, axis):
    """One extent of a stored weight, or None: `shapes` is {parameter name: shape} or None."""
    shape = (shapes or {}).get(key, ())
    return shape[axis] if len(shape) > axis else None


def slice_widths(coarse, fine, shapes):
    """Hidden widths of the coarse and the fine MLP of DIIF and DLTE: as given, else those of the shapes, else 256 and
    256 for each."""
    found = []
    for given, name, layers, last in ((coarse, "coarse", "imnet.layers", 0), (fine, "fine", "imnet.tail", 1)):
        if given is None:
            stored = []
            while width := extent(shapes, f"{layers}.{2 * len(stored)}.weight", 0):
                stored.append(width)
            given = stored[:len(stored) - last] or [256, 256]
        if not isinstance(given, (list, tuple)) or not given:
            raise InputError(f"{name} is a list of one or more widths, got {given!r:.60}.")
        found.append([whole(width, f"a width in {name}") for width in given])
    return found


def _args(spec, what, name, known, rgb=True):
    """The args of an MLP spec whose name and keys are right."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("args"), Mapping):
        raise InputError(f"{what} is a mapping with 'name' and 'args', got {spec!r:.60}.")
    if spec.get("name") != name:
        raise InputError(f"{what} names the network {spec.get('name')!r:.40}; this model takes '{name}'.")
    args = spec["args"]
    unknown = [key for key in args if key not in known]
    if unknown:
        raise InputError(f"{what} has the unknown option {unknown[0]!r:.40}; known: {', '.join(known)}.")
    if args.get("use_conv"):
        raise InputError(f"{what} asks for use_conv; only the linear form is supported.")
    if rgb and args.get("out_dim", 3) != 3:
        raise InputError(f"{what}'s out_dim is 3 (red, green, blue), got {args['out_dim']!r:.40}.")
    return args
