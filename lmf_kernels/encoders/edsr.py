"""EDSR-baseline as the arbitrary-scale papers use it: no batch norm, no upsampler, no mean shift.

Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", arXiv 1707.02921, section 3.1 and
table 1 (baseline: 16 blocks of 64 channels). LIIF (arXiv 2012.09161, section 4.1) takes it without its upsampler.
"""

import torch
from torch import nn

from .checks import check_no_upsampling, check_number, check_whole

_RGB_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, in [0, 1]


class MeanShift(nn.Module):
    """The published checkpoints carry a mean shift as a frozen 1x1 convolution that their forward pass never calls.

    It is kept so that the state dict is the official one, and is never called here either.
    """

    def __init__(self, rgb_range, sign):
        super().__init__()
        # Not torch.eye: on the meta device, where checkpoints are checked, it imports torch's compiler, for a second.
        identity = [[[[float(i == j)]] for j in range(3)] for i in range(3)]
        self.weight = nn.Parameter(torch.tensor(identity), requires_grad=False)
        self.bias = nn.Parameter(torch.tensor([sign * rgb_range * mean for mean in _RGB_MEAN]), requires_grad=False)


class ResBlock(nn.Module):
    """x + res_scale * conv(relu(conv(x))), 3x3 convolutions with zero padding."""

    def __init__(self, n_feats, res_scale):
        super().__init__()
        self.body = nn.Sequential(_conv3x3(n_feats, n_feats), nn.ReLU(inplace=True), _conv3x3(n_feats, n_feats))
        self.res_scale = res_scale

    def forward(
        self,
        x,  # (B, n_feats, h, w)
    ):
        res = self.body(x)
        return x + (res if self.res_scale == 1 else res * self.res_scale)


class EDSR(nn.Module):
    """Head convolution, residual blocks, closing convolution, one long skip. Use `edsr_baseline` to build one."""

    def __init__(self, n_resblocks, n_feats, res_scale, rgb_range):
        super().__init__()
        self.sub_mean = MeanShift(rgb_range, sign=-1)
        self.add_mean = MeanShift(rgb_range, sign=1)
        self.head = nn.Sequential(_conv3x3(3, n_feats))
        blocks = [ResBlock(n_feats, res_scale) for _ in range(n_resblocks)]
        self.body = nn.Sequential(*blocks, _conv3x3(n_feats, n_feats))
        self.out_dim = n_feats
        self.receptive_field = 1 + 2 * n_resblocks + 1  # one pixel a side for every 3x3 convolution in a row
        self.window = 1

    def forward(
        self,
        x,  # (B, 3, h, w)
    ):
        """Features of a normalised image: (B, 3, h, w) to (B, out_dim, h, w), same dtype and memory format."""
        x = self.head(x)
        return x + self.body(x)


def edsr_baseline(n_resblocks=16, n_feats=64, res_scale=1, scale=2, no_upsampling=True, rgb_range=1):
    """EDSR-baseline with the official argument names.

    Args:
        n_resblocks, n_feats: depth (0 or more) and width (1 or more).
        res_scale: factor on each block's residual.
        scale: the upsampler's scale in the original; without an upsampler it changes nothing.
        no_upsampling: only True is supported: the decoder does the upsampling.
        rgb_range: range of the unused mean shift.

    Raises:
        InputError: no_upsampling is False, or a size is not a positive integer.
    """
    check_no_upsampling("EDSR", no_upsampling)
    check_whole("EDSR's n_resblocks", n_resblocks, least=0)
    check_whole("EDSR's n_feats", n_feats)
    check_number("EDSR's res_scale", res_scale)
    check_number("EDSR's rgb_range", rgb_range)
    return EDSR(n_resblocks, n_feats, res_scale, rgb_range)


def _conv3x3(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1)
