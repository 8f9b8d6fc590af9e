"""The render families: how pixels are computed from fields. One file per family, one object each.

Models name their family. Everything else (operators, tiling, backends, training, benchmarks) asks the object and never
which family it is. docs/extending.md lists what a new family needs.
"""

from ..errors import InputError
from .c2f_mlp import C2F_MLP, C2FSpec
from .interface import Example, Family
from .modulated_mlp import MODULATED_MLP
from .plain_mlp import PLAIN_MLP
from .render_spec import RenderSpec

__all__ = ["C2F_MLP", "C2FSpec", "Example", "FAMILIES", "Family", "MODULATED_MLP", "PLAIN_MLP", "RenderSpec", "register"]

FAMILIES = {family.name: family for family in (MODULATED_MLP, PLAIN_MLP, C2F_MLP)}


def register(family):
    """Make a family known under its name. `ops.register_family` also makes its operators.

    Raises:
        InputError: another family has that name.
    """
    if FAMILIES.setdefault(family.name, family) is not family:
        raise InputError(f"There is a render family {family.name!r} already: give the new one another name.")
