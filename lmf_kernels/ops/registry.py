"""Registers a render family with torch: schema, implementation, fake, autograd and autocast.

A family has a grid operator, a points operator where it renders points, and the backward operator of each. The backward
operator recomputes, so that nothing per HR pixel is saved and torch.compile sees two opaque calls; it gets which
gradients are wanted and computes no others. Which backend runs is decided inside the implementation, for each of the
two separately: `use_backend` and LMF_KERNELS_BACKEND count when the forward operator runs, also for its gradients; in a
compiled graph each counts when the operator itself runs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch import library as torch_library

from .. import families
from ..backends import RenderCall, choose_backward, requested
from ..backends.call import validate_devices
from ..backends.dispatch import check_name
from ..backends.plan import plan_of, render
from ..errors import InputError
from . import arguments, transforms

_GRID = ("Tensor fields, Tensor weights, Tensor? skip, SymInt[] size, SymInt[] window, SymInt[] lr, float[]? cell, "
         "{spec}, str epilogue, ScalarType dtype, str layout, str backend")
_POINTS = "Tensor fields, Tensor weights, Tensor? skip, Tensor coord, Tensor cell, {spec}, str backend"
_TENSORS = {"grid": {"fields": 4, "weights": 1, "skip": 4}}  # {kind: {name: dimensions}}, the leading arguments
_TENSORS["points"] = {**_TENSORS["grid"], "coord": 3, "cell": 3}


class _Operators(NamedTuple):
    """Those of a family, as torch's dispatcher calls them."""

    grid: Any
    points: Any  # None where the family renders no points


library = torch_library.Library("lmf_kernels", "DEF")
_operators = {}  # family name: _Operators


def register_family(family: families.Family) -> None:
    """Make a `families.Family` known, with the operators `lmf_kernels::<name>` and `lmf_kernels::<name>_points`.

    Raises:
        InputError: another family has that name.
    """
    families.register(family)
    if family.name not in _operators:
        _operators[family.name] = _Operators(
            _define(family, "grid"), None if family.no_points else _define(family, "points"))


def _points_call(family, spec, fields, weights, skip, coord, cell):
    return RenderCall(family, spec, fields, weights, skip, coord, cell,
                      dtype=torch.promote_types(fields.dtype, torch.float32))


def _call_of_grid(family, fields, weights, skip, size, window, lr, cell, *rest):
    """The RenderCall of a grid operator's arguments."""
    *spec, epilogue, dtype, layout, _ = rest
    return RenderCall(family, family.spec_of(spec), fields, weights, skip, None, None, tuple(size), tuple(window),
                      tuple(lr), None if cell is None else tuple(cell), epilogue, dtype, layout)


def _call_of_points(family, fields, weights, skip, coord, cell, *rest):
    """The RenderCall of a points operator's arguments."""
    *spec, _ = rest
    return _points_call(family, family.spec_of(spec), fields, weights, skip, coord, cell)


def _gradients(call, grad, wanted, backend):
    """The gradients of the tensors named in `wanted`, in their order."""
    shape = plan_of(call, requested(backend)).shape
    if grad.shape != shape or grad.dtype != call.dtype or grad.device != call.fields.device:
        raise InputError(f"a gradient of shape {tuple(grad.shape)}, {grad.dtype} on {grad.device} does not fit the "
                         f"output: pass {tuple(shape)}, {call.dtype} on {call.fields.device}.")
    if 0 in shape:
        tensors = call.tensors()
        return [torch.zeros_like(tensors[name], memory_format=torch.contiguous_format) for name in wanted]
    return choose_backward(call, wanted, backend).gradients(call, grad, wanted)


def _define(family, kind):
    """Define the operator of a kind, and its backward operator; returns the first."""
    name = family.name if kind == "grid" else f"{family.name}_points"
    schema = (_GRID if kind == "grid" else _POINTS).format(spec=family.spec_schema())
    make_call = _call_of_grid if kind == "grid" else _call_of_points
    tensors = len(_TENSORS[kind])
    library.define(f"{name}({schema}) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
    library.define(f"{name}_backward(Tensor grad, bool[] wanted, {schema}) -> Tensor[]",
                   tags=torch.Tag.pt2_compliant_tag)

    def forward(*args):
        return render(make_call(family, *args), args[-1])

    def backward(grad, wanted, *args):
        names = tuple(name for name, needed in zip(_TENSORS[kind], wanted) if needed)
        return _gradients(make_call(family, *args), grad, names, args[-1])

    def fake(*args):
        call = make_call(family, *args)
        validate_devices(call)
        return call.fields.new_empty(call.output_shape(), dtype=call.dtype)

    def fake_backward(grad, wanted, *args):
        return [torch.empty_like(t, memory_format=torch.contiguous_format) for t, w in zip(args, wanted) if w]

    def refuse(ctx, *grads):
        raise InputError(f"{family.name} has no second derivatives: {family.instead()} where a gradient penalty or a "
                         "Hessian is needed.")

    def save(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:tensors])
        *rest, backend = inputs[tensors:]
        if type(inputs[0]) in arguments.EAGER:
            # A CUDA tensor's backward runs in a thread that no `use_backend` reaches.
            backend = requested(backend)
        ctx.rest = (*rest, backend)

    def differentiate(ctx, grad):
        wanted = list(ctx.needs_input_grad[:tensors])
        found = iter(getattr(torch.ops.lmf_kernels, f"{name}_backward")(grad, wanted, *ctx.saved_tensors, *ctx.rest))
        return (*(next(found) if w else None for w in wanted), *(None for _ in ctx.rest))

    for device in ("CPU", "CUDA"):
        library.impl(name, forward, device)
        library.impl(f"{name}_backward", backward, device)
    qualified = f"lmf_kernels::{name}"
    torch_library.register_fake(qualified, fake, lib=library)
    torch_library.register_fake(f"{qualified}_backward", fake_backward, lib=library)
    torch_library.register_autograd(qualified, differentiate, setup_context=save, lib=library)
    torch_library.register_autograd(f"{qualified}_backward", refuse, lib=library)  # else they would be zero, silently
    for device in ("cpu", "cuda"):  # coordinates and modulations need float32: half the mantissa would move pixels
        torch_library.register_autocast(qualified, device, torch.float32, lib=library)
    return getattr(torch.ops.lmf_kernels, name).default


def _ordinary(kind, fields, weights, skip, *points):
    """Whether the tensors of a call are `arguments.ordinary`. Raises InputError where others are not dense tensors with
    the right number of dimensions."""
    if arguments.ordinary((fields, weights, *points)) and (skip is None or arguments.ordinary((skip,))):
        if fields.dim() == 4:
            return True
    for tensor, (name, dims) in zip((fields, weights, skip, *points), _TENSORS[kind].items()):
        if tensor is not None or name != "skip":
            arguments.check_tensor(name, tensor, dims)
    return False


def _for_autograd(family, tensors, ordinary):
    """Whether autograd, or what traces or transforms a program before it, has to see a call."""
    return (not ordinary and torch.compiler.is_compiling() or transforms.under_way(family, tensors)
            or torch.is_grad_enabled() and torch._C._any_requires_grad(*tensors))


def _nobody_watches():
    """Whether nothing (a mode, autocast, tracing, the profiler) wants to see calls of operators. With ordinary tensors
    torch's dispatcher would then only hand the arguments on, and it is left out: it takes most of a small call's time.
    """
    return not (torch._C._len_torch_dispatch_stack() or torch._C._is_any_autocast_enabled()
                or torch._C._get_tracing_state() is not None or torch._C._autograd._profiler_enabled())


def _dispatch(operator, for_autograd, *args):
    """Run an operator through torch's dispatcher."""
    if for_autograd:
        return operator(*args)
    with torch._C._AutoDispatchBelowAutograd():  # as torch's own autograd of operators does
        return operator(*args)


def render_grid(
    family: families.Family,
    fields: Tensor,  # (B, rows, cols, C) float
    weights: Tensor,  # (weight_count,) float
    spec: Any,
    size: tuple[int, int],
    *,
    skip: Tensor | None = None,  # (B, out_dim, h, w) float
    cell: tuple[float, float] | None = None,
    window: tuple[int, int, int, int] | None = None,
    lr_size: tuple[int, int] | None = None,
    lr_origin: tuple[int, int] = (0, 0),
    epilogue: str = "none",
    dtype: torch.dtype = torch.float32,
    layout: str = "nchw",
    backend: str = "auto",
) -> Tensor:
    """Render a grid of pixels with the operator of a `families.Family`. See `ops.modulated_mlp` for the arguments.

    lr_size: may be left out only where the fields are on cells, one per LR pixel.
    """
    tensors = (fields, weights, skip)
    ordinary = _ordinary("grid", *tensors)
    arguments.options(family, spec, epilogue, dtype, layout)
    height, width = arguments.whole_numbers("size", size, 2)
    window = (0, 0, height, width) if window is None else arguments.whole_numbers("window", window, 4)
    if lr_size is None and family.map_of(spec).size(1) != 1:
        raise InputError(f"the fields of {family.name} do not lie on LR cells: pass lr_size, the picture's (h, w).")
    lr_size = (fields.shape[1], fields.shape[2]) if lr_size is None else arguments.whole_numbers("lr_size", lr_size, 2)
    lr = (*arguments.whole_numbers("lr_origin", lr_origin, 2), *lr_size)
    cell, backend = arguments.cell_pair(cell), check_name(backend)
    for_autograd = _for_autograd(family, tensors, ordinary)
    if ordinary and not for_autograd and _nobody_watches():
        return render(RenderCall(family, spec, fields, weights, skip, None, None, (height, width), window, lr, cell,
                                 epilogue, dtype, layout), backend)
    return _dispatch(_operators[family.name].grid, for_autograd, *tensors, (height, width), window, lr, cell, *spec,
                     epilogue, dtype, layout, backend)


def render_points(
    family: families.Family,
    fields: Tensor,  # (B, rows, cols, C) float
    weights: Tensor,  # (weight_count,) float
    spec: Any,
    coord: Tensor,  # (B, Q, 2) float, (y, x) in [-1, 1]
    cell: Tensor,  # (B, Q, 2) float
    *,
    skip: Tensor | None = None,  # (B, out_dim, h, w) float
    backend: str = "auto",
) -> Tensor:
    """Render free query points with the operator of a `families.Family`. See `ops.modulated_mlp_points`.

    Raises InputError also where the family renders no points.
    """
    if family.no_points:
        raise InputError(f"{family.name} renders no free query points: {family.no_points}.")
    tensors = (fields, weights, skip, coord, cell)
    ordinary = _ordinary("points", *tensors)
    arguments.options(family, spec, "none", torch.float32, "nchw")
    backend, for_autograd = check_name(backend), _for_autograd(family, tensors, ordinary)
    if ordinary and not for_autograd and _nobody_watches():
        return render(_points_call(family, spec, *tensors), backend)
    return _dispatch(_operators[family.name].points, for_autograd, *tensors, *spec, backend)


for _family in families.FAMILIES.values():
    register_family(_family)
