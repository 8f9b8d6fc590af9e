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
