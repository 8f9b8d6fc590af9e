"""The operators torch sees, one pair a render family, and the parameters they take."""

from ..spec import RenderSpec, pack_weights
from .modulated_mlp import modulated_mlp, modulated_mlp_points
from .plain_mlp import plain_mlp, plain_mlp_points

__all__ = ["RenderSpec", "modulated_mlp", "modulated_mlp_points", "pack_weights", "plain_mlp", "plain_mlp_points"]
