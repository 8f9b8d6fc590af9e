"""LM-LTE: a latent MLP on LTE's Fourier features modulates a narrow render MLP on Fourier features of its own.

He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", arXiv 2404.16451,
section 3, applied to LTE (arXiv 2111.08918).
"""

from typing import NamedTuple

import torch
from torch import nn

from ..families import MODULATED_MLP, RenderSpec
from .base import Decoder
from .latent import cell_bias, conv_rows, fold_modulations, fourier_product, mlp_rows
from .mlp import MLP
from .options import even, extent, hidden_list, render_mlp, switches
from .pack_cache import parameters_of


class _Latent(NamedTuple):
    conv: torch.Tensor  # (out, C, 3, 3): [coef | pairs of freq summed], or [coef | freq] with mod_input off
    bias: torch.Tensor  # (out,)
    cell: torch.Tensor | None  # (out, 2) with mod_input on, (hidden_dim / 2, 2) with it off: the cell's phase
    layers: list  # [(weight, bias)]: the latent MLP, its last layer folded


class LMLTE(Decoder):
    """Render family modulated_mlp with the Fourier head and the LR skip.

    Fields: [scale | shift with the bias | coef | freq], the last two the latent MLP's compressed ones, or with
    mod_input off the full ones.

    Args:
        encoder_spec, imnet_spec, hypernet_spec: as in the authors' checkpoints; any hidden width, depth and list.
        hidden_dim: width of the latent Fourier product; None: derived from the shapes, else 128, the authors' default.
        local_ensemble, cell_decode, mod_input: None: derived from the shapes, else on.
        cmsr_spec: accepted, and not used here: the rendering is the full one.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "lmlte"
    family = MODULATED_MLP
    has_skip = True

    def __init__(self, encoder_spec, imnet_spec, hypernet_spec, hidden_dim=None, local_ensemble=None, cell_decode=None,
                 mod_input=None, cmsr_spec=None, *, shapes=None):
        super().__init__(encoder_spec)
        channels = self.encoder.out_dim
        self.render_mlp = mlp = render_mlp(imnet_spec)
        width = even(extent(shapes, "coef.weight", 0) or 128 if hidden_dim is None else hidden_dim, "hidden_dim")
        on = switches({"local_ensemble": local_ensemble, "cell_decode": cell_decode, "mod_input": mod_input},
                      {} if shapes is None else {"mod_input": "imphase.weight" in shapes})
        self.mod_input, self.uses_cell = on["mod_input"], on["cell_decode"]
        self.coef = nn.Conv2d(channels, width, 3, padding=1)
        self.freq = nn.Conv2d(channels, width, 3, padding=1)
        self.phase = nn.Linear(2, width // 2, bias=False)
        self.hypernet = MLP(width, hidden_list(hypernet_spec, "hypernet_spec"),
                            mlp.mod_dim + (2 * mlp.hidden if self.mod_input else 0))
        if self.mod_input:
            self.imphase = nn.Linear(2, even(mlp.hidden, "imnet_spec's hidden_dim") // 2, bias=False)
        in_dim = mlp.hidden if self.mod_input else width
        self.imnet = MLP(in_dim, [mlp.hidden] * mlp.depth, 3)
        self.receptive_field = self.encoder.receptive_field + 1
        self.render_spec = RenderSpec("fourier", in_dim, (mlp.hidden,) * mlp.depth, ensemble=on["local_ensemble"])
        self.spec = {"name": self.name, "args": {"encoder_spec": encoder_spec, "imnet_spec": imnet_spec,
                                                 "hypernet_spec": hypernet_spec, "hidden_dim": width, **on}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # pair of floats, or (2,), or (B, 2)
    ):
        """[scale (depth * hidden) | shift (depth * hidden) | coef (in_dim) | freq (in_dim)]: (B, h, w, C), contiguous.
        """
        latent = self._packed.get("latent", tuple(self._latent_parameters()), self._pack_latent)
        width = self.phase.weight.shape[0] * 2
        if self.mod_input:
            # Only the pair sums of the frequencies are needed, and the cell's phase is a bias on them.
            rows = conv_rows(features, latent.conv, cell_bias(latent.bias, latent.cell, rel_cell))
            phase = rows[..., width:]
        else:
            rows = conv_rows(features, latent.conv, latent.bias)
            phase = rows[..., width::2] + rows[..., width + 1::2]
            if latent.cell is not None:
                offset = cell_bias(latent.cell.new_zeros(width // 2), latent.cell, rel_cell)
                phase = phase + (offset if offset.dim() == 1 else offset[:, None, None])
        weight, bias = latent.layers[0]
        mods = mlp_rows(nn.functional.linear(fourier_product(rows[..., :width], phase), weight, bias),
                        latent.layers[1:])
        return mods if self.mod_input else torch.cat((mods, rows), dim=-1)

    def _latent_parameters(self):
        return parameters_of(self.coef, self.freq, self.phase, self.hypernet, self.imnet)

    def _pack_latent(self):
        layers = [(linear.weight, linear.bias) for linear in self.hypernet.linears]
        layers[-1] = fold_modulations(*layers[-1], [linear.bias for linear in self.imnet.linears[:-1]],
                               self.render_mlp.mod_scale, self.render_mlp.mod_shift)
        weight, bias, cell = self.freq.weight, self.freq.bias, self.phase.weight if self.uses_cell else None
        if self.mod_input:
            weight, bias = weight[0::2] + weight[1::2], bias[0::2] + bias[1::2]
            if cell is not None:
                cell = torch.cat((cell.new_zeros(self.coef.bias.shape[0], 2), cell))
        weight = torch.cat((self.coef.weight, weight)).contiguous(memory_format=torch.channels_last)
        return _Latent(weight, torch.cat((self.coef.bias, bias)), cell, layers)

    def _render_parameters(self):
        return parameters_of(self.imphase if self.mod_input else self.phase, self.imnet)

    def _pack_render(self):
        phase = (self.imphase if self.mod_input else self.phase).weight if self.uses_cell else None
        *layers, out = self.imnet.linears
        return self.family.pack_weights(self.render_spec, None, phase, [linear.weight for linear in layers],
                                        (out.weight, out.bias))
