"""Building blocks of the latent stage: convolutions that write channels-last rows, and FiLM folded into a layer.

A linear layer on 3x3-unfolded features is a 3x3 convolution, so no unfold is ever stored, and a per-image constant
input (the relative cell size) is a bias. The last latent layer is linear, so everything the render MLP would do to its
output that is linear too (adding its own biases, applying its first matrix to the code) goes into that layer's weights.
"""

import math

import torch
import torch.nn.functional as F


def conv_weight(
    matrix,  # (out, C * k * k), input channel-major as torch's unfold orders it
    channels,
    kernel,
):
    """The matrix of a linear layer on k x k unfolded features as a convolution weight (out, C, k, k)."""
    weight = matrix.reshape(matrix.shape[0], channels, kernel, kernel)
    return weight.contiguous(memory_format=torch.channels_last)


def cell_bias(
    bias,  # (out,)
    weight,  # (out, 2) or None: the layer does not see the cell
    rel_cell,  # pair of floats, or (2,), or (B, 2): cell size in LR pixels, y then x
):
    """The bias of a layer whose input ends in the relative cell size: (out,), or (B, out) where it differs by image.

    Of half types it is worked out in float32 and rounded once.
    """
    if weight is None:
        return bias
    wide = torch.promote_types(bias.dtype, torch.float32)
    columns = weight.to(wide)
    if torch.is_tensor(rel_cell):
        added = rel_cell.to(wide) @ columns.t()
    else:
        added = columns[:, 0] * rel_cell[0] + columns[:, 1] * rel_cell[1]
    return (bias.to(wide) + added).to(bias.dtype)


def cell_columns(
    columns,  # (out, 2 or 4): the columns of a first render layer after those on the code
):
    """Split them into those on the coordinate and those on the cell: (out, 2), and (out, 2) or None."""
    return columns[:, :2], columns[:, 2:] if columns.shape[1] > 2 else None


def conv_rows(
    features,  # (B, C, h, w)
    weight,  # (out, C, k, k), k odd
    bias=None,  # (out,) or (B, out)
):
    """Zero-padded convolution as rows: (B, h, w, out), contiguous."""
    features = features.contiguous(memory_format=torch.channels_last)
    padding = weight.shape[-1] // 2
    if bias is not None and bias.dim() == 2 and bias.shape[0] == 1:
        bias = bias[0]
    if bias is None or bias.dim() == 1:
        maps = F.conv2d(features, weight, bias, padding=padding)
    else:
        maps = F.conv2d(features, weight, padding=padding) + bias[:, :, None, None]
    return maps.permute(0, 2, 3, 1).contiguous()


def mlp_rows(
    rows,  # (..., in), overwritten: what the layer before has given, its ReLU still to come
    layers,  # [(weight (out, in), bias (out,))]
):
    """The remaining layers of an MLP: ReLU and a linear layer, over and over, no ReLU at the end: (..., out)."""
    for weight, bias in layers:
        rows = F.linear(rows.relu_(), weight, bias)
    return rows


def fourier_product(
    coef,  # (..., n)
    phase,  # (..., n / 2)
):
    """coef * [cos(pi phase), sin(pi phase)]: (..., n), LTE's first activation (arXiv 2111.08918, section 3)."""
    angle = math.pi * (phase.float() if phase.dtype in (torch.float16, torch.bfloat16) else phase)
    return coef * torch.cat((torch.cos(angle), torch.sin(angle)), dim=-1).to(coef.dtype)


def published_shift(
    fields,  # (..., C): [scale | shift' | ...] as `fold_modulations` makes them
    render_biases,  # [(hidden,)] per modulated layer
):
    """The shift modulations before they absorbed the layers' biases, (..., depth * hidden), in float32 at least."""
    fields = fields.to(torch.promote_types(fields.dtype, torch.float32))
    bias = torch.cat(tuple(render_biases)).to(fields.dtype)
    scale, shift = fields.split((len(bias), len(bias), fields.shape[-1] - 2 * len(bias)), dim=-1)[:2]
    return torch.addcmul(shift - bias, bias, scale, value=-1)


def fold_modulations(
    weight,  # (out, in): the latent MLP's last layer
    bias,  # (out,)
    render_biases,  # [(hidden,)] per modulated layer
    mod_scale,
    mod_shift,
    code_matrix=None,  # (rows, code) applied to the code channels, or None: they pass as they are
):
    """Rewrite the latent MLP's last layer so that it gives render fields: [scale | shift' | code'].

    The layer gives [scale | shift | code], the modulations layer after layer (arXiv 2404.16451, section 3). The render
    MLP computes `a (1 + scale) + shift` of `a = W x + b`, so `shift' = shift + b (1 + scale)` absorbs its bias. An
    absent modulation becomes zero rows. Half types are folded in float32 and rounded once.

    Returns:
        (weight, bias) of the rewritten layer.
    """
    wide = torch.promote_types(weight.dtype, torch.float32)
    rows = torch.cat((weight, bias[:, None]), dim=1).to(wide)
    b = torch.cat(tuple(render_biases)).to(wide)
    n = b.shape[0]
    scale = rows[:n] if mod_scale else rows.new_zeros(n, rows.shape[1])
    code = rows[n * (mod_scale + mod_shift):]
    shift = rows[n * mod_scale:n * (mod_scale + 1)] if mod_shift else torch.zeros_like(scale)
    shift = shift + b[:, None] * scale + F.pad(b[:, None], (rows.shape[1] - 1, 0))
    if code_matrix is not None:
        code = code_matrix.to(wide) @ code
    folded = torch.cat((scale, shift, code)).to(weight.dtype)
    return folded[:, :-1].contiguous(), folded[:, -1].contiguous()
