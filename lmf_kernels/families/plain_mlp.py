"""The plain family: LIIF (arXiv 2012.09161) and LTE (arXiv 2111.08918), one MLP for all cells.

Layer l of a pixel's MLP is `relu(W_l x + b_l)`; the output layer has no ReLU.

Parameters of a cell, C channels: the head's (`render_spec`). The linear head's base holds the first layer's bias.
Flat weights: the head's | W_1, b_1 .. (with the Fourier head from W_0, b_0) | W_out (width, 3), b_out (3).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from . import dense, render_spec
from .interface import Example, Family
from .render_spec import RenderSpec


class PlainMLP(Family):
    """See the module's docstring."""

    name = "plain_mlp"
    spec_type = RenderSpec
    plain_torch = "python_ref.plain_mlp.render"

    def validate_spec(self, spec: RenderSpec) -> None:
        render_spec.validate(spec)

    def variant(self, spec: RenderSpec) -> str:
        return f"{spec.head} head"

    def examples(self):
        return {
            "linear head": Example(RenderSpec("linear", 0, (256,) * 4), RenderSpec("linear", 0, (40,) * 2), 10930),
            "fourier head": Example(RenderSpec("fourier", 256, (256,) * 3), RenderSpec("fourier", 20, (40,) * 2), 7540),
        }

    def field_channels(self, spec: RenderSpec) -> int:
        return sum(render_spec.head_channels(spec))

    def weight_shapes(self, spec: RenderSpec) -> list[tuple[int, ...]]:
        layers = [shape for n_in, n_out in render_spec.layer_shapes(spec) for shape in ((n_in, n_out), (n_out,))]
        return [*render_spec.head_shapes(spec), *layers]

    def pack_weights(
        self,
        spec: RenderSpec,
        rel: Tensor | None,  # (width, 2) the first layer's columns on rel; None for a Fourier head
        cell: Tensor | None,  # (width, 2) on rel_cell, or the Fourier phase (in_dim / 2, 2); None: no cell decoding
        layers: Sequence[tuple[Tensor, Tensor]],  # [(W (out, in), b (out,))] after the head, the output layer last
    ) -> Tensor:
        """Flat weights from the matrices of a checkpoint, (weight_count,). Differentiable."""
        head = render_spec.head_pieces(spec, rel, cell, rel if rel is not None else layers[0][0])
        return self.flatten_weights(spec, [*head, *(piece for weight, bias in layers for piece in (weight.t(), bias))])

    def matrices(
        self,
        spec,
        weights,  # (weight_count,)
    ):
        """(head, [(W (out, in), b)], (W, b) or None): views of flat weights as `python_ref.plain_mlp.render` takes
        them. The last is None where the linear head is the whole network."""
        head, rest = render_spec.split_head(spec, self.unpack_weights(spec, weights))
        layers = [(weight.t(), bias) for weight, bias in zip(rest[::2], rest[1::2])]
        return head, layers[:-1], layers[-1] if layers else None

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
        layers = layers if out is None else [*layers, out]

        def network(parameters, offsets):  # (N, C) -> (N, out_dim)
            x = dense.first_activation(head, parameters.split([*render_spec.head_channels(spec)], dim=1), offsets)
            for level, layer in enumerate(layers):
                x = F.linear(x if level == 0 and spec.head == "fourier" else x.relu(), *layer)
            return x

        return dense.render(network, spec.ensemble, fields, coord, cell, skip)


PLAIN_MLP = PlainMLP()
