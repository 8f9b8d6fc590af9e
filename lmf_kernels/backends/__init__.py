"""Backends implement render families, never models. Each says in words why it cannot run a call."""

from .call import RenderCall, validate
from .choice import BACKENDS, choose, choose_backward, describe, explain, requested, use_backend

__all__ = ["BACKENDS", "RenderCall", "choose", "choose_backward", "describe", "explain", "requested", "use_backend",
           "validate"]
