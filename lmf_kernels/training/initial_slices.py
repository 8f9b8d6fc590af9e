"""First weights of DIIF in training: a network that begins as an interpolation of its input (see `initial`).

Three channels of the coarse MLP carry the colours at a vertex, interpolated from the 4x4 cells around it; the blend
between the vertices interpolates again, and the fine MLP passes them on. With a trained encoder, which feature holds
which colour is not known: three linear combinations of the features that give the colours are fitted.
"""

import torch
from torch import nn
from torch.nn import functional as F

_COLOURS = 3
_RAISED = 2.0  # added to the colours on their way, so that every ReLU lets them through, overshoot included
_QUIET = 0.03  # factor on the output layer's other weights, as in `initial`
# Weights of the four cells along one axis at a vertex, between the second and the third. The blend between vertices
# blurs, so they sharpen more than a cubic interpolation, -1/16 and 9/16.
_AT_VERTEX = (-0.17, 0.67, 0.67, -0.17)
_AT_CELL = (0.0, 1.0, 0.0)
_PICTURES, _SIDE = 12, 48


def can_pass(model):
    """Whether the model is a DIIF with room for three colours everywhere."""
    mlp = model.imnet
    if model.has_skip or not hasattr(mlp, "coarse"):
        return False
    return all(linear.out_features >= _COLOURS for linear in (*mlp.coarse, *mlp.fine[:-1]))


@torch.no_grad()
def pass_picture_on(
    model,
    colours,  # (3, features): the linear combinations of the features that give the colours
    offset,  # (3,): added to them
):
    """Let the first three channels of every layer carry the colours."""
    first, *coarse = model.imnet.coarse
    *fine, out = model.imnet.fine
    for linear in (first, *coarse, *fine):
        nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
    along = colours.new_tensor(_AT_VERTEX if model.kernel == 4 else _AT_CELL)
    window = along[:, None] * along
    codes = (colours[:, :, None, None] * window).flatten(1)  # channel-major, as the codes are
    first.weight[:_COLOURS] = F.pad(codes, (0, first.in_features - codes.shape[1]))
    first.bias[:_COLOURS] = offset + _RAISED
    for linear in (*coarse, *fine):
        linear.weight[:_COLOURS] = torch.eye(_COLOURS, linear.in_features)
        linear.bias[:_COLOURS] = 0
    out.weight.mul_(_QUIET)
    out.weight[:, :_COLOURS] += torch.eye(_COLOURS)
    out.bias.fill_(-_RAISED)


@torch.no_grad()
def fit_colours(encoder):
    """The linear combinations of an encoder's features that give a picture's colours best: (3, features), (3,).

    Least squares over drawn pictures, smooth at several sizes; draws from torch's random numbers.
    """
    pictures = sum(
        F.interpolate(torch.rand(_PICTURES, 3, side, side) * 2 - 1, (_SIDE, _SIDE), mode="bicubic") * weight
        for side, weight in ((3, 0.6), (9, 0.3), (_SIDE // 2, 0.2))).clamp(-1, 1)
    features = encoder(pictures).permute(0, 2, 3, 1).flatten(0, 2).double()
    features = F.pad(features, (0, 1), value=1.0)
    wanted = features.T @ pictures.permute(0, 2, 3, 1).flatten(0, 2).double()
    gram = features.T @ features
    gram.diagonal().add_(1e-6 * gram.diagonal().mean())
    solved = torch.linalg.solve(gram, wanted).T.float()
    return solved[:, :-1], solved[:, -1]
