"""Weights as the kernels with dense layers read them: every layer WIDTH wide, a power of two, padded with zeros.

    matrices, of the fields' type:  the hidden layers (WIDTH, WIDTH) each, in order | the output layer (WIDTH, 16)
    table (rows, WIDTH), float32:   what the family has besides layers | the hidden layers' biases | that of the output

Matrices are input-major, (in, out). A Fourier product has its cosines in the first half of WIDTH, its sines in the
second, and so have the rows of the matrix after it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

OUT = 16  # columns of the output layer: the narrowest matrix of a tensor core


class Packed(NamedTuple):
    matrices: Tensor  # (elements,)
    table: Tensor  # (rows, WIDTH) float32


def pack(
    width,
    element,  # dtype of the matrices
    rows,  # [(count, columns)]: the table's first rows
    layers,  # [(W (in, out), b (out,))], the output layer last
    *,
    halves,  # whether the first layer's inputs are cosines and sines
):
    """The Packed weights of a network."""
    count = len(layers) - 1
    like = layers[-1][0]
    matrices = like.new_zeros(count * width * width + width * OUT, dtype=element)
    hidden, out = matrices.split([count * width * width, width * OUT])
    targets = [*hidden.view(count, width, width), out.view(width, OUT)]
    for number, (target, (matrix, _)) in enumerate(zip(targets, layers, strict=True)):
        parts = 2 if halves and number == 0 else 1
        matrix = matrix.reshape(parts, -1, matrix.shape[1])
        target.view(parts, width // parts, -1)[:, :matrix.shape[1], :matrix.shape[2]] = matrix
    pieces = [*rows, *(bias[None] for _, bias in layers)]
    table = torch.zeros(sum(len(piece) for piece in pieces), width, dtype=torch.float32, device=like.device)
    for target, piece in zip(table.split([len(piece) for piece in pieces]), pieces, strict=True):
        target[:, :piece.shape[1]] = piece
    return Packed(matrices, table)
