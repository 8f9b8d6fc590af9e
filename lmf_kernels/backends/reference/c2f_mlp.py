"""`python_ref.c2f_mlp` behind the backend interface."""

from python_ref import slices
from python_ref.c2f_mlp import render

from .pieces import Kernel


def _slices(call, window):
    spec = call.spec
    return slices.grid_slices(
        call.lr[2:], call.size, slicing=spec.slicing, ensemble=spec.slice_ensemble, limit_cell=spec.limit_cell,
        cell=None if call.grid_cell is None else call.rel_cell, window=window, lr_origin=call.lr[:2],
        dtype=call.fields.dtype, device=call.fields.device)


kernel = Kernel(render, _slices)
can_run, run = kernel.can_run, kernel.run
can_differentiate, gradients = kernel.can_differentiate, kernel.gradients
