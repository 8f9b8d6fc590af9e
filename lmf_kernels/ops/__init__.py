"""The operators that torch sees, a grid and a points operator per render family, and the parameters they take."""

from ..families import C2FSpec, RenderSpec
from .c2f_mlp import c2f_mlp
from .cells import render_cells
from .modulated_mlp import modulated_mlp, modulated_mlp_points
from .plain_mlp import plain_mlp, plain_mlp_points
from .registry import register_family, render_grid, render_points

__all__ = ["C2FSpec", "RenderSpec", "c2f_mlp", "modulated_mlp", "modulated_mlp_points", "plain_mlp", "plain_mlp_points",
           "register_family", "render_cells", "render_grid", "render_points"]
