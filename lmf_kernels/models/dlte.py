"""DLTE: LTE's Fourier features under DIIF's coarse and fine MLPs, and a bilinear skip.

"Dynamic Implicit Image Function for Efficient Arbitrary-Scale Image Representation", arXiv 2306.12321, section 4.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..families import C2F_MLP, C2FSpec
from .base import Decoder
from .latent import conv_rows
from .mlp import SliceMLP
from .options import even, extent, slice_widths
from .pack_cache import parameters_of


class DLTE(Decoder):
    """Render family c2f_mlp with the Fourier head and the LR skip.

    Fields: coefficients and frequencies, the 2x2 values of each around every vertex. At scales below x1 the published
    skip is antialiased and this one is not.

    Args:
        encoder_spec: as in the authors' checkpoints.
        hidden_dim: channels of the coefficients per LR pixel; None: derived from the shapes, else 64.
        coarse, fine: hidden widths of the two MLPs; None: derived from the shapes, else 256 and 256 for each.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "dlte"
    family = C2F_MLP
    has_skip = True

    def __init__(self, encoder_spec, hidden_dim=None, coarse=None, fine=None, *, shapes=None):
        super().__init__(encoder_spec)
        width = even(extent(shapes, "coef.weight", 0) or 64 if hidden_dim is None else hidden_dim, "hidden_dim")
        coarse, fine = slice_widths(coarse, fine, shapes)
        self.coef = nn.Conv2d(self.encoder.out_dim, width, 3, padding=1)
        self.freq = nn.Conv2d(self.encoder.out_dim, width, 3, padding=1)
        self.imnet = SliceMLP(4 * width, coarse, fine, 3, phase=4 * width)
        self.receptive_field = self.encoder.receptive_field + 1
        self.render_spec = C2FSpec("fourier", 4 * width, tuple(coarse), tuple(fine), limit_cell=False)
        self.family.validate_spec(self.render_spec)
        self.spec = {"name": self.name, "args": {"encoder_spec": encoder_spec, "hidden_dim": width, "coarse": coarse,
                                                 "fine": fine}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # not looked at: the render stage has the cell
    ):
        """[coef | freq] around each vertex, channel-major: (B, h + 1, w + 1, 8 * hidden_dim), contiguous."""
        parameters = (self.coef.weight, self.coef.bias, self.freq.weight, self.freq.bias)
        weight, bias = self._packed.get("latent", parameters, self._pack_latent)
        h, w = features.shape[-2:]
        values = F.pad(conv_rows(features, weight, bias), (0, 0, 1, 1, 1, 1))
        around = [values[:, y:y + h + 1, x:x + w + 1] for y in (0, 1) for x in (0, 1)]
        return torch.stack(around, dim=-1).flatten(-2)

    def _pack_latent(self):
        weight = torch.cat((self.coef.weight, self.freq.weight)).contiguous(memory_format=torch.channels_last)
        return weight, torch.cat((self.coef.bias, self.freq.bias))

    def _pack_render(self):
        layers = [(linear.weight, linear.bias) for linear in (*self.imnet.coarse, *self.imnet.fine)]
        return self.family.pack_weights(self.render_spec, self.imnet.phase.weight, layers)
