"""Freshly drawn render calls of the two MLP families: spec, fields, weights, geometry, store."""

import random
from typing import NamedTuple

import pytest
import torch
from every_backend import ON_GPU, placed
from lmf_kernels import ops
from lmf_kernels.errors import BackendError
from lmf_kernels.families import FAMILIES, MODULATED_MLP, RenderSpec
from networks import has_skip
from torch import Tensor

SCALES = (1, 2, 3, 3.7, 4, 7.3, 12, 30, 0.5, 0.93, 1.06, 1.5)


class Render(NamedTuple):
    spec: RenderSpec
    fields: Tensor  # (B, h, w, C)
    weights: Tensor  # (P,)
    skip: Tensor | None  # (B, 3, h, w)
    size: tuple | None = None
    coord: Tensor | None = None  # (B, Q, 2)
    cell: Tensor | None = None  # (B, Q, 2)
    family: str = MODULATED_MLP.name

    def run(self, backend, precision=None, **options):
        """The call's pixels, on the CPU. precision: dtype of all inputs and the output (float64 for the truth).

        The test skips where a GPU kernel says that it is not built for this network.
        """
        def cast(t):
            return placed(t if t is None or precision is None else t.to(precision), backend)

        common = {"skip": cast(self.skip), "backend": backend}
        try:
            if self.coord is not None:
                points = getattr(ops, f"{self.family}_points")
                return points(cast(self.fields), cast(self.weights), self.spec, cast(self.coord), cast(self.cell),
                              **common).cpu()
            if precision is not None:
                options.setdefault("dtype", precision)
            grid = getattr(ops, self.family)
            return grid(cast(self.fields), cast(self.weights), self.spec, self.size, **common, **options).cpu()
        except BackendError as error:
            if backend not in ON_GPU or "the kernel is built for" not in str(error):
                raise
            pytest.skip(str(error))

    def __str__(self):
        where = self.size or f"{self.coord.shape[1]} points"
        return f"{self.family} {self.spec} fields {tuple(self.fields.shape)} to {where}, skip {self.skip is not None}"


def draw_spec(choose, head=None):
    head = head or choose.choice(["linear", "fourier"])
    hidden = choose.choice([16, 16, 16, 24, 32, 7, 1, 40])
    in_dim = 0 if head == "linear" else choose.choice([hidden + hidden % 2, 16, 30])
    return RenderSpec(head, in_dim, (hidden,) * choose.choice([1, 2, 6, 8]), choose.random() < 0.7)


def draw_plain_spec(choose, head=None):
    """Hidden widths that differ from layer to layer, also none at all."""
    head = head or choose.choice(["linear", "fourier"])
    widths = tuple(choose.choice([16, 32, 24, 7, 1, 40, 100]) for _ in range(choose.choice([0, 1, 2, 3, 5])))
    in_dim = 0 if head == "linear" else choose.choice([2, 16, 30, 64])
    return RenderSpec(head, in_dim, widths, choose.random() < 0.7)


def draw_weights(family, spec):
    """Flat weights with gains that keep the size of activations through any width and depth."""
    pieces = [torch.randn(*shape) * ((2 / shape[0]) ** 0.5 if len(shape) > 1 else 0.3)
              for shape in family.weight_shapes(spec)]
    return torch.cat([piece.flatten() for piece in pieces])


def of_width(spec, width):
    """The spec with that hidden width, and input width of a Fourier head."""
    return spec._replace(widths=(width,) * len(spec.widths), in_dim=0 if spec.head == "linear" else width)


def draw(seed, *, points=None, spec=None, lr_size=None, scales=SCALES, skip=None, width=None, pixels=None, among=None,
         family=MODULATED_MLP.name):
    """A render call. Weights are scaled so that activations keep their size through any width and depth.

    width: the one hidden width to use, whatever spec says. pixels: about how many a picture may have at most (the LR
    map is made smaller, the scale stays). among: the networks to draw from, which then say whether there is a skip.
    """
    choose = random.Random(seed)
    torch.manual_seed(seed)
    modulated, kind = family == MODULATED_MLP.name, FAMILIES[family]
    spec = spec or (choose.choice(among) if among else (draw_spec if modulated else draw_plain_spec)(choose))
    spec = of_width(spec, width) if width else spec
    batch, (h, w) = choose.choice([1, 2]), lr_size or choose.choice([(5, 7), (1, 9), (12, 1), (20, 33)])
    has_points = choose.random() < 0.4 if points is None else points
    scale = (1, 1) if has_points else [choose.choice(scales) for _ in range(2)]
    while pixels and h * w > 1 and batch * h * w * scale[0] * scale[1] > pixels:
        h, w = (h, (w + 1) // 2) if w > h else ((h + 1) // 2, w)
    fields = torch.randn(batch, h, w, kind.field_channels(spec)) * 0.5
    if modulated:
        weights = torch.randn(kind.weight_count(spec)) * (1.5 / spec.widths[0]) ** 0.5
    else:
        weights = draw_weights(kind, spec)
    if skip is None:
        skip = has_skip(spec) if among else choose.random() < 0.5
    image = torch.rand(batch, 3, h, w) * 2 - 1 if skip else None
    if has_points:
        count = choose.choice([1, 15, 16, 100])
        return Render(spec, fields, weights, image, coord=torch.rand(batch, count, 2) * 2.2 - 1.1,
                      cell=torch.rand(batch, count, 2) * 0.1, family=family)
    size = tuple(max(1, int(n * s)) for n, s in zip((h, w), scale))
    return Render(spec, fields, weights, image, size=size, family=family)


def difference(got, truth):
    """Largest difference as a part of the largest true value."""
    assert got.shape == truth.shape
    assert not got.isnan().any(), "a pixel was left unwritten"
    return ((got.double() - truth).abs().max() / truth.abs().max()).item()


def assert_same(name, got, expected):
    """The same bits from a kernel; from the reference, whose matrix products regroup sums, the same to rounding."""
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if name == "reference" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(got, expected, **tolerance)


def assert_windows_are_equal(
    call,
    backend,
    whole,  # (B, 3, H, W), the call's picture
    choose,
    count,
):
    """Windows drawn by `choose` have the bits of the same pixels of the whole picture."""
    height, width = call.size
    for _ in range(count):
        y0, x0 = choose.randrange(height), choose.randrange(width)
        rows, cols = choose.randint(1, height - y0), choose.randint(1, width - x0)
        part = call.run(backend, window=(y0, x0, rows, cols))
        assert torch.equal(part, whole[:, :, y0:y0 + rows, x0:x0 + cols]), (call, y0, x0, rows, cols)
