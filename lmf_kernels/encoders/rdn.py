"""RDN as the arbitrary-scale papers use it: without its upsampler.

Zhang et al., "Residual Dense Network for Image Super-Resolution", arXiv 1802.08797, section 3; LIIF (arXiv 2012.09161,
section 4.1) takes it without its upsampling net.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError
from .checks import check_choice, check_no_upsampling, check_whole

_CONFIGS = {"A": (20, 6, 32), "B": (16, 8, 64)}  # blocks D, layers of a block C, growth G (section 4.2)


class DenseLayer(nn.Module):
    """[x, relu(conv(x))] along the channels, a 3x3 convolution with zero padding."""

    def __init__(self, n_in, growth):
        super().__init__()
        self.conv = nn.Sequential(_conv(n_in, growth, 3), nn.ReLU(inplace=True))

    def forward(
        self,
        x,  # (B, n_in, h, w)
    ):
        return torch.cat((x, self.conv(x)), dim=1)


class ResidualDenseBlock(nn.Module):
    """x + fusion of all dense layers (equations 5 to 7)."""

    def __init__(self, n_feats, n_layers, growth):
        super().__init__()
        self.convs = nn.Sequential(*(DenseLayer(n_feats + i * growth, growth) for i in range(n_layers)))
        self.LFF = _conv(n_feats + n_layers * growth, n_feats, 1)

    def forward(
        self,
        x,  # (B, n_feats, h, w)
    ):
        return x + self.LFF(self.convs(x))


class RDN(nn.Module):
    """Two shallow convolutions, residual dense blocks, their fusion, one long skip. Use `rdn` to build one."""

    def __init__(self, n_feats, kernel, n_blocks, n_layers, growth):
        super().__init__()
        self.SFENet1 = _conv(3, n_feats, kernel)
        self.SFENet2 = _conv(n_feats, n_feats, kernel)
        self.RDBs = nn.ModuleList(ResidualDenseBlock(n_feats, n_layers, growth) for _ in range(n_blocks))
        self.GFF = nn.Sequential(_conv(n_blocks * n_feats, n_feats, 1), _conv(n_feats, n_feats, kernel))
        self.out_dim = n_feats
        # Three convolutions with the outer kernel, and a pixel a side for every 3x3 convolution in a row.
        self.receptive_field = 3 * (kernel // 2) + n_blocks * n_layers
        self.window = 1

    def forward(
        self,
        x,  # (B, 3, h, w)
    ):
        """Features of a normalised image: (B, 3, h, w) to (B, out_dim, h, w), same dtype and memory format."""
        shallow = self.SFENet1(x)
        x = self.SFENet2(shallow)
        # The global fusion is a matrix on the concatenated outputs of all blocks. Applying it block by block keeps
        # one sum of out_dim channels instead of that concatenation. The sum is float32 at least, as it would be
        # inside a single convolution.
        fusion = self.GFF[0]
        total = fusion.bias.to(torch.promote_types(x.dtype, torch.float32))[:, None, None]
        for block, weight in zip(self.RDBs, fusion.weight.split(self.out_dim, dim=1)):
            x = block(x)
            total = total + F.conv2d(x, weight)
        return self.GFF[1](total.to(x.dtype)) + shallow


def rdn(G0=64, RDNkSize=3, RDNconfig="B", scale=2, no_upsampling=True):
    """RDN with the official argument names.

    Args:
        G0: feature width, of the blocks' inputs and of the result.
        RDNkSize: odd kernel size of the convolutions outside the blocks; inside it is 3 always, as published.
        RDNconfig: 'A' (20 blocks of 6 layers, growth 32) or 'B' (16 blocks of 8 layers, growth 64).
        scale: the upsampler's scale in the original; without an upsampler it changes nothing.
        no_upsampling: only True is supported: the decoder does the upsampling.

    Raises:
        InputError: no_upsampling is False, or another argument has no such value.
    """
    check_no_upsampling("RDN", no_upsampling)
    check_choice("RDN's RDNconfig", RDNconfig, _CONFIGS)
    check_whole("RDN's G0", G0)
    check_whole("RDN's RDNkSize", RDNkSize, most=99)
    if RDNkSize % 2 == 0:
        raise InputError(f"RDN's RDNkSize is odd, so that features stay on their pixels, got {RDNkSize}.")
    return RDN(G0, RDNkSize, *_CONFIGS[RDNconfig])


def _conv(n_in, n_out, kernel):
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)
