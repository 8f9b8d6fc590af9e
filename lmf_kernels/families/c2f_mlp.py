"""The coarse-to-fine family: DIIF and DLTE (arXiv 2306.12321), a coarse MLP once a slice and a fine one once a pixel.

A slice is a row of an LR cell's output pixels (linear slicing) or the whole cell (constant). The coarse MLP has ReLU
after every layer; its vectors at the cell's four vertices are blended, and the fine MLP sees `[blend | rel]`, with ReLU
between its layers. `python_ref.slices` has the geometry, `python_ref.c2f_mlp` the formulas.

Parameters of a vertex (of a cell without the slice ensemble), C channels: the head's.

=======  ===============================  ===========================
head     first pieces of the weights      parameters of a vertex
=======  ===============================  ===========================
linear   info (6, coarse[0])              base (coarse[0])
fourier  phase (2, in_dim / 2)            coef (in_dim), freq (in_dim)
=======  ===============================  ===========================

info meets (cell_y, cell_x, first_y, first_x, last_y, last_x). Flat weights: the head's | coarse W_1, b_1 .. (with the
Fourier head from W_0, b_0) | fine W_0 (coarse[-1] + 2, fine[0]), b_0, its last two rows for rel_y and rel_x | .. |
W_out (fine[-1], 3), b_out (3). Matrices are stored input-major, (in, out).
"""

from collections.abc import Sequence
from typing import NamedTuple

from python_ref import c2f_mlp, heads
from torch import Tensor

from . import c2f_training
from .interface import Example, Family
from .maps import SLICE_CELLS, VERTICES
from .render_spec import DEEPEST, HEADS, WIDEST
from ..errors import InputError

SLICINGS = ("linear", "constant")


class C2FSpec(NamedTuple):
    """Shape of a coarse-to-fine MLP.

    head: "linear" (DIIF: first coarse layer affine in the slice's place) or "fourier" (DLTE's Fourier product).
    in_dim: width of the Fourier product (even); 0 for the linear head.
    coarse: widths of the coarse MLP's layers, one or more.
    fine: hidden widths of the fine MLP, one or more.
    slicing: "linear" (a row of a cell is a slice) or "constant" (the whole cell).
    slice_ensemble: slices are seen from the four vertices of their cell, else from its centre.
    limit_cell: the cell that the network sees stops falling at x4, the largest scale in training.
    out_dim: channels of a pixel.
    """

    head: str
    in_dim: int
    coarse: tuple[int, ...]
    fine: tuple[int, ...]
    slicing: str = "linear"
    slice_ensemble: bool = True
    limit_cell: bool = True
    out_dim: int = 3

    @property
    def first_width(self) -> int:
        """Width of the first layer's output."""
        return self.coarse[0]


class C2FMLP(Family):
    """See the module's docstring."""

    name = "c2f_mlp"
    spec_type = C2FSpec
    map = VERTICES
    no_points = "a slice is made of an output grid's pixels, so it is implemented for grids only"
    plain_torch = "python_ref.c2f_mlp.render"

    def validate_spec(self, spec: C2FSpec) -> None:
        if spec.head not in HEADS:
            raise InputError(f"unknown head {spec.head!r}; use one of {', '.join(HEADS)}.")
        if spec.slicing not in SLICINGS:
            raise InputError(f"unknown slicing {spec.slicing!r}; use one of {', '.join(SLICINGS)}.")
        if spec.head == "fourier" and (not 2 <= spec.in_dim <= WIDEST or spec.in_dim % 2):
            raise InputError(f"a Fourier head needs an even in_dim from 2 to {WIDEST}, got {spec.in_dim}.")
        if spec.head == "linear" and spec.in_dim != 0:
            raise InputError(f"a linear head has in_dim 0, got {spec.in_dim}.")
        for name, widths in (("coarse", spec.coarse), ("fine", spec.fine)):
            if not 1 <= len(widths) <= DEEPEST or not all(1 <= width <= WIDEST for width in widths):
                raise InputError(f"{name} widths {list(widths)}: pass 1 to {DEEPEST} widths from 1 to {WIDEST}.")
        if not 1 <= spec.out_dim <= WIDEST:
            raise InputError(f"out_dim is from 1 to {WIDEST}, got {spec.out_dim}.")

    def map_of(self, spec: C2FSpec):
        return VERTICES if spec.slice_ensemble else SLICE_CELLS

    def variant(self, spec: C2FSpec) -> str:
        ensemble = "" if spec.slice_ensemble else ", no slice ensemble"
        return f"{spec.head} head, {spec.slicing} slices{ensemble}"

    def examples(self):
        diif, dlte = C2FSpec("linear", 0, (256,) * 2, (256,) * 2), C2FSpec("fourier", 256, (256,) * 2, (256,) * 2)
        networks = [diif._replace(slicing=slicing, slice_ensemble=ensemble)
                    for slicing in SLICINGS for ensemble in (True, False)]
        networks.append(dlte._replace(limit_cell=False))
        narrow = {"coarse": (40,), "fine": (24, 40)}
        return {self.variant(spec): Example(spec, spec._replace(in_dim=spec.in_dim // 8, **narrow), 0)
                for spec in networks}

    def field_channels(self, spec: C2FSpec) -> int:
        return spec.coarse[0] if spec.head == "linear" else 2 * spec.in_dim

    def weight_shapes(self, spec: C2FSpec) -> list[tuple[int, ...]]:
        head = (6, spec.coarse[0]) if spec.head == "linear" else (2, spec.in_dim // 2)
        widths = spec.coarse if spec.head == "linear" else (spec.in_dim, *spec.coarse)
        layers = [*zip(widths, widths[1:]), *zip((spec.coarse[-1] + 2, *spec.fine), (*spec.fine, spec.out_dim))]
        return [head, *(shape for n_in, n_out in layers for shape in ((n_in, n_out), (n_out,)))]

    @staticmethod
    def seen_cell(call):
        """(cell_y, cell_x) of a backend's RenderCall as the coarse MLP sees it: the size of an output pixel in half
        cells."""
        if call.spec.limit_cell or call.grid_cell is not None:
            return call.rel_cell
        return tuple(2 * n_in / n_out for n_in, n_out in zip(call.lr[2:], call.size))

    def pack_weights(
        self,
        spec: C2FSpec,
        head: Tensor,  # (coarse[0], 6) the first layer's columns on the slice's place, or the phase (in_dim / 2, 2)
        layers: Sequence[tuple[Tensor, Tensor]],  # [(W (out, in), b (out,))]: the other coarse layers, all fine layers
    ) -> Tensor:
        """Flat weights from the matrices of a checkpoint, (weight_count,). Differentiable."""
        return self.flatten_weights(
            spec, [head.t(), *(piece for weight, bias in layers for piece in (weight.t(), bias))])

    def matrices(
        self,
        spec,
        weights,  # (weight_count,)
    ):
        """(head, coarse, fine): views of flat weights as `python_ref.c2f_mlp.render` takes them."""
        head, *rest = self.unpack_weights(spec, weights)
        layers = [(weight.t(), bias) for weight, bias in zip(rest[::2], rest[1::2])]
        count = len(spec.coarse) - (spec.head == "linear")
        head = c2f_mlp.SliceHead(head.t()) if spec.head == "linear" else heads.FourierHead(head.t())
        return head, layers[:count], layers[count:]

    def dense(
        self,
        spec,
        fields,  # (B, h + 1, w + 1, C) float, or (B, h, w, C)
        weights,  # (weight_count,) float
        coord,  # (B, Q, 2) float: pixels of a grid, one size of grid for each image
        cell,  # (B, Q, 2) float: 2 / size of that grid
        skip=None,  # (B, 3, h, w) float, or None
    ):
        return c2f_training.render(spec, self.matrices(spec, weights), fields, coord, cell, skip)

    def training_pixels(self, spec, rng, n_in, n_out, count):
        """Whole slices, drawn at random: what the coarse MLP gives is used for all of a slice's pixels."""
        return c2f_training.whole_slices(spec.slicing, rng, n_in, n_out, count)


C2F_MLP = C2FMLP()
