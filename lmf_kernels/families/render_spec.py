"""The render MLP of the two MLP families: a head, dense layers after it, and how both lie in the flat weight vector.

=======  ==========================================  ======================================
head     first pieces of the weights                 last channels of a cell's parameters
=======  ==========================================  ======================================
linear   rel (2, width), cell (2, width)             base (width)
fourier  phase (2, in_dim / 2)                       coef (in_dim), freq (in_dim)
=======  ==========================================  ======================================

The linear head is the first layer, which is affine in `rel` and `rel_cell` once the cell is known: `base + rel_y
rel[0] + rel_x rel[1] + cell_y cell[0] + cell_x cell[1]`. The Fourier head (LTE, arXiv 2111.08918, section 3) is
`coef * [cos(pi q), sin(pi q)]` with `q_j = freq_2j rel_y + freq_2j+1 rel_x + (phase rel_cell)_j`.

Matrices are stored input-major, (in, out), so that a kernel walks the vector once from front to back.
"""

from typing import NamedTuple

from python_ref import heads

from ..errors import InputError

HEADS = ("linear", "fourier")
WIDEST, DEEPEST = 4096, 256  # far above any model, so that a kernel's scratch memory stays in megabytes


class RenderSpec(NamedTuple):
    """Shape of a render MLP.

    head: "linear" (first layer affine in rel) or "fourier" (LTE's Fourier product).
    in_dim: width of the Fourier product (even); 0 for the linear head.
    widths: hidden widths, one per hidden layer. The modulated family has one width throughout.
    ensemble: local ensemble over the four neighbouring cells (LIIF, section 3), else the nearest cell alone.
    out_dim: channels of a pixel.
    """

    head: str
    in_dim: int
    widths: tuple[int, ...]
    ensemble: bool = True
    out_dim: int = 3

    @property
    def first_width(self) -> int:
        """Width of the first layer's output: that of the linear head's base."""
        return self.widths[0] if self.widths else self.out_dim


def validate(spec):
    """Raise InputError unless head and widths of a RenderSpec can be used."""
    if spec.head not in HEADS:
        raise InputError(f"unknown head {spec.head!r}; use one of {', '.join(HEADS)}.")
    if spec.head == "fourier" and (not 2 <= spec.in_dim <= WIDEST or spec.in_dim % 2):
        raise InputError(f"a Fourier head needs an even in_dim from 2 to {WIDEST}, got {spec.in_dim}.")
    if spec.head == "linear" and spec.in_dim != 0:
        raise InputError(f"a linear head has in_dim 0, got {spec.in_dim}.")
    if not 1 <= spec.out_dim <= WIDEST or not all(1 <= w <= WIDEST for w in spec.widths) or len(spec.widths) > DEEPEST:
        raise InputError(f"hidden widths {list(spec.widths)} and out_dim {spec.out_dim} must be from 1 to {WIDEST}, "
                         f"in at most {DEEPEST} layers.")


def head_channels(spec):
    """Widths of the head's parts in a cell's parameters, the last ones there: (base,) or (coef, freq)."""
    return (spec.first_width,) if spec.head == "linear" else (spec.in_dim, spec.in_dim)


def head_shapes(spec):
    """Shapes of the head's pieces, the first ones of the weights."""
    width = spec.first_width
    return [(2, width), (2, width)] if spec.head == "linear" else [(2, spec.in_dim // 2)]


def layer_shapes(spec):
    """(in, out) of the dense layers after the head, the output layer last.

    A linear head computes the first layer itself; without hidden layers it is the whole network.
    """
    outs = [*spec.widths, spec.out_dim]
    if spec.head == "linear":
        return list(zip(outs, outs[1:]))
    return list(zip([spec.in_dim, *outs], outs))


def head_pieces(
    spec,
    rel,  # (width, 2) the first layer's columns on rel; None for a Fourier head
    cell,  # (width, 2) its columns on rel_cell, or the Fourier phase (in_dim / 2, 2); None: no cell decoding
    like,  # a tensor of the type and device of the weights
):
    """The head's pieces of the weights from the matrices of a checkpoint."""
    shape = head_shapes(spec)[-1]
    cell = cell.t() if cell is not None else like.new_zeros(shape)
    return [rel.t(), cell] if spec.head == "linear" else [cell]


def split_head(spec, pieces):
    """(head, the other pieces) from the pieces of `Family.unpack_weights`; the head as `python_ref` takes it."""
    count = len(head_shapes(spec))
    matrices = [piece.t() for piece in pieces[:count]]
    head = heads.LinearHead(*matrices) if spec.head == "linear" else heads.FourierHead(*matrices)
    return head, pieces[count:]
