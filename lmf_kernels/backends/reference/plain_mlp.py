"""`python_ref.plain_mlp` behind the backend interface."""

from python_ref.plain_mlp import render

from .pieces import Kernel

kernel = Kernel(render)
can_run, run = kernel.can_run, kernel.run
can_differentiate, gradients = kernel.can_differentiate, kernel.gradients
