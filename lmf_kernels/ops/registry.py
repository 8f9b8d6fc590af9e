"""Registers a render family with torch: schema, implementation, fake, autograd and autocast, once for all families.

Each family has a grid operator, a points operator and the backward of each. The backward is an operator of its own
that recomputes, so that nothing per HR pixel is saved and torch.compile sees two opaque calls; it is told which
gradients are wanted and makes no others. Which backend runs is settled inside the implementation, for each of the two
by itself: `use_backend` and LMF_KERNELS_BACKEND count when the forward operator runs, also for its gradients; in a
compiled graph each counts when the operator itself runs.
"""

import torch

from ..backends import RenderCall, choose, choose_backward, requested, validate
from ..backends.call import validate_devices
from ..backends.choice import check_name
from ..errors import InputError
from ..spec import RenderSpec
from . import arguments, transforms

_SPEC = "str head, int in_dim, int[] widths, int out_dim, bool ensemble"
_GRID = ("Tensor fields, Tensor weights, Tensor? skip, SymInt[] size, SymInt[] window, SymInt[] lr, float[]? cell, "
         f"{_SPEC}, str finish, ScalarType dtype, str layout, str backend")
_POINTS = f"Tensor fields, Tensor weights, Tensor? skip, Tensor coord, Tensor cell, {_SPEC}, str backend"
_EAGER = (torch.Tensor, torch.nn.Parameter)  # and not what stands for a tensor while torch traces
_TENSORS = {"grid": ("fields", "weights", "skip"), "points": ("fields", "weights", "skip", "coord", "cell")}

library = torch.library.Library("lmf_kernels", "DEF")


def grid_call(family, fields, weights, skip, size, window, lr, cell, head, in_dim, widths, out_dim, ensemble, finish,
              dtype, layout, backend):
    """The RenderCall of a grid operator's arguments."""
    return RenderCall(
        family, RenderSpec(head, in_dim, tuple(widths), ensemble, out_dim), fields, weights, skip, None, None,
        tuple(size), tuple(window), tuple(lr), None if cell is None else tuple(cell), finish, dtype, layout)


def points_call(family, fields, weights, skip, coord, cell, head, in_dim, widths, out_dim, ensemble, backend):
    """The RenderCall of a points operator's arguments."""
    return RenderCall(family, RenderSpec(head, in_dim, tuple(widths), ensemble, out_dim), fields, weights, skip, coord,
                      cell, dtype=torch.promote_types(fields.dtype, torch.float32))


def _run(call, backend):
    validate(call)
    if 0 in call.output_shape():
        return torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    return choose(call, backend).run(call)


def _gradients(call, grad, wanted, backend):
    """The gradients of the tensors named in `wanted`, in their order."""
    validate(call)
    if grad.shape != call.output_shape() or grad.dtype != call.dtype or grad.device != call.fields.device:
        raise InputError(f"a gradient of shape {tuple(grad.shape)}, {grad.dtype} on {grad.device} does not fit the "
                         f"output: pass {tuple(call.output_shape())}, {call.dtype} on {call.fields.device}.")
    if 0 in call.output_shape():
        tensors = call.tensors()
        return [torch.zeros_like(tensors[name], memory_format=torch.contiguous_format) for name in wanted]
    return choose_backward(call, wanted, backend).gradients(call, grad, wanted)


def _define(name, schema, kind, family, make_call):
    names = _TENSORS[kind]  # of the leading arguments
    tensors = len(names)
    library.define(f"{name}({schema}) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
    library.define(f"{name}_backward(Tensor grad, bool[] wanted, {schema}) -> Tensor[]",
                   tags=torch.Tag.pt2_compliant_tag)

    def forward(*args):
        return _run(make_call(family, *args), args[-1])

    def backward(grad, wanted, *args):
        return _gradients(make_call(family, *args), grad, tuple(n for n, w in zip(names, wanted) if w), args[-1])

    def fake(*args):
        call = make_call(family, *args)
        validate_devices(call)
        return call.fields.new_empty(call.output_shape(), dtype=call.dtype)

    def fake_backward(grad, wanted, *args):
        return [torch.empty_like(t, memory_format=torch.contiguous_format) for t, w in zip(args, wanted) if w]

    def refuse(ctx, *grads):
        raise InputError(f"{family} has no second derivatives: call python_ref.{family}.render itself where a gradient "
                         "penalty or a Hessian is needed.")

    def save(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:tensors])
        *rest, backend = inputs[tensors:]
        if type(inputs[0]) in _EAGER:  # a CUDA tensor's backward runs in a thread that no `use_backend` reaches
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
    torch.library.register_fake(qualified, fake, lib=library)
    torch.library.register_fake(f"{qualified}_backward", fake_backward, lib=library)
    torch.library.register_autograd(qualified, differentiate, setup_context=save, lib=library)
    torch.library.register_autograd(f"{qualified}_backward", refuse, lib=library)  # else they would be zero, silently
    for device in ("cpu", "cuda"):  # coordinates and FiLM are float32: half the mantissa would move pixels
        torch.library.register_autocast(qualified, device, torch.float32, lib=library)


def define_family(family):
    """Register `lmf_kernels::<family>` and `lmf_kernels::<family>_points`; return the two operators."""
    _define(family, _GRID, "grid", family, grid_call)
    _define(f"{family}_points", _POINTS, "points", family, points_call)
    return getattr(torch.ops.lmf_kernels, family).default, getattr(torch.ops.lmf_kernels, f"{family}_points").default


def _call(operator, tensors, *rest):
    """Run an operator; past torch's autograd, which costs a third of a call, where no gradient is recorded."""
    if (torch.compiler.is_compiling() or transforms.under_way(operator, tensors)
            or torch.is_grad_enabled() and torch._C._any_requires_grad(*tensors)):
        return operator(*tensors, *rest)
    with torch._C._AutoDispatchBelowAutograd():  # as torch.library's own autograd does
        return operator(*tensors, *rest)


def call_grid(operator, fields, weights, spec, size, skip, cell, window, lr_size, lr_origin, finish, dtype, layout,
              backend):
    """Check the arguments, fill in what a grid call leaves out, and run the operator."""
    arguments.tensor("fields", fields, 4)
    arguments.tensor("weights", weights, 1)
    if skip is not None:
        arguments.tensor("skip", skip, 4)
    arguments.words(spec, finish, dtype, layout)
    height, width = arguments.whole_numbers("size", size, 2)
    window = (0, 0, height, width) if window is None else arguments.whole_numbers("window", window, 4)
    lr_size = (fields.shape[1], fields.shape[2]) if lr_size is None else arguments.whole_numbers("lr_size", lr_size, 2)
    lr_origin = arguments.whole_numbers("lr_origin", lr_origin, 2)
    head, in_dim, widths, ensemble, out_dim = spec
    return _call(operator, (fields, weights, skip), (height, width), window, (*lr_origin, *lr_size),
                 arguments.cell_pair(cell), head, in_dim, widths, out_dim, ensemble, finish, dtype, layout,
                 check_name(backend))


def call_points(operator, fields, weights, spec, coord, cell, skip, backend):
    """Check the arguments and run a points operator."""
    for name, value, dims in (("fields", fields, 4), ("weights", weights, 1), ("coord", coord, 3), ("cell", cell, 3)):
        arguments.tensor(name, value, dims)
    if skip is not None:
        arguments.tensor("skip", skip, 4)
    arguments.words(spec, "none", torch.float32, "nchw")
    head, in_dim, widths, ensemble, out_dim = spec
    return _call(operator, (fields, weights, skip, coord, cell), head, in_dim, widths, out_dim, ensemble,
                 check_name(backend))
