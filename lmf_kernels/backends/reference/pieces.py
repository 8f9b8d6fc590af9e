"""Runs `python_ref` over a call in pieces of bounded size, and differentiates it by recomputation."""

import torch
from python_ref import geometry

PIXELS_AT_ONCE = 1 << 16  # keeps the gathered parameters of a piece near 100 MB
GPU_FACTOR = 8  # times that on a GPU, where launching the operators of a small piece takes longer than running them


def pixels_at_once(device):
    """Output pixels of a piece in a forward pass, or one row if that is more. A backward pass, which keeps every
    activation, has PIXELS_AT_ONCE on every device."""
    return PIXELS_AT_ONCE * (1 if device.type == "cpu" else GPU_FACTOR)


def _ensemble_queries(call, window):
    """The queries of a window of the call's grid, read by the local ensemble or from the nearest cell."""
    return geometry.grid_queries(
        call.lr[2:], call.size, ensemble=call.spec.ensemble, rel_cell=call.rel_cell, window=window,
        lr_origin=call.lr[:2], dtype=call.fields.dtype, device=call.fields.device)


def _pieces(call, at_once, grid_queries):
    """Queries of the call, `at_once` pixels each or a row, with the slice of the output they fill."""
    if call.on_grid:
        y0, x0, rows, cols = call.window
        step = max(1, at_once // max(1, cols * call.fields.shape[0]))
        for row in range(0, rows, step):
            count = min(step, rows - row)
            yield slice(row, row + count), grid_queries(call, (y0 + row, x0, count, cols))
    else:
        step = max(1, at_once // max(1, call.fields.shape[0]))
        for start in range(0, call.coord.shape[1], step):
            piece = slice(start, start + step)
            yield piece, geometry.point_queries(
                call.coord[:, piece], call.cell[:, piece], call.fields.shape[1:3], ensemble=call.spec.ensemble)


def _epilogue(call, values):
    """Values (B, ..., 3) as the call wants them stored."""
    if call.epilogue == "unit":
        values = (values * 0.5 + 0.5).clamp(0, 1)
    if call.dtype == torch.uint8:
        values = (values * 255).round()
    if call.on_grid and call.layout == "nchw":
        values = values.permute(0, 3, 1, 2)
    return values.to(call.dtype)


def _piece_of(call, out, piece):
    return out[:, :, piece] if call.on_grid and call.layout == "nchw" else out[:, piece]


class Kernel:
    """A family on the reference, in the form of a backend's kernel module.

    Args:
        render: `python_ref.<family>.render`.
        grid_queries: (call, window) to the queries that `render` takes for a window of the call's grid.
    """

    def __init__(self, render, grid_queries=_ensemble_queries):
        self._render, self._grid_queries = render, grid_queries

    def can_run(self, call):
        """None: the reference runs everything."""
        return None

    def can_differentiate(self, call, wanted):
        """None: it differentiates everything."""
        return None

    def run(self, call):
        """The call's result."""
        out = torch.empty(call.output_shape(), dtype=call.dtype, device=call.fields.device)
        matrices = call.family.matrices(call.spec, call.weights)
        for piece, queries in _pieces(call, pixels_at_once(call.fields.device), self._grid_queries):
            values = self._render(call.fields, *matrices, queries, skip=call.skip)
            _piece_of(call, out, piece).copy_(_epilogue(call, values))
        return out

    def gradients(
        self,
        call,
        grad,  # like the call's output
        wanted,
    ):
        """Gradients of the tensors named in `wanted`, in their order. By recomputation.

        In the tensors' own precision, regardless of autocast, and recorded also where torch has switched its autograd
        keys off, as it does below a dispatch mode (a FLOP counter, for example).
        """
        recording = torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False)
        with recording, torch.autocast(call.fields.device.type, enabled=False), torch.enable_grad():
            leaves = {name: t.detach().requires_grad_(name in wanted) for name, t in call.tensors().items()}
            live = call._replace(**leaves)
            targets = [leaves[name] for name in wanted]
            totals = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in targets]
            for piece, queries in _pieces(live, PIXELS_AT_ONCE, self._grid_queries):
                matrices = live.family.matrices(live.spec, live.weights)
                values = _epilogue(live, self._render(live.fields, *matrices, queries, skip=live.skip))
                found = torch.autograd.grad(values, targets, _piece_of(call, grad, piece), allow_unused=True)
                for total, g in zip(totals, found):
                    if g is not None:
                        total += g
        return totals
