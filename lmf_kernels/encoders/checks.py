"""Checks of the arguments that a checkpoint gives an encoder: one sentence for each that cannot be used."""

import math

from ..errors import InputError

LARGEST = 4096  # of blocks, channels or pixels: a damaged file cannot keep us busy


def check_whole(what, value, least=1, most=LARGEST):
    """`value` is a whole number from `least` to `most`; `what` names it, as "EDSR's n_feats"."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{what} is a whole number from {least} to {most}, got {value!r:.40}.")


def check_number(what, value, least=-math.inf, most=math.inf):
    """`value` is a finite number from `least` to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        between = "" if (least, most) == (-math.inf, math.inf) else f" from {least} to {most}"
        raise InputError(f"{what} is a number{between}, got {value!r:.40}.")


def check_choice(what, value, choices):
    """`value` is one of a few names."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{what} is one of {', '.join(map(repr, choices))}, got {value!r:.40}.")


def check_switch(what, value):
    """`value` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{what} is true or false, got {value!r:.40}.")


def check_no_upsampling(encoder, value):
    """The decoder upsamples, so the encoder was trained without an upsampler of its own."""
    if value is not True:
        raise InputError(f"{encoder} with its own upsampler (no_upsampling: false) is no feature encoder; "
                         "give a checkpoint trained with no_upsampling: true.")
