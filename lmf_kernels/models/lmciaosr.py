"""LM-CiaoSR: attention over a cell's surroundings and over the whole picture modulates a narrow render MLP.

He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", arXiv 2404.16451,
section 3, applied to CiaoSR (arXiv 2212.04362).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError
from ..families import MODULATED_MLP, RenderSpec
from ..ops import cross_scale, non_local
from .base import Decoder
from .latent import cell_bias, fold_modulations, mlp_rows
from .mlp import MLP
from .options import attention_scales, extent, flag, hidden_list, positive, render_mlp, switches
from .pack_cache import parameters_of

CELLS_AT_ONCE, CELLS_AT_ONCE_ON_GPU = 1 << 10, 1 << 14  # of the local attention; a cell takes about 16 kB


class CrossScaleAttention(nn.Module):
    """The parameters of the non-local attention under the authors' names. It has no forward pass of its own.

    `down` is there whatever the scales, as in the authors' code. `escape_NaN` is their constant, a buffer.
    """

    def __init__(self, channels, scales):
        super().__init__()
        self.register_buffer("escape_NaN", torch.tensor([cross_scale.SMALLEST_NORM]))
        self.conv_match_1 = nn.Sequential(nn.Conv2d(channels, channels // 2, 1), nn.PReLU())
        self.conv_match_2 = nn.Sequential(nn.Conv2d(channels, channels // 2, 1), nn.PReLU())
        self.conv_assembly = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.PReLU())
        for scale in (3, 4):
            if scale in scales:
                setattr(self, f"downx{scale}", nn.Conv2d(channels, channels, 3, scale, 1))
        self.down = nn.Conv2d(channels, channels, 3, 2, 1)

    def weights(self, scale):
        """`cross_scale.Weights` of one scale."""
        embeddings = ((conv.weight, conv.bias, prelu.weight)
                      for conv, prelu in (self.conv_match_1, self.conv_match_2, self.conv_assembly))
        down = None if scale == 1 else self.down if scale == 2 else getattr(self, f"downx{scale}")
        return cross_scale.Weights(*embeddings, () if down is None else (down.weight, down.bias))


class _First(NamedTuple):
    """The first layer of `imnet_k` or `imnet_v` by what it meets, and the layers after it."""

    key: torch.Tensor  # (out, 4 C)
    beyond: torch.Tensor | None  # (out, C * scales): non-local features; None without
    rel: torch.Tensor  # (out, 2)
    cell: torch.Tensor  # (out, 2)
    bias: torch.Tensor  # (out,)
    rest: list  # [(weight, bias)]


class _Latent(NamedTuple):
    query: list  # [(weight, bias)] of prenet_q
    keys: _First
    values: _First
    layers: list  # [(weight, bias)] of hypernet_q, the last one folded
    base: torch.Tensor | None  # (hidden, code): the render MLP's first layer on the code, mod_input off
    attention: list  # [(weight_count,)]: one flat vector per scale


class LMCiaoSR(Decoder):
    """Render family modulated_mlp with the linear head and the LR skip, which is there in training too.

    Fields: [scale | shift with the bias | first layer's base].

    Args:
        encoder, imnet_q, hypernet_q, prenet_q, imnet_k, imnet_v: as in the authors' checkpoints; any widths and depths.
        local_size: 2, or 1 for a single key per cell and no local ensemble.
        feat_unfold: only True, as the published code runs in no other way.
        non_local_attn: whether the picture attends to itself. None: derived from the shapes, else on.
        multi_scale: list of its scales, of 1, 2, 3 and 4.
        softmax_scale: divides the logits of the local attention.
        mod_input: None: derived from the shapes, else on.
        cmsr_spec: accepted, and not used here: the rendering is the full one.
        shapes: {parameter name: shape} of the weights that will be loaded, or None.
    """

    name = "lmciaosr"
    family = MODULATED_MLP
    has_skip = True

    def __init__(self, encoder, prenet_q, hypernet_q, imnet_q, imnet_k, imnet_v, local_size=2, feat_unfold=True,
                 non_local_attn=None, multi_scale=(2,), softmax_scale=1, mod_input=None, cmsr_spec=None, *,
                 shapes=None):
        super().__init__(encoder)
        if local_size not in (1, 2) or isinstance(local_size, bool):
            raise InputError(f"local_size is 1 or 2, got {local_size!r:.40}.")
        if not flag(feat_unfold, "feat_unfold"):
            raise InputError("feat_unfold is off, which the published LM-CiaoSR cannot run; leave it on.")
        channels, ensemble = self.encoder.out_dim, local_size == 2
        self.render_mlp = mlp = render_mlp(imnet_q, "imnet_q")
        widths = {name: hidden_list(spec, name) for name, spec in
                  (("prenet_q", prenet_q), ("hypernet_q", hypernet_q), ("imnet_k", imnet_k), ("imnet_v", imnet_v))}
        if imnet_q["args"].get("mod_up_merge"):
            raise InputError("imnet_q's mod_up_merge is on, a published branch that forgets in evaluation to add 1 to the "
                             "scale modulation, as training does; leave it out.")
        latent_out = extent(shapes, f"hypernet_q.layers.{2 * len(widths['hypernet_q'])}.weight", 0)
        guessed = {} if shapes is None else {"non_local_attn": "cs_attn.down.weight" in shapes}
        if latent_out is not None:
            guessed["mod_input"] = latent_out != mlp.mod_dim
        on = switches({"non_local_attn": non_local_attn, "mod_input": mod_input}, guessed)
        self.mod_input = on["mod_input"]
        scales = attention_scales(multi_scale)
        self.scales = scales if on["non_local_attn"] else ()
        self.softmax_scale = positive(softmax_scale, "softmax_scale")
        key, beyond = 4 * channels, channels * len(self.scales)
        self.corners = [(y, x) for y in (-1, 1) for x in (-1, 1)] if ensemble else [(0, 0)]
        if self.scales:
            self.cs_attn = CrossScaleAttention(channels, self.scales)
        self.imnet_k = MLP(key + 4, widths["imnet_k"], key)
        self.imnet_v = MLP(key + beyond + 4, widths["imnet_v"], key + beyond)
        self.hypernet_q = MLP(key + beyond, widths["hypernet_q"], mlp.mod_dim + 2 * mlp.hidden * self.mod_input)
        self.prenet_q = MLP(9 * channels, widths["prenet_q"], key)
        self.imnet_q = MLP((2 * mlp.hidden if self.mod_input else key + beyond) + 2, [mlp.hidden] * mlp.depth, 3)
        self.receptive_field = self.encoder.receptive_field + 1
        self.render_spec = RenderSpec("linear", 0, (mlp.hidden,) * mlp.depth, ensemble=ensemble)
        self.spec = {"name": self.name, "args": {
            "encoder": encoder, "prenet_q": prenet_q, "hypernet_q": hypernet_q, "imnet_q": imnet_q, "imnet_k": imnet_k,
            "imnet_v": imnet_v, "local_size": local_size, "feat_unfold": True, "multi_scale": list(multi_scale),
            "softmax_scale": softmax_scale, **on}}

    def fields(
        self,
        features,  # (B, out_dim, h, w)
        rel_cell,  # pair of floats, or (2,), or (B, 2)
    ):
        """[scale (depth * hidden) | shift (depth * hidden) | base (hidden)], (B, h, w, C), contiguous."""
        return self.window_fields(features, rel_cell, features.shape[-2:], (0, 0))

    @property
    def latent_at_once(self):
        """Cells of the local attention that are worked on at a time."""
        return CELLS_AT_ONCE if next(parameters_of(self.imnet_q)).device.type == "cpu" else CELLS_AT_ONCE_ON_GPU

    def tile_starts(self, lr_size):
        return non_local.starts(lr_size) if self.scales else None

    def window_fields(
        self,
        features,  # (B, out_dim, rows, cols)
        rel_cell,  # pair of floats, or (2,), or (B, 2)
        lr_size,  # (h, w) of the picture
        origin,  # (y, x) where the window begins
    ):
        latent = self._packed.get("latent", tuple(self._latent_parameters()), self._pack_latent)
        beyond = [non_local.non_local(features, weights, scale, lr_size, origin)
                  for scale, weights in zip(self.scales, latent.attention)]
        beyond = torch.cat(beyond, dim=-1) if beyond else None
        biases = [[_bias(layer, (-y / lr_size[0], -x / lr_size[1]), rel_cell) for layer in (latent.keys, latent.values)]
                  for y, x in self.corners]
        padded = F.pad(features, (1, 1, 1, 1))
        if torch.compiler.is_compiling():  # the whole picture, as sizes may be free
            return self._modulate(padded, beyond, biases, latent)
        batch, _, h, w = features.shape
        cols = min(w, max(1, self.latent_at_once // batch))
        rows = max(1, self.latent_at_once // (batch * cols))
        return _joined([_joined([
            self._modulate(padded[:, :, y:y + rows + 2, x:x + cols + 2],
                           None if beyond is None else beyond[:, y:y + rows, x:x + cols], biases, latent)
            for x in range(0, w, cols)], dim=2) for y in range(0, h, rows)], dim=1)

    def _modulate(
        self,
        padded,  # (B, C, h + 2, w + 2)
        beyond,  # (B, h, w, C * scales) or None
        biases,  # of the first layers of imnet_k and imnet_v, a pair per corner
        latent,
    ):
        """The local attention and the latent MLP on some rows of cells: (B, h, w, fields)."""
        channels = padded.shape[1]
        unfolded = padded.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)  # channel-major
        groups = unfolded.unflatten(3, (3, 3, channels))
        query = _mlp(unfolded, latent.query)
        keys = [groups[:, :, :, _at(x):_at(x) + 2, _at(y):_at(y) + 2].flatten(3) for y, x in self.corners]
        logits = [(_weight(latent.keys, key, None, bias) * key).mul(query).sum(dim=-1, keepdim=True)
                  for key, (bias, _) in zip(keys, biases)]
        share = torch.softmax(torch.cat(logits, dim=-1) / self.softmax_scale, dim=-1)
        shared = None if beyond is None else F.linear(beyond, latent.values.beyond)
        code = 0
        for index, (key, (_, bias)) in enumerate(zip(keys, biases)):
            value = key if beyond is None else torch.cat((key, beyond.to(key.dtype)), dim=-1)
            weight = _weight(latent.values, key, shared, bias)
            code = code + share[..., index:index + 1].to(value.dtype) * value * weight
        fields = _mlp(code, latent.layers)
        return fields if latent.base is None else torch.cat((fields, F.linear(code, latent.base)), dim=-1)

    def _latent_parameters(self):
        attention = (self.cs_attn,) if self.scales else ()
        return parameters_of(self.prenet_q, self.imnet_k, self.imnet_v, self.hypernet_q, self.imnet_q, *attention)

    def _pack_latent(self):
        first, *_ = render = self.imnet_q.linears
        layers = _layers(self.hypernet_q)
        on_code = first.weight[:, :-2]
        layers[-1] = fold_modulations(
            *layers[-1], [linear.bias for linear in render[:-1]], self.render_mlp.mod_scale, self.render_mlp.mod_shift,
            on_code if self.mod_input else None)
        return _Latent(_layers(self.prenet_q), self._first(self.imnet_k, 0),
                       self._first(self.imnet_v, self.encoder.out_dim * len(self.scales)), layers,
                       None if self.mod_input else on_code,
                       [cross_scale.pack(self.cs_attn.weights(scale)) for scale in self.scales])

    def _first(self, mlp, beyond):
        """The layers of imnet_k or imnet_v; beyond: of its inputs, the number of non-local features."""
        (weight, bias), *rest = _layers(mlp)
        key, on_beyond, rel, cell = weight.split((4 * self.encoder.out_dim, beyond, 2, 2), dim=1)
        return _First(key, on_beyond if beyond else None, rel, cell, bias, rest)

    def _render_parameters(self):
        return parameters_of(self.imnet_q)

    def _pack_render(self):
        first, *rest, out = self.imnet_q.linears
        return self.family.pack_weights(self.render_spec, first.weight[:, -2:], None,
                                        [linear.weight for linear in rest], (out.weight, out.bias))


def _joined(parts, dim):
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _layers(mlp):
    return [(linear.weight, linear.bias) for linear in mlp.linears]


def _mlp(
    rows,  # (..., in)
    layers,  # [(weight, bias)]
):
    """All layers of an MLP: (..., out)."""
    return mlp_rows(F.linear(rows, *layers[0]), layers[1:])


def _at(v):
    """Where an axis' two groups of channels begin, for v in -1, 0, 1."""
    return int(v > 0)


def _bias(layer, rel, rel_cell):
    """A first layer's bias with its columns on rel and rel_cell: (out,) or (B, 1, 1, out)."""
    bias = cell_bias(cell_bias(layer.bias, layer.rel, rel), layer.cell, rel_cell)
    return bias if bias.dim() == 1 else bias[:, None, None]


def _weight(
    layer,  # _First
    key,  # (B, h, w, 4 C)
    shared,  # (B, h, w, out): what the first layer makes of the non-local features, or None
    bias,  # (out,) or (B, 1, 1, out)
):
    """What imnet_k or imnet_v gives: (B, h, w, in)."""
    rows = F.linear(key, layer.key, bias) if bias.dim() == 1 else F.linear(key, layer.key) + bias
    return mlp_rows(rows if shared is None else rows + shared, layer.rest)
