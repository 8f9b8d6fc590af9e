"""Rendering of query points in a training step: in kernels forward and backward where both run here, else in the
family's dense form.

Where the operators' backward pass recomputes through the reference, it is slow, as is right where nothing per pixel may
be kept. A training step has few pixels and takes its gradients at once, so the dense form keeps what it needs.
"""

from .. import ops
from ..backends import RenderCall, select


def render_points(
    family,
    spec,
    fields,  # (B, h, w, C) float32
    weights,  # (weight_count,) float32
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip=None,  # (B, 3, h, w) or None
):
    """What `ops.render_points` gives, (B, Q, 3), by the family's dense form. Differentiable in fields, weights, skip.
    """
    return family.dense(spec, fields, weights, coord, cell, skip)


def render_fused(
    family,
    spec,
    fields,  # (B, h, w, C) float32
    weights,  # (weight_count,) float32
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
    skip=None,  # (B, 3, h, w) or None
):
    """As `render_points`, forward and backward in kernels where both run here, else `render_points` itself."""
    if family.no_points:
        return render_points(family, spec, fields, weights, coord, cell, skip)
    call = RenderCall(family, spec, fields, weights, skip, coord, cell, dtype=fields.dtype)
    leaves = [name for name, tensor in call.tensors().items() if tensor.requires_grad]
    for backend in (select(call).backend, select(call, wanted=leaves).backend):
        if backend is None or backend.is_fallback:
            return render_points(family, spec, fields, weights, coord, cell, skip)
    return ops.render_points(family, fields, weights, spec, coord, cell, skip=skip)
