"""What a self-check renders. A new render family adds its heads to EXAMPLES; everything else follows from them.

Random numbers come from fixed seeds, so that a check gives the same verdict every time.
"""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from ..backends.call import RenderCall
from ..backends.evidence import GRADIENTS, RENDER
from ..spec import RenderSpec, field_channels, weight_count


class Example(NamedTuple):
    """The networks that stand for a family with one kind of head."""

    network: RenderSpec  # as the papers' models have it
    other: RenderSpec  # of widths that are no multiples of 16
    # One with which no ReLU's argument, where gradients are compared, is so near 0 that float32 sees the other side of
    # it: there a gradient jumps (tests/test_selfcheck_cases.py).
    seed: int


EXAMPLES = {  # family: {head: Example}
    "modulated_mlp": {
        "linear": Example(RenderSpec("linear", 0, (16,) * 6), RenderSpec("linear", 0, (24,) * 2), 5260),
        "fourier": Example(RenderSpec("fourier", 16, (16,) * 8), RenderSpec("fourier", 20, (24,) * 2), 3810),
    },
    "plain_mlp": {
        "linear": Example(RenderSpec("linear", 0, (256,) * 4), RenderSpec("linear", 0, (40,) * 2), 10930),
        "fourier": Example(RenderSpec("fourier", 256, (256,) * 3), RenderSpec("fourier", 20, (40,) * 2), 7540),
    },
}
DTYPES = ("float32", "float16", "bfloat16")
LEAVES = ("fields", "weights", "skip")  # whose gradients are compared


class Kind(NamedTuple):
    """What is judged by itself, kernel by kernel."""

    task: str  # of backends.evidence.TASKS
    family: str
    head: str  # of the render MLP
    dtype: str  # of fields, weights and skip


class Case(NamedTuple):
    """One call. Gradients: also the gradient that arrives at its output."""

    name: str
    call: RenderCall
    grad: Optional[Tensor] = None  # like the call's output, float32
    wanted: Optional[Tuple[str, ...]] = None  # tensors whose gradients are made; None: the call is rendered


def kinds(family):
    """Every Kind of a family, rendering first. None of a family without examples."""
    return [Kind(task, family, head, dtype) for task in (RENDER, GRADIENTS) for head in EXAMPLES.get(family, ())
            for dtype in DTYPES]


def numeric(kind, device):
    """The cases whose numbers are compared with the float64 reference: one a path through a kernel."""
    network, other, _ = EXAMPLES[kind.family][kind.head]
    nearest = network._replace(ensemble=False)
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
    return [_drawn(draw, kind, number, device) for number, draw in enumerate(cases)]


def timed(kind, device):
    """The cases that a kernel and the reference are timed on; small ones on a CPU, where only tests come."""
    network = EXAMPLES[kind.family][kind.head].network
    side, batch, count = (96, 4, 2304) if device.type == "cuda" else (12, 1, 100)
    cases = [_grid("x4", network, (side, side), (4 * side, 4 * side)),
             _points("points", network, (48, 48) if device.type == "cuda" else (6, 6), count, batch=batch)]
    return [_drawn(draw, kind, 100 + number, device) for number, draw in enumerate(cases)]


def precise(case):
    """The case in float64 on the CPU, from the rounded numbers that it holds."""
    tensors = {name: tensor.detach().cpu().double() for name, tensor in case.call.tensors().items()}
    call = case.call._replace(**tensors, dtype=torch.float64)
    return case._replace(call=call, grad=None if case.grad is None else case.grad.cpu().double())


# What a case is before numbers are drawn: its name, network, batch and LR size, and what else the call has.


class _Draw(NamedTuple):
    name: str
    spec: RenderSpec
    batch: int
    held: Tuple[int, int]  # (h, w) of the fields
    points: int = 0
    rest: dict = {}


def _grid(name, spec, lr, size, batch=1):
    return _Draw(name, spec, batch, lr, rest={"size": size, "window": (0, 0, *size), "lr": (0, 0, *lr)})


def _window(name, spec):
    """A window of a picture, from fields that are a window of the LR map, stored as `upscale` stores a file."""
    return _Draw(name, spec, 1, (6, 7), rest={
        "size": (32, 36), "window": (8, 8, 12, 16), "lr": (1, 1, 8, 9), "finish": "unit", "dtype": torch.uint8,
        "layout": "nhwc"})


def _points(name, spec, lr, count, batch=1):
    return _Draw(name, spec, batch, lr, points=count)


def _drawn(draw, kind, number, device):
    """The Case of a _Draw. Weights are scaled so that activations keep their size through the layers."""
    generator = torch.Generator().manual_seed(EXAMPLES[kind.family][kind.head].seed + number)
    dtype = getattr(torch, kind.dtype)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    spec, (h, w) = draw.spec, draw.held
    fields = 0.5 * normal(draw.batch, h, w, field_channels(kind.family, spec))
    weights = (1.5 / spec.first_width) ** 0.5 * normal(weight_count(kind.family, spec))
    skip = torch.rand((draw.batch, spec.out_dim, h, w), generator=generator) * 2 - 1
    queries = {}
    if draw.points:  # some of them beyond the border
        coord = torch.rand((draw.batch, draw.points, 2), generator=generator) * 2.2 - 1.1
        cell = torch.rand((draw.batch, draw.points, 2), generator=generator) * 0.1
        queries = {"coord": coord.to(device), "cell": cell.to(device)}
    tensors = (t.to(device, dtype) for t in (fields, weights, skip))
    call = RenderCall(kind.family, spec, *tensors, **queries, **draw.rest)
    if kind.task == RENDER:
        return Case(draw.name, call)
    return Case(draw.name, call, normal(*call.output_shape()).to(device), LEAVES)
