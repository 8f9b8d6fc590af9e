"""LM-LIIF: a latent MLP per LR pixel modulates a render MLP that is 16 channels wide.

He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", arXiv 2404.16451,
section 3, applied to LIIF (arXiv 2012.09161).
"""

from typing import NamedTuple

import torch

from ..families import MODULATED_MLP, RenderSpec
from .base import Decoder
from .latent import cell_bias, cell_columns, conv_rows, conv_weight, fold_modulations, mlp_rows
from .mlp import MLP
from .options import extent, guess_unfold_and_cell, hidden_list, render_mlp, switches
from .pack_cache import parameters_of


class _Latent(NamedTuple):
    first: torch.Tensor  # (out, C, k, k): the latent MLP's first layer as a convolution
    bias: torch.Tensor  # (out,)
    cell: torch.Tensor | None  # (out, 2): its columns on the relative cell
    rest: list  # [(weight, bias)]: its further layers, the last one folded
    base: torch.Tensor | None  # (hidden, C, 1, 1): the render MLP's first layer on raw features, mod_input off


class LMLIIF(Decoder):
    """Render family modulated_mlp with the linear head. Fields: [scale | shift with the bias | first layer's base].

    Args:
        encoder_spec, imnet_spec, hypernet_spec: as in the authors' checkpoints; any hidden width, depth and list.
        local_ensemble, feat_unfold, cell_decode, mod_input: None: derived from the shapes, else on.
        cmsr_spec: accepted, and not used here: the rendering is the full one.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "lmliif"
    family = MODULATED_MLP
    largest_intensity = 1.0

    def __init__(self, encoder_spec, imnet_spec, hypernet_spec, local_ensemble=None, feat_unfold=None,
                 cell_decode=None, mod_input=None, cmsr_spec=None, *, shapes=None):
        super().__init__(encoder_spec)
        channels = self.encoder.out_dim
        self.render_mlp = mlp = render_mlp(imnet_spec)
        widths = hidden_list(hypernet_spec, "hypernet_spec")
        guessed = guess_unfold_and_cell(extent(shapes, "hypernet.layers.0.weight", 1), channels, extra=0)
        latent_out = extent(shapes, f"hypernet.layers.{2 * len(widths)}.weight", 0)
        if latent_out is not None:
            guessed["mod_input"] = latent_out != mlp.mod_dim
        on = switches({"local_ensemble": local_ensemble, "feat_unfold": feat_unfold, "cell_decode": cell_decode,
                       "mod_input": mod_input}, guessed)
        self.mod_input, self.uses_cell = on["mod_input"], on["cell_decode"]
        self.kernel = 3 if on["feat_unfold"] else 1
        self.unfolded = channels * self.kernel ** 2
        self.code = mlp.hidden if self.mod_input else channels
        self.hypernet = MLP(self.unfolded + 2 * self.uses_cell, widths,
                            mlp.mod_dim + (mlp.hidden if self.mod_input else 0))
        self.imnet = MLP(self.code + 2 + 2 * self.uses_cell, [mlp.hidden] * mlp.depth, 3)
        self.receptive_field = self.encoder.receptive_field + self.kernel // 2
        self.render_spec = RenderSpec("linear", 0, (mlp.hidden,) * mlp.depth, ensemble=on["local_ensemble"])
        self.spec = {"name": self.name, "args": {"encoder_spec": encoder_spec, "imnet_spec": imnet_spec,
                                                 "hypernet_spec": hypernet_spec, **on}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # pair of floats, or (2,), or (B, 2)
    ):
        """[scale (depth * hidden) | shift (depth * hidden) | base (hidden)], (B, h, w, C), contiguous."""
        latent = self._packed.get("latent", tuple(parameters_of(self.hypernet, self.imnet)), self._pack_latent)
        rows = conv_rows(features, latent.first, cell_bias(latent.bias, latent.cell, rel_cell))
        rows = mlp_rows(rows, latent.rest)
        if latent.base is not None:
            rows = torch.cat((rows, conv_rows(features, latent.base)), dim=-1)
        return rows

    def _pack_latent(self):
        first, *_ = render = self.imnet.linears
        layers = [(linear.weight, linear.bias) for linear in self.hypernet.linears]
        on_code = first.weight[:, :self.code]
        layers[-1] = fold_modulations(
            *layers[-1], [linear.bias for linear in render[:-1]], self.render_mlp.mod_scale, self.render_mlp.mod_shift,
            on_code if self.mod_input else None)
        (weight, bias), *rest = layers
        return _Latent(
            conv_weight(weight[:, :self.unfolded], self.encoder.out_dim, self.kernel),
            bias,
            weight[:, self.unfolded:] if self.uses_cell else None,
            rest,
            None if self.mod_input else conv_weight(on_code, self.encoder.out_dim, 1))

    def _pack_render(self):
        first, *rest, out = self.imnet.linears
        rel, cell = cell_columns(first.weight[:, self.code:])
        return self.family.pack_weights(self.render_spec, rel, cell, [linear.weight for linear in rest],
                                        (out.weight, out.bias))
