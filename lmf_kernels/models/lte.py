"""LTE: Fourier features estimated per LR pixel, a wide MLP shared by all pixels, and a bilinear skip.

Lee and Jin, "Local Texture Estimator for Implicit Representation Function", arXiv 2111.08918, section 3.
"""

import torch
from torch import nn

from ..families import PLAIN_MLP, RenderSpec
from .base import Decoder
from .latent import conv_rows
from .mlp import MLP
from .options import even, extent, hidden_list
from .pack_cache import parameters_of


class LTE(Decoder):
    """Render family plain_mlp with the Fourier head and the LR skip. Fields: coefficients and frequencies.

    Args:
        encoder_spec, imnet_spec: as in the authors' checkpoints; imnet_spec is an "mlp" with any hidden_list.
        hidden_dim: width of the Fourier product; None: derived from the shapes, else 256, the authors' default.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "lte"
    family = PLAIN_MLP
    has_skip = True

    def __init__(self, encoder_spec, imnet_spec, hidden_dim=None, *, shapes=None):
        super().__init__(encoder_spec)
        width = even(extent(shapes, "coef.weight", 0) or 256 if hidden_dim is None else hidden_dim, "hidden_dim")
        widths = hidden_list(imnet_spec, "imnet_spec")
        self.coef = nn.Conv2d(self.encoder.out_dim, width, 3, padding=1)
        self.freq = nn.Conv2d(self.encoder.out_dim, width, 3, padding=1)
        self.phase = nn.Linear(2, width // 2, bias=False)
        self.imnet = MLP(width, widths, 3)
        self.receptive_field = self.encoder.receptive_field + 1
        self.render_spec = RenderSpec("fourier", width, tuple(widths))
        self.spec = {"name": self.name,
                     "args": {"encoder_spec": encoder_spec, "imnet_spec": imnet_spec, "hidden_dim": width}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # not looked at: the render stage has the cell
    ):
        """[coef | freq]: (B, h, w, 2 * hidden_dim), contiguous, from one convolution."""
        parameters = (self.coef.weight, self.coef.bias, self.freq.weight, self.freq.bias)
        weight, bias = self._packed.get("latent", parameters, self._pack_latent)
        return conv_rows(features, weight, bias)

    def _pack_latent(self):
        weight = torch.cat((self.coef.weight, self.freq.weight)).contiguous(memory_format=torch.channels_last)
        return weight, torch.cat((self.coef.bias, self.freq.bias))

    def _render_parameters(self):
        return parameters_of(self.phase, self.imnet)

    def _pack_render(self):
        layers = [(linear.weight, linear.bias) for linear in self.imnet.linears]
        return self.family.pack_weights(self.render_spec, None, self.phase.weight, layers)
