"""What a user may give as `cmsr`, and what it comes to for a model."""

import os
from collections.abc import Mapping

import torch

from .. import built_in
from ..errors import InputError
from .render import Rendering
from .table import Tables, checked, read_tables

PRECISION = 2e-5  # of "auto", the authors' default


class CMSR:
    """Multi-scale rendering by given tables, and a count of the work that it left.

        cmsr = lmf_kernels.CMSR("table.yaml")
        picture = lmf_kernels.upscale(model, image, 12, cmsr=cmsr)
        print(f"{cmsr.share:.0%} of the full-rate queries were rendered")

    Args:
        tables: a YAML file of `lmf-kernels cmsr` or of the authors' code, or {output scale: {decode scale:
            threshold}}.

    Raises:
        InputError: the file cannot be read, or these are no tables.
    """

    def __init__(self, tables: Tables | str | os.PathLike[str]) -> None:
        self.tables = checked(tables) if isinstance(tables, Mapping) else read_tables(tables)
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self._rendered, self._full = 0, 0

    @property
    def share(self) -> float | None:
        """The share of the full-rate queries that was rendered since the start or `reset`: a cell decoded at scale s of
        S counts (s / S)^2. None: CMSR has done nothing, because no output was above x4."""
        return float(self._rendered) / self._full if self._full else None

    def rendering(self, model, lr_size, size):
        """The Rendering of an (h, w) picture at (H, W), or None where CMSR does nothing: up to x4."""
        if torch.compiler.is_compiling():
            raise InputError("CMSR depends on the picture's values, which torch.compile does not know; leave cmsr out "
                             "there.")
        found = Rendering(model, self.tables, lr_size, size, self._count)
        return None if found.is_full else found

    def _count(self, rendered, full):
        self._rendered, self._full = self._rendered + rendered, self._full + full


Multiscale = CMSR | Tables | str | os.PathLike[str] | float | None  # what users may give as `cmsr`


def resolve(cmsr, model):
    """The CMSR of what a user gave, None for None.

    Args:
        cmsr: None, a CMSR, tables, a file, a precision such as 2e-5 (of a table that ships with the model), or "auto"
            for that of 2e-5.

    Raises:
        InputError: it is none of these, the file is no table, no such table ships, or the model has no modulations.
    """
    if cmsr is None:
        return None
    _check_model(model)
    if isinstance(cmsr, CMSR):
        return cmsr
    if isinstance(cmsr, Mapping):
        return CMSR(cmsr)
    precision = PRECISION if isinstance(cmsr, str) and cmsr == "auto" else _number(cmsr)
    if precision is not None:
        return CMSR(_shipped(model, precision))
    if not isinstance(cmsr, (str, os.PathLike)):
        raise InputError("cmsr is 'auto', a precision such as 2e-5, a table's file, a table or a CMSR, got "
                         f"{cmsr!r:.40}.")
    return CMSR(cmsr)


def _check_model(model):
    model.modulation_intensity(next(model.parameters()).new_zeros(1, 1, 1, model.family.field_channels(
        model.render_spec)))


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _shipped(model, precision):
    """The file of a table that ships with a model."""
    tables = built_in.cmsr_tables(model.built_in)
    if not tables:
        raise InputError("Tables ship with the built-in models only; make one with `lmf-kernels cmsr` and give its "
                         "file.")
    if precision not in tables:
        raise InputError(f"No table of precision {precision:g} ships with {model.built_in}; there are "
                         f"{', '.join(f'{known:g}' for known in sorted(tables))}.")
    return tables[precision]
