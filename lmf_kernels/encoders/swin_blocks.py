"""Swin Transformer blocks: attention inside windows, then an MLP, each with a residual.

Swin Transformer, arXiv 2103.14030, section 3.2, as SwinIR (arXiv 2108.10257, section 3.2) uses it. Tokens are the
pixels of a channels-last feature map.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .swin_windows import full_mask, relative_position_index


class _WithConstant(nn.Module):
    """A module whose published state dict holds a constant.

    It is written for other programs to read, and it may be there or not when weights are loaded; our own forward pass
    computes what it needs for the given image, so the contents of a file cannot change a result.
    """

    constant_name = None

    def constant(self):
        """(its shape, its dtype, a function that computes it), or None: this module has none."""
        raise NotImplementedError

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.constant() is not None:
            shape, dtype, compute = self.constant()
            # A model on the meta device has no values, and may be too large to have any.
            on_meta = next(self.parameters()).device.type == "meta"
            value = torch.empty(shape, dtype=dtype, device="meta") if on_meta else compute()
            destination[prefix + self.constant_name] = value

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if self.constant() is not None:
            state_dict.pop(prefix + self.constant_name, None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class WindowAttention(_WithConstant):
    """Multi-head self-attention inside windows, with a learned bias for each relative position (equation 4)."""

    constant_name = "relative_position_index"

    def __init__(self, dim, window, num_heads, qkv_bias, qk_scale):
        super().__init__()
        self.window, self.num_heads = window, num_heads
        self.scale = (dim // num_heads) ** -0.5 if qk_scale is None else qk_scale
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, num_heads))
        _fill_normal(self.relative_position_bias_table)
        self.qkv = linear(dim, 3 * dim, qkv_bias)
        self.proj = linear(dim, dim)

    def forward(
        self,
        rows,  # (windows * N, dim): tokens in the order of `grid`
        grid,  # WindowGrid
        index,  # (N, N) int64, of relative_position_index
    ):
        dim = rows.shape[-1]
        queries = self._queries(rows)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]  # (1, heads, N, N)
        attended = []
        for part, mask in zip(queries.split(grid.counts, dim=1), grid.masks):
            logits = (bias if mask is None else bias + mask).to(part.dtype).contiguous()
            heads = F.scaled_dot_product_attention(*part, attn_mask=logits, scale=self.scale)
            attended.append(heads.transpose(1, 2)[..., :dim // self.num_heads])
        return self.proj(torch.cat(attended).reshape(-1, dim))

    def _queries(
        self,
        rows,  # (windows * N, dim)
    ):
        """Queries, keys and values: (3, windows, heads, N, channels of a head).

        Fused attention kernels want heads of a multiple of 8 channels, and SwinIR's have 30: the projection is given
        rows of zeros, which change no product, and fill the values' end with zeros that are cut off again.
        """
        weight, bias = self.qkv.weight, self.qkv.bias
        size = weight.shape[1] // self.num_heads
        missing = -size % 8
        if missing:
            weight = F.pad(weight.unflatten(0, (-1, size)), (0, 0, 0, missing)).flatten(0, 1)
            bias = None if bias is None else F.pad(bias.unflatten(0, (-1, size)), (0, missing)).flatten()
        queries = F.linear(rows, weight, bias)
        return queries.view(-1, self.window**2, 3, self.num_heads, size + missing).permute(2, 0, 3, 1, 4)

    def constant(self):
        shape = (self.window**2,) * 2
        device = self.relative_position_bias_table.device
        return shape, torch.int64, lambda: relative_position_index(self.window, device)


class SwinBlock(_WithConstant):
    """x + attention(norm(x)), then x + mlp(norm(x)) (equations 5 and 6).

    Args:
        shift: 0 or how many pixels the windows are moved down and right.
        drop: probability with which a residual is left out for an image, in training only.
        img_size: (height, width), which only the published state dict's mask depends on.
    """

    constant_name = "attn_mask"

    def __init__(self, dim, num_heads, window, shift, hidden, qkv_bias, qk_scale, drop, img_size):
        super().__init__()
        self.window, self.shift, self.drop, self.img_size = window, shift, drop, img_size
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window, num_heads, qkv_bias, qk_scale)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict({"fc1": linear(dim, hidden), "fc2": linear(hidden, dim)})

    def forward(
        self,
        x,  # (B, H, W, dim), contiguous
        grids,  # {shift: WindowGrid}
        index,  # (N, N) int64, of relative_position_index
    ):
        grid = grids[self.shift]
        rows = self.norm1(x).flatten(0, 2).index_select(0, grid.order)
        rows = self.attn(rows, grid, index).index_select(0, grid.inverse)
        x = x + self._dropped(rows.view(x.shape))
        rows = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self._dropped(self.mlp["fc2"](rows))

    def _dropped(
        self,
        x,  # (B, H, W, dim), a residual
    ):
        """Stochastic depth: in training, leave the residual of some images out and scale the others up."""
        if not self.training or self.drop == 0:
            return x
        return x * F.dropout(x.new_ones(len(x), 1, 1, 1), self.drop)

    def constant(self):
        if not self.shift:
            return None
        (height, width), like = self.img_size, self.norm1.weight.detach()
        shape = ((height // self.window) * (width // self.window), self.window**2, self.window**2)
        return shape, like.dtype, lambda: full_mask(height, width, self.window, self.shift, like)


def linear(n_in, n_out, bias=True):
    """A linear layer with the published initial values."""
    layer = nn.Linear(n_in, n_out, bias)
    _fill_normal(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _fill_normal(
    weight,  # any shape
):
    """Published initial values: normal, truncated at 100 deviations, that is, not at all."""
    if not weight.is_meta:  # there is nothing to fill, and torch would import its compiler for it, for a second
        nn.init.normal_(weight, std=0.02)
