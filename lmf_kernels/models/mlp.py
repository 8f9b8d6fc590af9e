"""The authors' multilayer perceptrons, as containers of parameters under the authors' names."""

from torch import nn


class MLP(nn.Module):
    """Linear layers with ReLU between them: `layers.0`, `layers.2`, ... are the linear ones.

    Both published classes ("mlp", and "lmmlp" for the modulated render MLP) store their weights this way. It has no
    forward pass of its own: the models hand its matrices, rearranged, to the latent stage or to a render kernel.

    Args:
        in_dim: input width.
        widths: output width of every hidden layer; may be empty.
        out_dim: output width of the last layer.
    """

    def __init__(self, in_dim, widths, out_dim):
        super().__init__()
        layers = []
        for width in widths:
            layers += [nn.Linear(in_dim, width), nn.ReLU()]
            in_dim = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_dim, out_dim))

    @property
    def linears(self):
        """The linear layers in order, the output layer last."""
        return list(self.layers)[::2]


class SliceMLP(nn.Module):
    """The two MLPs of DIIF and DLTE: `layers.0`, `layers.2`, ... are the coarse one's, `tail.0`, `tail.2`, ... the fine
    one's. DLTE's has the matrix `phase` besides.

    Args:
        in_dim: input width of the coarse MLP, which has ReLU after every layer.
        coarse: width of every coarse layer.
        fine: width of every hidden layer of the fine MLP, which sees the relative coordinate besides.
        out_dim: output width of the last layer.
        phase: width of the Fourier product, or None.
    """

    def __init__(self, in_dim, coarse, fine, out_dim, phase=None):
        super().__init__()
        layers = []
        for width in coarse:
            layers += [nn.Linear(in_dim, width), nn.ReLU()]
            in_dim = width
        self.layers = nn.Sequential(*layers)
        self.tail = MLP(in_dim + 2, fine, out_dim).layers
        if phase is not None:
            self.phase = nn.Linear(2, phase // 2, bias=False)

    @property
    def coarse(self):
        """The coarse linear layers in order."""
        return list(self.layers)[::2]

    @property
    def fine(self):
        """The fine linear layers in order, the output layer last."""
        return list(self.tail)[::2]
