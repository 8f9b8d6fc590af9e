"""Runs `python_ref` over a call in pieces of bounded size, and differentiates it by recomputation."""

import torch
from python_ref import geometry, heads

from ...spec import unpack_weights

PIXELS_AT_ONCE = 1 << 16  # keeps the gathered parameters of a piece near 100 MB
GPU_FACTOR = 8  # so many times that on a GPU: launching a small piece's operators takes longer than running them


def pixels_at_once(on_cpu):
    """Output pixels of a piece in a forward pass, whole rows apart. A backward pass, which keeps every activation, has
    PIXELS_AT_ONCE everywhere."""
    return PIXELS_AT_ONCE * (1 if on_cpu else GPU_FACTOR)


def can_run(call):
    """None: the reference runs everything."""
    return None


def parts(family, spec, weights):
    """(head, layers, out) as python_ref takes them; layers are W or (W, b), out is (W, b)."""
    pieces = unpack_weights(family, spec, weights)
    n_head = 2 if spec.head == "linear" else 1
    matrices = [p.t() for p in pieces[:n_head]]
    head = heads.LinearHead(*matrices) if spec.head == "linear" else heads.FourierHead(*matrices)
    rest = pieces[n_head:]
    if family == "modulated_mlp":
        return head, [w.t() for w in rest[:-2]], (rest[-2].t(), rest[-1])
    pairs = [(w.t(), b) for w, b in zip(rest[::2], rest[1::2])]
    return (head, pairs[:-1], pairs[-1]) if pairs else (head, [], None)


def _pieces(call, at_once):
    """Queries of the call, `at_once` pixels each or a row, with the slice of the output they fill."""
    if call.on_grid:
        y0, x0, rows, cols = call.window
        step = max(1, at_once // max(1, cols * call.fields.shape[0]))
        for row in range(0, rows, step):
            count = min(step, rows - row)
            yield slice(row, row + count), geometry.grid_queries(
                call.lr[2:], call.size, ensemble=call.spec.ensemble, rel_cell=call.rel_cell,
                window=(y0 + row, x0, count, cols), lr_origin=call.lr[:2],
                dtype=call.fields.dtype, device=call.fields.device)
    else:
        step = max(1, at_once // max(1, call.fields.shape[0]))
        for start in range(0, call.coord.shape[1], step):
            piece = slice(start, start + step)
            yield piece, geometry.point_queries(
                call.coord[:, piece], call.cell[:, piece], call.fields.shape[1:3], ensemble=call.spec.ensemble)


def _finish(call, values):
    """Values (B, ..., 3) as the call wants them stored."""
    if call.finish == "unit":
        values = (values * 0.5 + 0.5).clamp(0, 1)
    if call.dtype == torch.uint8:
        values = (values * 255).round()
    if call.on_grid and call.layout == "nchw":
        values = values.permute(0, 3, 1, 2)
    return values.to(call.dtype)


def _piece_of(call, out, piece):
    return out[:, :, piece] if call.on_grid and call.layout == "nchw" else out[:, piece]


def run(call, render):
    """The call's result. render: `python_ref.<family>.render`."""
    out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
    head, layers, last = parts(call.family, call.spec, call.weights)
    for piece, queries in _pieces(call, pixels_at_once(not call.fields.is_cuda)):
        values = render(call.fields, head, layers, last, queries, skip=call.skip)
        _piece_of(call, out, piece).copy_(_finish(call, values))
    return out


def gradients(
    call,
    grad,  # like the call's output
    wanted,
    render,
):
    """Gradients of the tensors named in `wanted`, in their order. By recomputation.

    In the tensors' own precision, whatever autocast says; and recorded also where torch has switched its autograd keys
    off, as it does below a dispatch mode (a FLOP counter, say).
    """
    recording = torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False)
    with recording, torch.autocast(call.fields.device.type, enabled=False), torch.enable_grad():
        leaves = {name: t.detach().requires_grad_(name in wanted) for name, t in call.tensors().items()}
        live = call._replace(**leaves)
        targets = [leaves[name] for name in wanted]
        totals = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in targets]
        for piece, queries in _pieces(live, PIXELS_AT_ONCE):
            head, layers, last = parts(live.family, live.spec, live.weights)
            values = _finish(live, render(live.fields, head, layers, last, queries, skip=live.skip))
            found = torch.autograd.grad(values, targets, _piece_of(call, grad, piece), allow_unused=True)
            for total, g in zip(totals, found):
                if g is not None:
                    total += g
    return totals
