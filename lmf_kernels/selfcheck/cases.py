"""What a self-check renders. It follows from the examples that a render family gives (`families.Family.examples`).

Random numbers come from fixed seeds, so that a check gives the same verdict every time.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..backends.call import RenderCall
from ..backends.evidence import GRADIENTS, RENDER
from ..families import FAMILIES


DTYPES = ("float32", "float16", "bfloat16")
LEAVES = ("fields", "weights", "skip")  # whose gradients are compared


class Kind(NamedTuple):
    """What is judged by itself, kernel by kernel."""

    task: str  # of backends.evidence.TASKS
    family: str
    variant: str  # of the family: what `Family.variant` calls such members
    dtype: str  # of fields, weights and skip


class Case(NamedTuple):
    """One call. Gradients: also the gradient that arrives at its output."""

    name: str
    call: RenderCall
    grad: Tensor | None = None  # like the call's output, float32
    wanted: tuple[str, ...] | None = None  # tensors whose gradients are made; None: the call is rendered


def kinds(family):
    """Every Kind of a family, given by name, rendering first. None of a family without examples."""
    variants = FAMILIES[family].examples()
    return [Kind(task, family, variant, dtype) for task in (RENDER, GRADIENTS) for variant in variants
            for dtype in DTYPES]


def _example(kind):
    """The families.Example of a Kind."""
    return FAMILIES[kind.family].examples()[kind.variant]


def numeric(kind, device):
    """The cases whose numbers are compared with the float64 reference: one a path through a kernel."""
    network, other, _ = _example(kind)
    nearest = network._replace(ensemble=False) if "ensemble" in network._fields else None
    if kind.task == GRADIENTS:
        cases = [
            _grid("x3.7", network, (3, 4), (11, 14), batch=2),
            _grid("x4, no ensemble", nearest, (5, 4), (20, 16)),
            _points("points", network, (4, 5), 150),
        ]
    else:
        cases = [
            _grid("x3.7", network, (7, 9), (25, 33), batch=2),
            _grid("x12", network, (4, 5), (48, 60)),
            _grid("x1.5", network, (16, 23), (24, 34)),
            _grid("x4, no ensemble", nearest, (6, 5), (24, 20)),
            _grid("x3, another width", other, (5, 8), (15, 24)),
            _window("x4, bytes of a window", network),
            _points("points", network, (6, 7), 200, batch=2),
        ]
    return [_drawn(draw, kind, number, device) for number, draw in enumerate(cases)
            if draw.spec is not None and not (draw.points and FAMILIES[kind.family].no_points)]


def timed(kind, device):
    """The cases that a kernel and the reference are timed on; small ones on a CPU, where only tests come."""
    network = _example(kind).network
    side, batch, count = (96, 4, 2304) if device.type == "cuda" else (12, 1, 100)
    cases = [_grid("x4", network, (side, side), (4 * side, 4 * side)),
             _points("points", network, (48, 48) if device.type == "cuda" else (6, 6), count, batch=batch)]
    return [_drawn(draw, kind, 100 + number, device) for number, draw in enumerate(cases)
            if not (draw.points and FAMILIES[kind.family].no_points)]


def precise(case):
    """The case in float64 on the CPU, from the rounded numbers that it holds."""
    tensors = {name: tensor.detach().cpu().double() for name, tensor in case.call.tensors().items()}
    call = case.call._replace(**tensors, dtype=torch.float64)
    return case._replace(call=call, grad=None if case.grad is None else case.grad.cpu().double())


# What a case is before numbers are drawn: its name, network, batch and LR size, and what else the call has.


class _Draw(NamedTuple):
    name: str
    spec: Any
    batch: int
    held: tuple[int, int]  # (h, w): the LR cells of the whole picture, or the part of the map that the fields hold
    points: int = 0
    rest: dict = {}


def _grid(name, spec, lr, size, batch=1):
    return _Draw(name, spec, batch, lr, rest={"size": size, "window": (0, 0, *size), "lr": (0, 0, *lr)})


def _window(name, spec):
    """A window of a picture, from fields that are a window of the LR map, stored as `upscale` stores a file."""
    return _Draw(name, spec, 1, (6, 7), rest={
        "size": (32, 36), "window": (8, 8, 12, 16), "lr": (1, 1, 8, 9), "epilogue": "unit", "dtype": torch.uint8,
        "layout": "nhwc"})


def _points(name, spec, lr, count, batch=1):
    return _Draw(name, spec, batch, lr, points=count)


def _drawn(draw, kind, number, device):
    """The Case of a _Draw. Weights are scaled so that activations keep their size through the layers."""
    generator = torch.Generator().manual_seed(_example(kind).seed + number)
    dtype = getattr(torch, kind.dtype)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    family, spec = FAMILIES[kind.family], draw.spec
    on, (y0, x0, *lr) = family.map_of(spec), draw.rest.get("lr", (0, 0, *draw.held))
    rows = [on.size(n) if n == whole else n for n, whole in zip(draw.held, lr)]
    covered = [on.cells(first, first + n) for first, n in zip((y0, x0), rows)]
    pixels = [min(stop, n) - max(start, 0) for (start, stop), n in zip(covered, lr)]
    fields = 0.5 * normal(draw.batch, *rows, family.field_channels(spec))
    weights = (1.5 / spec.first_width) ** 0.5 * normal(family.weight_count(spec))
    skip = torch.rand((draw.batch, spec.out_dim, *pixels), generator=generator) * 2 - 1
    queries = {}
    if draw.points:  # some of them beyond the border
        coord = torch.rand((draw.batch, draw.points, 2), generator=generator) * 2.2 - 1.1
        cell = torch.rand((draw.batch, draw.points, 2), generator=generator) * 0.1
        queries = {"coord": coord.to(device), "cell": cell.to(device)}
    tensors = (t.to(device, dtype) for t in (fields, weights, skip))
    call = RenderCall(family, spec, *tensors, **queries, **draw.rest)
    if kind.task == RENDER:
        return Case(draw.name, call)
    return Case(draw.name, call, normal(*call.output_shape()).to(device), LEAVES)
