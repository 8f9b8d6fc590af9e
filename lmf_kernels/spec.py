"""What a render stage is: its head, its widths, and how its parameters and fields are laid out in memory.

Fields are (B, h, w, C), channels last: one row of parameters per LR cell. Render weights are one flat vector, matrices
stored input-major (in, out), so that a kernel walks it once from front to back.

=========  =======  ========================================  ==============================================
family     head     record of a cell (C channels)             flat weights
=========  =======  ========================================  ==============================================
modulated  linear   s (d*hid), t (d*hid), base (hid)          rel (2,hid), cell (2,hid), W_1.., out
modulated  fourier  s (d*hid), t (d*hid), coef (in), freq (in)  phase (2,in/2), W_0, W_1.., out
plain      linear   base (w0)                                 rel (2,w0), cell (2,w0), W_1, b_1.., out
plain      fourier  coef (in), freq (in)                      phase (2,in/2), W_0, b_0, W_1, b_1.., out
=========  =======  ========================================  ==============================================

`out` is W_out (width, 3), b_out (3). `t` holds the layer's bias already (t = t_published + b * (1 + s)): a modulated
layer is relu((W x) * (1 + s) + t). `csrc/common/params.h` is this page for the kernels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import InputError

HEADS = ("linear", "fourier")
FAMILIES = ("modulated_mlp", "plain_mlp")
WIDEST, DEEPEST = 4096, 256  # far above any model; a kernel's scratch stays in megabytes


class RenderSpec(NamedTuple):
    """Shape of a render MLP.

    head: "linear" (first layer affine in rel) or "fourier" (LTE's Fourier product).
    in_dim: width of the Fourier product (even); 0 for the linear head.
    widths: hidden widths, one a hidden layer; the modulated family has one width throughout.
    ensemble: local ensemble over the four neighbouring cells (LIIF, section 3.2), else the nearest cell alone.
    out_dim: channels of a pixel.
    """

    head: str
    in_dim: int
    widths: tuple[int, ...]
    ensemble: bool = True
    out_dim: int = 3

    @property
    def first_width(self) -> int:
        """Width of the first layer's output: the base of a linear head."""
        return self.widths[0] if self.widths else self.out_dim


def validate_spec(family, spec):
    """Raise InputError unless `spec` describes a member of `family`."""
    if family not in FAMILIES:
        raise InputError(f"unknown render family {family!r}; use one of {', '.join(FAMILIES)}.")
    if spec.head not in HEADS:
        raise InputError(f"unknown head {spec.head!r}; use one of {', '.join(HEADS)}.")
    if spec.head == "fourier" and (not 2 <= spec.in_dim <= WIDEST or spec.in_dim % 2):
        raise InputError(f"a Fourier head needs an even in_dim from 2 to {WIDEST}, got {spec.in_dim}.")
    if spec.head == "linear" and spec.in_dim != 0:
        raise InputError(f"a linear head has in_dim 0, got {spec.in_dim}.")
    if not 1 <= spec.out_dim <= WIDEST or not all(1 <= w <= WIDEST for w in spec.widths) or len(spec.widths) > DEEPEST:
        raise InputError(f"hidden widths {list(spec.widths)} and out_dim {spec.out_dim} must be from 1 to {WIDEST}, "
                         f"in at most {DEEPEST} layers.")
    if family == "modulated_mlp" and (not spec.widths or len(set(spec.widths)) != 1):
        raise InputError(f"the modulated family needs one hidden width throughout, got widths {list(spec.widths)}.")


def field_channels(family: str, spec: RenderSpec) -> int:
    """Channels C of a cell's record."""
    film = 2 * sum(spec.widths) if family == "modulated_mlp" else 0
    return film + (spec.first_width if spec.head == "linear" else 2 * spec.in_dim)


def layer_shapes(spec: RenderSpec) -> list[tuple[int, int]]:
    """(in, out) of the dense layers after the head, the output layer last.

    A linear head computes the first layer itself; without hidden layers it is the whole network.
    """
    outs = [*spec.widths, spec.out_dim]
    if spec.head == "linear":
        return list(zip(outs, outs[1:]))
    return list(zip([spec.in_dim, *outs], outs))


def weight_shapes(family: str, spec: RenderSpec) -> list[tuple[int, ...]]:
    """Shapes of the pieces of the flat weight vector, in order."""
    n = spec.first_width
    shapes = [(2, n), (2, n)] if spec.head == "linear" else [(2, spec.in_dim // 2)]
    layers = layer_shapes(spec)
    for i, (n_in, n_out) in enumerate(layers):
        shapes.append((n_in, n_out))
        if family == "plain_mlp" or i == len(layers) - 1:
            shapes.append((n_out,))
    return shapes


def weight_count(family: str, spec: RenderSpec) -> int:
    """Length of the flat weight vector."""
    total = 0
    for shape in weight_shapes(family, spec):
        size = 1
        for n in shape:
            size *= n
        total += size
    return total


def pack_weights(
    spec: RenderSpec,
    film: bool,
    rel: Tensor | None,  # (w0, 2) the first layer's columns on rel; None for a Fourier head
    cell: Tensor | None,  # (w0, 2) its columns on rel_cell, or the Fourier phase (in_dim/2, 2); None: no cell decoding
    layers: Sequence[tuple[Tensor, Tensor | None]],  # [(W (out, in), b (out,) or None)] hidden layers after the head
    out: tuple[Tensor, Tensor] | None,  # (W (out_dim, width), b (out_dim,)), or None where the head is all there is
) -> Tensor:
    """Flatten render parameters, as they stand in a checkpoint, into the layout above. Differentiable.

    film: True for the modulated family, whose hidden biases are in the fields (pass b as None).
    """
    pieces = []
    head_rows = spec.first_width if spec.head == "linear" else spec.in_dim // 2
    some = rel if rel is not None else (layers or [out])[0][0]
    if spec.head == "linear":
        pieces.append(rel.t())
    pieces.append(cell.t() if cell is not None else some.new_zeros(2, head_rows))
    dense = [*layers, out] if out is not None else list(layers)
    for i, (weight, bias) in enumerate(dense):
        pieces.append(weight.t())
        if not film or i == len(dense) - 1:
            pieces.append(bias)
    family = FAMILIES[0] if film else FAMILIES[1]
    shapes = [tuple(p.shape) for p in pieces]
    if shapes != weight_shapes(family, spec):
        raise InputError(f"render weights of shapes {shapes} do not fit {spec}: "
                         f"expected {weight_shapes(family, spec)}.")
    return torch.cat([p.reshape(-1) for p in pieces])


def unpack_weights(
    family: str,
    spec: RenderSpec,
    weights: Tensor,  # (weight_count,)
) -> list[Tensor]:
    """Views of the pieces of the flat vector, in the order of `weight_shapes`."""
    views, start = [], 0
    for shape in weight_shapes(family, spec):
        size = shape[0] * shape[1] if len(shape) == 2 else shape[0]
        views.append(weights[start:start + size].view(shape))
        start += size
    return views
