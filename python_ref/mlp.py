"""The papers' MLP (linear layers, ReLU between them, none at the end) and two exact rewritings of it on the LR map."""

import torch
import torch.nn.functional as F


def linear_layers(sd, prefix, part="layers"):
    """Layers `[(weight (out, in), bias (out,))]` of the MLP stored as `prefix.part.0`, `prefix.part.2`, ..."""
    start, end = f"{prefix}.{part}.", ".weight"
    indices = sorted(int(name[len(start):-len(end)]) for name in sd if name.startswith(start) and name.endswith(end))
    if not indices:
        raise ValueError(f"the state dict has no {start}*{end}: give the decoder's parameters under official names.")
    return [(sd[f"{start}{i}.weight"], sd[f"{start}{i}.bias"]) for i in indices]


def apply(
    x,  # (..., in)
    layers,
):
    """Run the layers: (..., out)."""
    for weight, bias in layers[:-1]:
        x = torch.relu(F.linear(x, weight, bias))
    return F.linear(x, *layers[-1])


def unfold(
    features,  # (B, C, h, w)
    active=True,
):
    """3x3 neighbourhoods, zero padded, channel-major: (B, 9C, h, w). The features themselves when not active."""
    if not active:
        return features
    batch, channels, h, w = features.shape
    return F.unfold(features, 3, padding=1).view(batch, channels * 9, h, w)


def neighbourhood_linear(
    features,  # (B, C, h, w)
    weight,  # (out, 9C) or (out, C): columns of a linear layer that meet the (un)folded features
    bias=None,  # (out,)
):
    """`weight @ unfold(features) + bias` as a convolution, channels last: (B, h, w, out)."""
    channels = features.shape[1]
    side = 3 if weight.shape[1] == 9 * channels else 1
    kernel = weight.reshape(weight.shape[0], channels, side, side)
    return F.conv2d(features, kernel, bias, padding=side // 2).permute(0, 2, 3, 1)


def fold_modulations(
    last,  # (W, b): the latent MLP's last layer, rows in the official order
    render_layers,  # [(W_l, b_l)]: the render MLP, the output layer last
    options,
    code_matrix=None,  # (hidden, code width): what the first render layer does to a linear head's code
):
    """Rows of the latent MLP's last layer that give the fields `[scale | shift | the rest]`, not the published outputs.

    `shift = published shift + b_l (1 + scale_l)` is linear in that layer's rows, and so is `code_matrix @ code`: fold
    both once and the fields cost nothing more. Missing modulations (`mod_scale`, `mod_shift` off) become zero rows.
    """
    rows, offset = last
    depth, hidden = len(render_layers) - 1, render_layers[0][0].shape[0]
    count = depth * hidden
    none = (rows.new_zeros(count, rows.shape[1]), offset.new_zeros(count))
    scale = (rows[:count], offset[:count]) if options.mod_scale else none
    start = count if options.mod_scale else 0
    shift = (rows[start:start + count], offset[start:start + count]) if options.mod_shift else none
    bias = torch.cat([b for _, b in render_layers[:-1]])
    shift = (shift[0] + bias[:, None] * scale[0], shift[1] + bias * (1 + scale[1]))
    rest = (rows[options.modulation_count * count:], offset[options.modulation_count * count:])
    if code_matrix is not None:
        rest = (code_matrix @ rest[0], code_matrix @ rest[1])
    return tuple(torch.cat(parts) for parts in zip(scale, shift, rest))
