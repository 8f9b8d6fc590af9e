"""`python_ref.modulated_mlp` behind the backend interface."""

from functools import partial

from python_ref.modulated_mlp import render

from . import common

can_run = common.can_run
run = partial(common.run, render=render)
gradients = partial(common.gradients, render=render)
