"""The modulated family: LM-LIIF, LM-LTE and LM-CiaoSR (LMF, arXiv 2404.16451, section 3.2).

Layer l of a pixel's MLP is `relu((W_l x) * (1 + scale_l) + shift_l)` with the cell's own scale and shift. `shift` has
absorbed the layer's bias: `shift = published shift + b * (1 + scale)`.

Parameters of a cell, C channels: scale (depth * width) | shift (depth * width) | the head's (`render_spec`).
Flat weights: the head's | W_1 .. W_{depth-1} (with the Fourier head from W_0) | W_out (width, 3) | b_out (3).
`csrc/common/modulated_layout.h` is this page for the C++ kernels, `backends/triton/layout.py` for Triton's.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from . import dense, render_spec
from .interface import Example, Family
from .render_spec import RenderSpec
from ..errors import InputError


class ModulatedMLP(Family):
    """See the module's docstring."""

    name = "modulated_mlp"
    spec_type = RenderSpec
    plain_torch = "python_ref.modulated_mlp.render"

    def validate_spec(self, spec: RenderSpec) -> None:
        render_spec.validate(spec)
        if not spec.widths or len(set(spec.widths)) != 1:
            raise InputError(f"the modulated family needs one hidden width throughout, got widths {list(spec.widths)}.")

    def variant(self, spec: RenderSpec) -> str:
        return f"{spec.head} head"

    def examples(self):
        return {
            "linear head": Example(RenderSpec("linear", 0, (16,) * 6), RenderSpec("linear", 0, (24,) * 2), 5260),
            "fourier head": Example(RenderSpec("fourier", 16, (16,) * 8), RenderSpec("fourier", 20, (24,) * 2), 3810),
        }

    def field_channels(self, spec: RenderSpec) -> int:
        return 2 * sum(spec.widths) + sum(render_spec.head_channels(spec))

    def weight_shapes(self, spec: RenderSpec) -> list[tuple[int, ...]]:
        layers = render_spec.layer_shapes(spec)
        return [*render_spec.head_shapes(spec), *layers, (layers[-1][1],)]

    def pack_weights(
        self,
        spec: RenderSpec,
        rel: Tensor | None,  # (width, 2) the first layer's columns on rel; None for a Fourier head
        cell: Tensor | None,  # (width, 2) on rel_cell, or the Fourier phase (in_dim / 2, 2); None: no cell decoding
        layers: Sequence[Tensor],  # [W (out, in)] hidden layers after the head
        out: tuple[Tensor, Tensor],  # (W (out_dim, width), b (out_dim,))
    ) -> Tensor:
        """Flat weights from the matrices of a checkpoint, (weight_count,). Differentiable."""
        head = render_spec.head_pieces(spec, rel, cell, out[0])
        return self.flatten_weights(spec, [*head, *(weight.t() for weight in layers), out[0].t(), out[1]])

    def matrices(
        self,
        spec,
        weights,  # (weight_count,)
    ):
        """(head, [W (out, in)], (W, b)): views of flat weights as `python_ref.modulated_mlp.render` takes them."""
        head, rest = render_spec.split_head(spec, self.unpack_weights(spec, weights))
        return head, [weight.t() for weight in rest[:-2]], (rest[-2].t(), rest[-1])

    def dense(
        self,
        spec,
        fields,  # (B, h, w, C) float
        weights,  # (weight_count,) float
        coord,  # (B, Q, 2) float
        cell,  # (B, Q, 2) float
        skip=None,  # (B, 3, h, w) float, or None
    ):
        head, layers, out = self.matrices(spec, weights)
        width, depth = spec.widths[0], len(spec.widths)

        def network(parameters, offsets):  # (N, C) -> (N, out_dim)
            # One split: its backward pass is one concatenation.
            parts = parameters.split([width] * (2 * depth) + [*render_spec.head_channels(spec)], dim=1)
            scale, shift, first = parts[:depth], parts[depth:2 * depth], parts[2 * depth:]
            x = dense.first_activation(head, first, offsets)
            later = layers
            if spec.head == "fourier":
                x, later = F.linear(x, layers[0]), layers[1:]
            for level in range(depth):
                if level:
                    x = F.linear(x, later[level - 1])
                x = torch.addcmul(x + shift[level], x, scale[level]).relu_()
            return F.linear(x, *out)

        return dense.render(network, spec.ensemble, fields, coord, cell, skip)


MODULATED_MLP = ModulatedMLP()
