"""SwinIR as the arbitrary-scale papers use it: deep features, a closing convolution to 64 channels, no upsampler.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", arXiv 2108.10257, section 3; LTE (arXiv 2111.08918,
section 5.1) takes it as an encoder.
"""

import torch
from torch import nn

from ..errors import InputError
from .checks import check_choice, check_no_upsampling, check_number, check_switch, check_whole
from .swin_blocks import SwinBlock
from .swin_windows import pad_to_windows, reach, relative_position_index, window_grid

_OUT_DIM = 64
_MOST_BLOCKS = 1024


class ResidualSwinGroup(nn.Module):
    """x + conv(blocks(x)), the paper's RSTB (equations 2 and 3); every other block has its windows shifted."""

    def __init__(self, blocks, conv):
        super().__init__()
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
        self.conv = conv

    def forward(
        self,
        x,  # (B, H, W, dim), contiguous
        grids,  # {shift: WindowGrid}
        index,  # (N, N) int64
    ):
        deep = x
        for block in self.residual_group["blocks"]:
            deep = block(deep, grids, index)
        return x + _conv_last(self.conv, deep)


class SwinIR(nn.Module):
    """Shallow convolution, groups of Swin blocks, a long skip, a closing convolution. Use `swinir` to build one.

    Attributes:
        window: side of an attention window. Features depend on where the windows lie: they are those of the whole image
            only in a crop that starts at a multiple of `window` and extends `receptive_field` pixels further.
        receptive_field: the largest distance at which an input pixel influences a feature, at the worst position in a
            window.
    """

    def __init__(self, groups, dim, window, patch_norm, resi_connection):
        super().__init__()
        self.conv_first = nn.Conv2d(3, dim, 3, padding=1)
        self.patch_embed = nn.Sequential()
        if patch_norm:
            self.patch_embed.add_module("norm", nn.LayerNorm(dim))
        self.layers = nn.ModuleList(groups)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = _body_conv(dim, resi_connection)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(dim, _OUT_DIM, 3, padding=1), nn.LeakyReLU(inplace=True))
        self.out_dim = _OUT_DIM
        self.window = window
        self.shifts = sorted({block.shift for group in groups for block in group.residual_group["blocks"]})
        self.receptive_field = reach(window, self._layers(1 if resi_connection == "1conv" else 2))

    def forward(
        self,
        x,  # (B, 3, h, w)
    ):
        """Features of a normalised image: (B, 3, h, w) to (B, 64, h, w), same dtype, channels last in memory.

        The image is extended at the bottom and right to whole windows by reflection, however small it is, and the
        features are cropped back.
        """
        h, w = x.shape[-2:]
        x = pad_to_windows(x, self.window)
        shallow = self.conv_first(x.contiguous(memory_format=torch.channels_last))
        batch, _, height, width = shallow.shape
        grids = {shift: window_grid(batch, height, width, self.window, shift, shallow) for shift in self.shifts}
        index = relative_position_index(self.window, x.device)
        deep = self.patch_embed(shallow.permute(0, 2, 3, 1).contiguous())
        for group in self.layers:
            deep = group(deep, grids, index)
        x = self.conv_after_body(self.norm(deep).permute(0, 3, 1, 2)) + shallow
        return self.conv_before_upsample(x)[..., :h, :w].contiguous(memory_format=torch.channels_last)

    def _layers(self, body_conv):
        """What widens the view of a feature, in the order of the forward pass."""
        layers = [("conv", 1)]
        for group in self.layers:
            layers += [("attention", block.shift) for block in group.residual_group["blocks"]] + [("conv", body_conv)]
        return [*layers, ("conv", body_conv), ("conv", 1)]


def swinir(img_size=48, embed_dim=180, depths=(6,) * 6, num_heads=(6,) * 6, window_size=8, mlp_ratio=2.0,
           qkv_bias=True, qk_scale=None, drop_path_rate=0.1, patch_norm=True, upscale=2, upsampler="none",
           resi_connection="1conv", no_upsampling=True):
    """SwinIR with the official argument names; the defaults are what the arbitrary-scale papers trained.

    Args:
        img_size: pixels a side in training, or (height, width), multiples of window_size. Any size can be run: this
            one only sizes the mask in the state dict, and windows are not shifted where img_size is one window.
        embed_dim: width of the tokens, a multiple of every entry of num_heads.
        depths, num_heads: blocks and attention heads of each group.
        window_size, mlp_ratio: side of a window; the MLP's hidden width in multiples of embed_dim.
        qkv_bias, qk_scale: whether queries, keys and values have a bias; what scales the logits (None: the inverse
            root of a head's width).
        drop_path_rate: stochastic depth of the last block, rising linearly from 0; in training only.
        patch_norm: whether the tokens are normalised before the first block.
        upscale: the upsampler's scale in the original; without an upsampler it changes nothing.
        upsampler: only "none" is supported.
        resi_connection: "1conv", or "3conv" with a bottleneck, after each group.
        no_upsampling: only True is supported: the decoder does the upsampling.

    Raises:
        InputError: an upsampler is asked for, or another argument has no such value.
    """
    check_no_upsampling("SwinIR", no_upsampling)
    check_choice("SwinIR's upsampler, in a feature encoder,", upsampler, ("none",))
    check_choice("SwinIR's resi_connection", resi_connection, ("1conv", "3conv"))
    check_whole("SwinIR's window_size", window_size, most=64)
    check_whole("SwinIR's embed_dim", embed_dim, least=1 if resi_connection == "1conv" else 4)
    check_number("SwinIR's mlp_ratio", mlp_ratio, 0, 64)
    hidden = max(1, int(embed_dim * mlp_ratio))
    check_number("SwinIR's drop_path_rate", drop_path_rate, 0, 1)
    for name, value in (("qkv_bias", qkv_bias), ("patch_norm", patch_norm)):
        check_switch(f"SwinIR's {name}", value)
    if qk_scale is not None:
        check_number("SwinIR's qk_scale", qk_scale)
    height, width = _sides(img_size, window_size)
    _check_groups(depths, num_heads, embed_dim)
    half = window_size // 2 if min(height, width) > window_size else 0
    total, built, groups = sum(depths), 0, []
    for depth, heads in zip(depths, num_heads):
        blocks = [SwinBlock(embed_dim, heads, window_size, half if i % 2 else 0, hidden, qkv_bias, qk_scale,
                            drop_path_rate * (built + i) / max(total - 1, 1), (height, width))
                  for i in range(depth)]
        groups.append(ResidualSwinGroup(blocks, _body_conv(embed_dim, resi_connection)))
        built += depth
    return SwinIR(groups, embed_dim, window_size, patch_norm, resi_connection)


def _sides(img_size, window):
    """img_size as (height, width)."""
    sides = tuple(img_size) if isinstance(img_size, (list, tuple)) else (img_size, img_size)
    if len(sides) != 2:
        raise InputError(f"SwinIR's img_size is a number of pixels or (height, width), got {img_size!r:.40}.")
    for side in sides:
        check_whole("SwinIR's img_size", side, least=window, most=2**16)
        if side % window:
            raise InputError(f"SwinIR's img_size is a multiple of its window_size {window}, got {side}.")
    return sides


def _check_groups(depths, num_heads, dim):
    """depths and num_heads are lists of one length that make sense."""
    for name, values in (("depths", depths), ("num_heads", num_heads)):
        if not isinstance(values, (list, tuple)) or not 1 <= len(values) <= _MOST_BLOCKS:
            raise InputError(f"SwinIR's {name} is a list with an entry for each group, got {values!r:.40}.")
        for value in values:
            check_whole(f"Each entry of SwinIR's {name}", value)
    if len(depths) != len(num_heads) or sum(depths) > _MOST_BLOCKS:
        raise InputError(f"SwinIR's depths and num_heads have one entry for each group, and the depths add up to "
                         f"{_MOST_BLOCKS} at most; got {len(depths)} and {len(num_heads)} entries, "
                         f"{sum(depths)} blocks.")
    for heads in num_heads:
        if dim % heads:
            raise InputError(f"SwinIR's embed_dim is a multiple of each entry of num_heads, got {dim} and {heads}.")


def _body_conv(dim, resi_connection):
    """The convolution that closes a group and the body."""
    if resi_connection == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    narrow = dim // 4
    return nn.Sequential(
        nn.Conv2d(dim, narrow, 3, padding=1), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, narrow, 1), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(narrow, dim, 3, padding=1))


def _conv_last(
    conv,
    x,  # (B, H, W, C)
):
    """A convolution on a channels-last map, (B, H, W, C) contiguous."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()
