"""A render family and a backend that the package does not know: registered from outside, with no edit elsewhere.

The family shows the colour of the cell that owns a pixel. Cells own pixels by `ceil`, as in DIIF, and a pixel reads its
own cell only, so the local ensemble's rules do not apply to it.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import lmf_kernels as lmf
import pytest
import torch
from lmf_kernels import families, ops
from lmf_kernels.backends import BACKENDS, KernelBackend, register_backend
from lmf_kernels.errors import BackendError, InputError
from lmf_kernels.models import Decoder

ENCODER = {"name": "edsr-baseline", "args": {"n_resblocks": 1, "n_feats": 4, "no_upsampling": True}}


class ColourSpec(NamedTuple):
    out_dim: int = 3


class OwningCells:
    """Cell j owns the positions from ceil(j r - 1/2), r = n_out / n_in, and they read nothing else."""

    def size(self, n_in):
        return n_in

    def owned(self, first, end, n_in, n_out):
        return tuple(max(0, -((n_in - 2 * cell * n_out) // (2 * n_in))) for cell in (first, end))

    def held(self, first, end, n_in):
        return first, min(n_in, end)

    def cells(self, start, stop):
        return start, stop

    def read(self, start, stop, n_in, n_out):
        return (2 * start + 1) * n_in // (2 * n_out), (2 * stop - 1) * n_in // (2 * n_out) + 1


class CellColour(families.Family):
    """Fields: a colour per cell. Weights: a factor per channel."""

    name = "cell_colour"
    spec_type = ColourSpec
    map = OwningCells()
    no_points = "a point has no owner"

    def validate_spec(self, spec):
        if spec.out_dim != 3:
            raise InputError(f"a colour has 3 channels, got {spec.out_dim}.")

    def field_channels(self, spec):
        return 3

    def weight_shapes(self, spec):
        return [(3,)]


class Kernel:
    """The family in a few lines of torch; it counts its calls."""

    def __init__(self):
        self.calls = 0

    def can_run(self, call):
        return None if call.fields.dtype == torch.float32 else f"fields is {call.fields.dtype}, it takes float32"

    def run(self, call):
        self.calls += 1
        y0, x0, lr_h, lr_w = call.lr
        rows, cols = ((2 * torch.arange(start, start + count) + 1) * n_in // (2 * n_out) - first
                      for start, count, n_in, n_out, first in zip(call.window[:2], call.window[2:], (lr_h, lr_w),
                                                                  call.size, (y0, x0)))
        values = call.fields[:, rows][:, :, cols] * call.weights
        values = (values * 0.5 + 0.5).clamp(0, 1) if call.epilogue == "unit" else values
        values = (values * 255).round() if call.dtype == torch.uint8 else values
        return (values if call.layout == "nhwc" else values.permute(0, 3, 1, 2)).to(call.dtype).contiguous()


class Model(Decoder):
    name = "cell-colour"

    def __init__(self, family):
        super().__init__(ENCODER)
        self.family = family
        self.factor = torch.nn.Parameter(torch.rand(3) + 0.5)
        self.receptive_field = self.encoder.receptive_field
        self.render_spec = ColourSpec()

    def fields(
        self,
        features,  # (B, 4, h, w)
        rel_cell,
    ):
        return features[:, :3].permute(0, 2, 3, 1).contiguous()

    def _render_parameters(self):
        return [self.factor]

    def _pack_render(self):
        return self.factor.clone()


@pytest.fixture(scope="module")
def kernel():
    """The registered family's kernel. torch keeps operators for good, so the family is registered once."""
    family, kernel = CellColour(), Kernel()
    ops.register_family(family)
    register_backend(KernelBackend("toy", {family.name: kernel}, lambda: (True, "a few lines of torch")))
    yield kernel
    del families.FAMILIES[family.name], BACKENDS["toy"]


@pytest.fixture
def model(kernel, seed):
    torch.manual_seed(seed)
    kernel.calls = 0
    return Model(families.FAMILIES["cell_colour"]).eval()


def expected(model, image, size):
    """The picture (B, 3, H, W) in one piece, by the owners of its pixels in exact fractions."""
    with torch.no_grad():
        colours = model.encode(image * 2 - 1)[:, :3] * model.factor[:, None, None]
    rows, cols = ([math.floor(Fraction(2 * position + 1, 2) * n_in / n_out) for position in range(n_out)]
                  for n_in, n_out in zip(image.shape[2:], size))
    return (colours[:, :, rows][:, :, :, cols] * 0.5 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("scale", [1, 2, 3.7, 8, 0.6])
def test_it_renders(model, kernel, scale):
    image = torch.rand(2, 3, 13, 17)
    picture = lmf.upscale(model, image, scale)
    torch.testing.assert_close(picture, expected(model, image, picture.shape[2:]), rtol=0, atol=1e-6)
    assert kernel.calls == 1
    window = model.render_grid(image * 2 - 1, picture.shape[2:], window=(1, 2, 5, 4), epilogue="unit")
    assert torch.equal(window, picture[:, :, 1:6, 2:6])


@pytest.mark.parametrize("scale", [2, 3.7, 0.6])
def test_it_renders_in_tiles_within_a_budget(model, kernel, scale):
    image = torch.rand(1, 3, 90, 70)
    rows = lmf.upscale_rows(model, image, scale, max_memory="64100kB", dtype=torch.float32, layout="nchw")
    picture = torch.cat([part.clone() for _, part in rows], dim=2)
    assert rows.plan.tiles > 1 and kernel.calls > 1
    torch.testing.assert_close(picture, expected(model, image, picture.shape[2:]), rtol=0, atol=1e-5)


def test_it_explains_itself(model):
    text = str(lmf.explain(model))
    assert "cell_colour: runs on toy" in text and "reference cannot: it has no cell_colour kernel yet" in text
    (row,) = [row for row in lmf.backends() if row["name"] == "toy"]
    assert row["families"] == ["cell_colour"] and row["available"] and row["measured"] is None


def test_it_compiles(model):
    inp = torch.rand(1, 3, 9, 8) * 2 - 1
    with torch.no_grad():
        compiled = torch.compile(lambda inp: model.render_grid(inp, (20, 21)), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(inp), model.render_grid(inp, (20, 21)))


def test_what_it_cannot_do_is_refused(model, kernel):
    image = torch.rand(1, 3, 5, 5) * 2 - 1
    with pytest.raises(InputError, match="cell_colour renders no free query points: a point has no owner"):
        model(image, torch.zeros(1, 4, 2), torch.ones(1, 4, 2))
    with pytest.raises(BackendError, match="no backend can run this call .*toy: fields is torch.float64"):
        lmf.upscale(model.double(), torch.rand(1, 3, 5, 5, dtype=torch.float64), 2)
    with pytest.raises(BackendError, match="backend 'reference' cannot run this call: .* use auto or toy"):
        ops.render_grid(model.family, torch.rand(1, 5, 5, 3), torch.ones(3), ColourSpec(), (9, 9), backend="reference")
    with pytest.raises(InputError, match="a colour has 3 channels, got 4"):
        ops.render_grid(model.family, torch.rand(1, 5, 5, 3), torch.ones(3), ColourSpec(4), (9, 9))
    with pytest.raises(InputError, match="There is a render family 'modulated_mlp' already"):
        ops.register_family(type("Other", (CellColour,), {"name": "modulated_mlp"})())
    with pytest.raises(InputError, match="There is a backend 'cpu' already"):
        register_backend(KernelBackend("cpu", {}, lambda: (True, "")))


def test_it_has_no_gradients_without_a_backward_kernel(model):
    fields = torch.rand(1, 4, 4, 3, requires_grad=True)
    values = ops.render_grid(model.family, fields, torch.ones(3), ColourSpec(), (8, 8))
    with pytest.raises(BackendError, match="no backend computes gradients of cell_colour"):
        values.sum().backward()
