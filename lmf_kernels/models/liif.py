"""LIIF: one wide MLP, shared by all pixels, on unfolded features and the relative coordinate.

Chen, Liu and Wang, "Learning Continuous Image Representation with Local Implicit Image Function", arXiv 2012.09161,
section 3: feature unfolding, cell decoding, local ensemble.
"""

from ..families import PLAIN_MLP, RenderSpec
from .base import Decoder
from .latent import cell_columns, conv_rows, conv_weight
from .mlp import MLP
from .options import extent, guess_unfold_and_cell, hidden_list, switches
from .pack_cache import parameters_of


class LIIF(Decoder):
    """Render family plain_mlp with the linear head.

    The first layer's part on the unfolded features is linear, so it is applied once per LR pixel, as a 3x3 convolution;
    its part on the coordinate is two multiply-adds per pixel in the kernel. Fields: that layer's output, bias included.

    Args:
        encoder_spec, imnet_spec: as in the authors' checkpoints; imnet_spec is an "mlp" with any hidden_list.
        local_ensemble, feat_unfold, cell_decode: None: derived from the shapes, else on.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "liif"
    family = PLAIN_MLP

    def __init__(self, encoder_spec, imnet_spec, local_ensemble=None, feat_unfold=None, cell_decode=None, *,
                 shapes=None):
        super().__init__(encoder_spec)
        channels, widths = self.encoder.out_dim, hidden_list(imnet_spec, "imnet_spec")
        on = switches(
            {"local_ensemble": local_ensemble, "feat_unfold": feat_unfold, "cell_decode": cell_decode},
            guess_unfold_and_cell(extent(shapes, "imnet.layers.0.weight", 1), channels, extra=2))
        self.kernel = 3 if on["feat_unfold"] else 1
        self.uses_cell = on["cell_decode"]
        self.unfolded = channels * self.kernel ** 2
        self.imnet = MLP(self.unfolded + 2 + 2 * self.uses_cell, widths, 3)
        self.receptive_field = self.encoder.receptive_field + self.kernel // 2
        self.render_spec = RenderSpec("linear", 0, tuple(widths), ensemble=on["local_ensemble"])
        self.spec = {"name": self.name, "args": {"encoder_spec": encoder_spec, "imnet_spec": imnet_spec, **on}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # not looked at: the render stage has the cell
    ):
        """[base]: the first layer on the unfolded features, (B, h, w, widths[0]), contiguous."""
        first = self.imnet.linears[0]
        weight, bias = self._packed.get("latent", tuple(parameters_of(first)), self._pack_latent)
        return conv_rows(features, weight, bias)

    def _pack_latent(self):
        first = self.imnet.linears[0]
        return conv_weight(first.weight[:, :self.unfolded], self.encoder.out_dim, self.kernel), first.bias

    def _pack_render(self):
        first, *layers = [(linear.weight, linear.bias) for linear in self.imnet.linears]
        rel, cell = cell_columns(first[0][:, self.unfolded:])
        return self.family.pack_weights(self.render_spec, rel, cell, layers)
