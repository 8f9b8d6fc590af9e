"""DIIF: a coarse MLP once a slice of a cell's pixels, a fine MLP once a pixel.

"Dynamic Implicit Image Function for Efficient Arbitrary-Scale Image Representation", arXiv 2306.12321, section 3.
"""

from ..errors import InputError
from ..families import C2F_MLP, C2FSpec
from .base import Decoder
from .latent import conv_rows, conv_weight
from .mlp import SliceMLP
from .options import extent, flag, slice_widths
from .pack_cache import parameters_of

INFO = 6  # inputs of the coarse MLP that describe the slice


class DIIF(Decoder):
    """Render family c2f_mlp with the linear head.

    With the slice ensemble the coarse MLP sees the 4x4 features around each vertex of the cell: that part of its first
    layer depends on the vertex alone, so it is a 4x4 convolution, shared by the four cells around the vertex and by all
    of their slices. Without, it sees the 3x3 features around the cell.

    Args:
        encoder_spec: as in the authors' checkpoints.
        slicing: "linear": one row of a cell is a slice; "constant": the whole cell.
        slice_ensemble: blend the slice vectors of the cell's vertices; None: derived from the shapes, else on.
        ensemble_num: number of vertices, 4.
        coarse, fine: hidden widths of the two MLPs; None: derived from the shapes, else 256 and 256 for each.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "diif"
    family = C2F_MLP

    def __init__(self, encoder_spec, slicing="linear", slice_ensemble=None, ensemble_num=4, coarse=None, fine=None, *,
                 shapes=None):
        super().__init__(encoder_spec)
        channels = self.encoder.out_dim
        if ensemble_num != 4:
            raise InputError(f"ensemble_num is 4, the vertices of a cell, got {ensemble_num!r:.40}.")
        if slice_ensemble is None:
            slice_ensemble = extent(shapes, "imnet.layers.0.weight", 1) != 9 * channels + INFO
        coarse, fine = slice_widths(coarse, fine, shapes)
        self.kernel = 4 if flag(slice_ensemble, "slice_ensemble") else 3
        self.imnet = SliceMLP(channels * self.kernel ** 2 + INFO, coarse, fine, 3)
        self.receptive_field = self.encoder.receptive_field + 1
        self.render_spec = C2FSpec("linear", 0, tuple(coarse), tuple(fine), slicing, slice_ensemble)
        self.family.validate_spec(self.render_spec)
        self.spec = {"name": self.name, "args": {
            "encoder_spec": encoder_spec, "slicing": slicing, "slice_ensemble": slice_ensemble,
            "ensemble_num": ensemble_num, "coarse": coarse, "fine": fine}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # not looked at: the render stage has the cell
    ):
        """[base]: the first coarse layer on the features around each vertex, (B, h + 1, w + 1, coarse[0]), contiguous;
        around each cell, (B, h, w, coarse[0]), without the slice ensemble."""
        first = self.imnet.coarse[0]
        weight, bias = self._packed.get("latent", tuple(parameters_of(first)), self._pack_latent)
        return conv_rows(features, weight, bias)

    def _pack_latent(self):
        first = self.imnet.coarse[0]
        return conv_weight(first.weight[:, :-INFO], self.encoder.out_dim, self.kernel), first.bias

    def _pack_render(self):
        layers = [(linear.weight, linear.bias) for linear in (*self.imnet.coarse, *self.imnet.fine)]
        return self.family.pack_weights(self.render_spec, layers[0][0][:, -INFO:], layers[1:])
