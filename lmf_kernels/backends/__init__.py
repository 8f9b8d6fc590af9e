"""Backends implement render families, never models. Each says why it cannot run a call."""

from .call import RenderCall, validate
from .dispatch import (
    BACKENDS, choose, choose_backward, describe, explain, register_backend, requested, select, use_backend)
from .interface import Backend, KernelBackend

__all__ = ["BACKENDS", "Backend", "KernelBackend", "RenderCall", "choose", "choose_backward", "describe", "explain",
           "register_backend", "requested", "select", "use_backend", "validate"]
