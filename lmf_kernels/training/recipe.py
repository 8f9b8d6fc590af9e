"""The recipe of a run: every number that shapes it, checked; and the learning rate over its time."""

import math
import numbers
from dataclasses import asdict, dataclass, fields

from ..errors import InputError

PRECISIONS = ("fp32", "bf16")

# Smallest and largest value of every number in a recipe.
_RANGES = {
    "batch": (1, 65536), "patch": (4, 4096), "queries": (1, 2 ** 24), "max_scale": (1, 30), "shrink": (1, 16),
    "lr": (1e-8, 1), "warm_up": (0, 0.5), "clip": (1e-6, 1e6), "ema": (0, 0.999999), "seed": (0, 2 ** 31 - 1),
    "consistency": (0, 1e4),
    **dict.fromkeys(("graphics", "patterns", "box", "bilinear", "lanczos", "nearest", "compression", "noise"), (0, 1)),
}
# Shares of one whole: what they leave goes to the first named.
_WHOLES = (("photographs", "graphics", "patterns"), ("bicubic", "box", "bilinear", "lanczos", "nearest"))


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Papers: batch 16, patch 48, queries 2304, max_scale 4, Adam at 1e-4 halved every 200 of 1000 epochs, L1. A run that
    is bounded to an hour on a CPU is better served by smaller patches and batches, a higher rate that warms up and
    falls to zero as its time runs out, and an average of the weights (EMA) as its result. Photographs from the web are
    compressed and a little soft at full size: HR patches reduced at random (`shrink`) are sharper, and more varied.

    The papers train on photographs reduced by antialiased bicubic interpolation alone. A network that has seen nothing
    else shifts the colours of pixel patterns and sharpens the blocks of JPEG: hence drawn pictures, other filters,
    compression and noise, each with a share. `Recipe(graphics=0, patterns=0, box=0, bilinear=0, lanczos=0, nearest=0,
    compression=0, noise=0, consistency=0)` is the papers' data.
    """

    batch: int = 8  # patches in a step, over all processes
    patch: int = 32  # side of an LR patch in pixels
    queries: int = 1024  # HR pixels drawn from each patch
    max_scale: float = 4.0  # a patch's scale is uniform in [1, max_scale]
    shrink: float = 3.0  # an HR patch is reduced from up to so many times its side; 1: cut as it is
    graphics: float = 0.2  # share of patches that are drawn: text, lines, shapes, gratings, user interfaces
    patterns: float = 0.15  # share that are pixel patterns: stripes, checkers, dither; the rest are photographs
    box: float = 0.15  # share of photographs and graphics whose LR patch is made by a box filter
    bilinear: float = 0.1  # by an antialiased bilinear filter
    lanczos: float = 0.1  # by a Lanczos filter
    nearest: float = 0.05  # by taking the nearest pixels; the rest by antialiased bicubic interpolation
    compression: float = 0.2  # share of photographs and graphics whose LR patch went through JPEG or WebP
    noise: float = 0.05  # share of them with a little noise
    consistency: float = 1.0  # weight of the error of a patch's mean colour in the loss
    lr: float = 1e-3  # Adam's learning rate at its peak
    warm_up: float = 0.02  # share of the time over which the rate rises from 0 to the peak
    clip: float = 1.0  # largest norm of a step's gradient; what is longer is shortened
    ema: float = 0.999  # decay of the average of the weights, a step
    precision: str = "fp32"  # of encoder and latent stage: "fp32", or "bf16" by autocast
    seed: int = 0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "precision":
                if value not in PRECISIONS:
                    raise InputError(f"precision is one of {', '.join(PRECISIONS)}, got {value!r:.40}.")
                continue
            low, high = _RANGES[field.name]
            kind, what = (numbers.Integral, "a whole number") if field.type is int else (numbers.Real, "a number")
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{field.name} is {what} from {low} to {high}, got {value!r:.40}.")
        for rest, *names in _WHOLES:
            if sum(getattr(self, name) for name in names) > 1 + 1e-9:
                raise InputError(f"The shares {' + '.join(names)} are at most 1 together, {rest} have the rest; got "
                                 f"{' + '.join(f'{getattr(self, name):g}' for name in names)}.")

    def as_dict(self):
        """Every field by name: numbers and strings only."""
        return asdict(self)

    def learning_rate(self, share):
        """The rate when this share of the time is used: 0 at 0, the peak at `warm_up`, a cosine down to 0 at 1."""
        share = min(max(share, 0.0), 1.0)
        if share < self.warm_up:
            return self.lr * share / self.warm_up
        return self.lr * 0.5 * (1 + math.cos(math.pi * (share - self.warm_up) / (1 - self.warm_up)))
